"""Messages as everybody spells them, read as ours.

OpenAI's chat shape, the parts of the GenAI conventions, content blocks of Anthropic, the flattened
`message.*` of OpenInference, LangChain's types and Inspect's messages differ in a few keys only, and traces
mix them; so one reader takes them all. What cannot be read is left as text: content is data, whatever it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, cast

import orjson

from harness.foreign.reading import loads
from harness.messages import (
    Image,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
)
from harness.record.building import digest

Json = dict[str, Any]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "agent": "assistant",
    "tool": "tool",
    "function": "tool",
    "environment": "tool",
    "tool-response": "tool",
    "tool-call": "assistant",
}
_TEXTS = ("text", "input_text", "output_text", "refusal", "compaction", "summary_text")
_THINKING = ("reasoning", "thinking", "redacted_thinking")
_CALLS = ("tool_call", "tool_use", "function_call", "server_tool_call", "tool-call")
_RESULTS = ("tool_call_response", "tool_result", "function_call_output", "server_tool_call_response")
_SAYS_ERROR = re.compile(
    r"(Error|ERROR)( \w+){0,3}: |Error executing tool|Traceback \(most recent call last\)"
)
"""Begins results of failed tools where the format has no flag for it."""
_WRAPPED = ("kwargs", "message")


class Interned:
    """Messages by what stands in them, so that a conversation sent a hundred times is kept once.

    Nor is it read a hundred times: of a list whose text begins with that of the last one of the same place, only
    what comes after is.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Message, ...]] = {}
        self._digests: dict[int, bytes] = {}
        self._texts: dict[str, str] = {}
        self._lists: dict[str, tuple[int, int, tuple[Message, ...]]] = {}
        """The last list of each place: the length and hash of its text without the last bracket, and its messages."""

    def growing(self, value: Any, place: str) -> tuple[Message, ...]:
        """Return what `messages` does, for the requests of one conversation, which mostly say all of it again.

        Args:
            place: Where the conversation is told of, such as the span around its requests.
        """
        if not isinstance(value, str) or not (value.startswith("[") and value.endswith("]")):
            return self.messages(value)
        length, mark, begun = self._lists.get(place, (0, 0, ()))
        more: Any = None
        if 0 < length < len(value) and value[length] == "," and hash(value[:length]) == mark:
            more = parsed(f"[{value[length + 1 :]}")
        if not (isinstance(more, list) and more):
            more, begun = parsed(value), ()
        found = (*begun, *self.messages(more))
        if isinstance(more, list):
            whole = value[:-1].rstrip()
            self._lists[place] = len(whole), hash(whole), found
        return found

    def messages(self, value: Any) -> tuple[Message, ...]:
        """Return the messages of a list, a single one, or JSON text of either; `()` if there are none."""
        value = parsed(value)
        if isinstance(value, dict):
            held = cast("Json", value)
            inner: Any = next((held[key] for key in ("messages", "input", "inputs") if key in held), None)
            value = cast("Any", inner if isinstance(inner, list) else [held])
        if not isinstance(value, list):
            return (Message("user", (Text(value),)),) if isinstance(value, str) and value else ()
        found: list[Message] = []
        for element in cast("list[Any]", value):
            found += self._one(element)
        return tuple(found)

    def _one(self, element: Any) -> tuple[Message, ...]:
        try:
            key = blake2b(orjson.dumps(element), digest_size=16).digest()
        except (TypeError, RecursionError):
            return tuple(messages_of(element))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = tuple(messages_of(element))
            self._digests.update((id(message), digest(message)) for message in known)
        return known

    def digest(self, message: Message) -> bytes:
        """Return the digest of a message from here, worked out once."""
        known = self._digests.get(id(message))
        return digest(message) if known is None else known

    def text(self, text: str) -> str:
        """Return the one copy of a text."""
        return self._texts.setdefault(text, text)


def parsed(value: Any) -> Any:
    """Return what JSON text holds; other text, and what is no text, as it is."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return loads(value)
        except ValueError:
            return value
    return value


def messages_of(element: Any) -> Iterator[Message]:
    """Yield the messages that one element of a conversation holds: one, or one per tool result."""
    if isinstance(element, str):
        element = parsed(element)
    if isinstance(element, str):
        yield Message("user", (Text(element),))
        return
    if isinstance(element, list):
        for inner in cast("list[Any]", element):
            if isinstance(inner, dict):
                yield from messages_of(inner)
        return
    if not isinstance(element, dict):
        return
    held = cast("Json", element)
    for key in _WRAPPED:
        inner = held.get(key)
        if isinstance(inner, dict) and "role" not in held and "type" not in cast("Json", inner):
            held = {**held, **cast("Json", inner)}
    role = _role(held)
    parts = list(_parts(held, role))
    results = [part for part in parts if isinstance(part, ToolResult)]
    rest = tuple(part for part in parts if not isinstance(part, ToolResult))
    for result in results:
        yield Message("tool", (result,))
    if rest or (not results and role != "tool"):
        yield Message("user" if role == "tool" else role, rest)


def _role(held: Json) -> Role:
    for key in ("role", "type"):
        word = held.get(key)
        if isinstance(word, str):
            if word.lower() in _ROLES:
                return _ROLES[word.lower()]
            if word in _CALLS or word in _THINKING:
                return "assistant"
            if word in _RESULTS:
                return "tool"
    identity = held.get("id")
    if isinstance(identity, list) and identity:  # LangChain's serialised classes
        name = (
            str(cast("list[Any]", identity)[-1]).removesuffix("Message").removesuffix("MessageChunk").lower()
        )
        return _ROLES.get(name, "user")
    return "user"


def _parts(held: Json, role: Role) -> Iterator[Part]:
    if role == "assistant":
        reasoning = held.get("reasoning_content") or held.get("reasoning") or held.get("thinking")
        if reasoning:
            yield Reasoning(as_text(reasoning))
    content = _first(held, "parts", "content", "contents")
    kind = held.get("type")
    is_block = isinstance(kind, str) and kind in (*_CALLS, *_RESULTS, *_TEXTS, *_THINKING)
    if is_block and "parts" not in held and ("role" not in held or kind in (*_CALLS, *_RESULTS)):
        yield from _block(held)
    elif role == "tool" and "parts" not in held:
        call_id = held.get("tool_call_id") or held.get("call_id") or held.get("id") or ""
        failed = held.get("status") == "error" or bool(held.get("error")) or held.get("is_error") is True
        shown = _content_text(content if content not in (None, "") else held.get("error"))
        yield ToolResult(str(call_id), shown, failed or _SAYS_ERROR.match(shown) is not None)
    elif isinstance(content, list):
        for block in cast("list[Any]", content):
            yield from _block(block)
    elif content not in (None, ""):
        yield Text(as_text(content))
    for call in _called(held):
        yield _call(call)


def _called(held: Json) -> list[Any]:
    calls = parsed(held.get("tool_calls"))
    if not calls:
        legacy: Any = held.get("function_call")
        return [legacy] if isinstance(legacy, dict) and held.get("type") not in _CALLS else []
    return cast("list[Any]", [calls] if isinstance(calls, dict) else calls if isinstance(calls, list) else [])


def _block(block: Any) -> Iterator[Part]:
    """Yield what one content block or part holds."""
    if not isinstance(block, dict):
        if block not in (None, ""):
            yield Text(as_text(block))
        return
    held = cast("Json", block)
    inner = held.get("message_content")
    if isinstance(inner, dict):
        held = cast("Json", inner)
    kind = held.get("type", "")
    if kind in _CALLS:
        yield _call(held)
    elif kind in _RESULTS:
        call_id = held.get("tool_use_id") or held.get("call_id") or held.get("id") or ""
        shown = next((held[key] for key in ("response", "result", "content", "output") if key in held), "")
        yield ToolResult(str(call_id), _content_text(shown), held.get("is_error") is True)
    elif kind in _THINKING:
        shown = next(
            (held[key] for key in ("content", "thinking", "reasoning", "text", "summary") if held.get(key)),
            "",
        )
        yield Reasoning(_content_text(shown))
    elif kind in ("image", "image_url", "blob", "input_image"):
        data = held.get("data") or held.get("content") or held.get("image_url") or held.get("image") or ""
        yield Image(as_text(data), str(held.get("mime_type") or held.get("media_type") or "image/png"))
    else:
        shown = _first(held, "content", "text", "refusal")
        yield Text(as_text(held if shown is None else shown))


def _call(value: Any) -> ToolCall:
    held = cast("Json", value) if isinstance(value, dict) else {}
    inner = held.get("tool_call")
    if isinstance(inner, dict):
        held = cast("Json", inner)
    function = held.get("function")
    names = cast("Json", function) if isinstance(function, dict) else held
    name = names.get("name") or (function if isinstance(function, str) else "")
    arguments = _first(names, "arguments", "args", "input", "parameters")
    if arguments is None:
        arguments = "{}"
    call_id = held.get("id") or held.get("call_id") or held.get("tool_call_id") or ""
    return ToolCall(
        str(call_id), str(name or ""), arguments if isinstance(arguments, str) else as_text(arguments)
    )


def _first(held: Json, *keys: str) -> Any:
    """Return what is held by the first of some keys that has anything; None if none has."""
    for key in keys:
        value = held.get(key)
        if value is not None:
            return value
    return None


def _content_text(value: Any) -> str:
    """Return the text of a result: its blocks one after the other, JSON for what is no text."""
    if isinstance(value, list):
        texts: list[str] = []
        for block in cast("list[Any]", value):
            held = cast("Json", block) if isinstance(block, dict) else {}
            text = held.get("text", held.get("content"))
            texts.append(text if isinstance(text, str) else as_text(block))
        return "\n".join(texts)
    if isinstance(value, dict) and set(cast("Json", value)) <= {"type", "text"} and "text" in value:
        return as_text(value["text"])
    return as_text(value)


def as_text(value: Any) -> str:
    """Return a text as it is, nothing as nothing, and anything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return orjson.dumps(value).decode()
    except (TypeError, RecursionError):
        pass
    try:
        return json.dumps(value, default=str)
    except (ValueError, RecursionError):
        return "…"


def definitions_of(value: Any) -> tuple[ToolDefinition, ...]:
    """Return the tool definitions of a list; what has no name is left out."""
    value = parsed(value)
    found: list[ToolDefinition] = []
    for element in cast("list[Any]", value) if isinstance(value, list) else []:
        held = parsed(element)
        if not isinstance(held, dict):
            continue
        known = cast("Json", held)
        for key in ("tool", "json_schema", "function"):
            inner = parsed(known.get(key))
            if isinstance(inner, dict):
                known = {**known, **cast("Json", inner)}
        name = known.get("name")
        schema = next(
            (parsed(known[key]) for key in ("parameters", "input_schema", "inputSchema") if known.get(key)),
            None,
        )
        if isinstance(name, str) and name:
            about = known.get("description")
            text = about if isinstance(about, str) else ""
            found.append(
                ToolDefinition(name, text, cast("Json", schema))
                if isinstance(schema, dict)
                else ToolDefinition(name, text)
            )
    return tuple(found)

"""What the model server says next, and whether what it was told makes sense.

A request is read twice in principle (once to check it, once to answer it) but parsed once, and of a
conversation that merely grew only the new messages are parsed: the server keeps the bytes it has
checked, compares them with the new body, and parses the difference. Where that comparison fails for
any reason the whole body is parsed, so the short cut can change the cost and never the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import Any

import orjson

from tests.benchmarks.script import BLOB, Call, Reply, Script
from tests.benchmarks.wires import APIS, Wire

_PADDING = "x" * 40
_ID_LENGTH = len("call_") + 24


@dataclass(frozen=True, slots=True)
class Expected:
    """The answer one tool call must get."""

    id: str
    text: str | None = None
    """None where nothing is known about it."""
    whole: bool = True
    """Whether `text` is all of it; a sub-agent's report may say more."""

    def met_by(self, text: str) -> bool:
        """Return whether `text` will do."""
        return self.text is None or (text == self.text if self.whole else self.text in text)


@dataclass(slots=True)
class Conversation:
    """One conversation as far as it has been checked."""

    complain: Callable[[str], None]
    script: Script | None = None
    results: int = 0
    messages: int = 0
    waiting: list[Expected] = field(default_factory=list["Expected"])
    """What the calls of the last assistant message must bring, in their order."""
    answered: int = 0
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The request without its messages."""
    last: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    """The last element of the request: some APIs mark it, so that its bytes are others in the next request."""
    checked: bytes = b""
    """The body up to its last message."""
    rest: bytes = b""
    """What follows the last message; empty if that place is unknown."""

    def check(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Take in new messages, complaining about each thing that no provider would accept."""
        for message in messages:
            role = message.get("role")
            if role == "tool":
                self._check_result(message)
            elif role == "assistant":
                self._check_all_answered("an assistant message")
                self.waiting = [self._expect(call) for call in message.get("tool_calls") or ()]
                self.answered = 0
                if not self.waiting and not message.get("content"):
                    self.complain("an assistant message with neither text nor tool calls")
            elif role in ("system", "user", "developer"):
                self._check_all_answered(f"a {role} message")
                if self.script is None:
                    self.script = Script.read(text_of(message.get("content")))
            else:
                self.complain(f"unknown role {role!r}")
        self.messages += len(messages)

    def finish_check(self) -> None:
        """Check what must hold when the model is asked to speak."""
        self._check_all_answered("the next reply")
        if self.script is None:
            self.complain("no SCRIPT in any system or user message")

    def _check_result(self, message: Mapping[str, Any]) -> None:
        identifier, text = message.get("tool_call_id"), text_of(message.get("content"))
        self.results += 1
        if self.answered >= len(self.waiting):
            self.complain(f"a tool message for {identifier!r}, which nothing is waiting for")
            return
        expected = self.waiting[self.answered]
        self.answered += 1
        if identifier != expected.id:
            self.complain(f"tool message for {identifier!r} where {expected.id!r} is due")
        elif not expected.met_by(text):
            self.complain(f"result of {identifier} is {text[:80]!r}, not {expected.text!r:.80}")

    def _check_all_answered(self, before: str) -> None:
        missing = len(self.waiting) - self.answered
        if missing:
            self.complain(f"{missing} tool calls unanswered before {before}")
        self.waiting, self.answered = [], 0

    def _expect(self, call: Mapping[str, Any]) -> Expected:
        """Return what must answer `call`."""
        identifier = call.get("id")
        function = call.get("function") or {}
        if call.get("type") != "function" or not isinstance(identifier, str) or not identifier:
            self.complain(f"a tool call that is none: {call!r:.120}")
            return Expected("")
        try:
            arguments = orjson.loads(function["arguments"])
        except (KeyError, TypeError, orjson.JSONDecodeError):
            self.complain(f"arguments of {identifier} are no JSON text")
            return Expected(identifier)
        name = str(function.get("name"))
        if name.endswith("echo"):
            return Expected(identifier, arguments.get("text"))
        if name.endswith("blob"):
            return Expected(identifier, BLOB * arguments.get("kb", 1))
        brief = Script.read(function["arguments"]) if name.endswith("delegate") else None
        return Expected(identifier, brief.answer(brief.turns) if brief else None, whole=False)


class Conversations:
    """All open conversations, by the last tool call each waits for."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._open: dict[str, Conversation] = {}
        self._numbers = count(1)

    def answer(
        self, body: bytes, *, wire: Wire = APIS["openai-chat"], said: Mapping[str, Any] = MappingProxyType({})
    ) -> tuple[Reply, Conversation]:
        """Check one request and return what the model says to it; `said` is what its address says.

        Raises:
            ValueError: The body is not a request of this API at all.
        """
        conversation = self._grown(body, wire) or self._whole(body, wire, said)
        conversation.finish_check()
        reply = self._decide(conversation, wire)
        if reply.calls:
            self._open[reply.calls[-1].id] = conversation
        return reply, conversation

    def _grown(self, body: bytes, wire: Wire) -> Conversation | None:
        """Return the conversation this body continues, having checked only what is new."""
        at = body.rfind(wire.ANSWERS)
        if at < 0:
            return None
        at += len(wire.ANSWERS)
        known = self._open.pop(body[at : at + _ID_LENGTH].decode("ascii", "replace"), None)
        if known is None or not known.rest:
            return None
        if not (body.startswith(known.checked) and body.endswith(known.rest)):
            return None
        end = len(body) - len(known.rest)
        try:
            last, *new = orjson.loads(b"".join((b"[", body[len(known.checked) : end], b"]")))
        except (orjson.JSONDecodeError, ValueError):
            return None
        if list(wire.messages(last)) != known.last:
            return None
        self._take(known, new, body, end, wire)
        return known

    def _whole(self, body: bytes, wire: Wire, said: Mapping[str, Any]) -> Conversation:
        """Return the conversation of a body parsed from its first byte to its last."""
        request = orjson.loads(body)
        items = request.pop(wire.FIELD, None) if isinstance(request, dict) else None
        if not isinstance(items, list) or not items:
            raise ValueError(f"a request needs {wire.FIELD}")
        request = {**request, **said}
        if not isinstance(request.get("model"), str):
            raise ValueError("a request needs a model")
        conversation = Conversation(self._complain, request=request)
        last = orjson.dumps(items[-1])
        self._take(conversation, items, body, body.rfind(last) + len(last), wire)
        return conversation

    def _take(
        self, conversation: Conversation, new: Sequence[Mapping[str, Any]], body: bytes, end: int, wire: Wire
    ) -> None:
        """Check new messages, and keep where the last of them stands if it ends at `end`."""
        for item in new:
            conversation.last = list(wire.messages(item))
            conversation.check(conversation.last)
        last = orjson.dumps(new[-1]) if new else b""
        conversation.checked, conversation.rest = b"", b""
        if last and body.endswith(last, 0, end) and body[end : end + 1] == b"]":
            conversation.checked, conversation.rest = body[: end - len(last)], body[end:]

    def _decide(self, conversation: Conversation, wire: Wire) -> Reply:
        script = conversation.script or Script()
        wanted = script.delegate or script.turns
        text, calls = None, ()
        if conversation.results >= wanted:
            text = script.answer(conversation.results)
        elif script.delegate:
            calls = self._delegations(script, conversation, wire)
        else:
            calls = self._tool_call(script, conversation, wire)
        request = conversation.request
        return Reply(
            text=text if text or calls else "FAILED: the tool asked for is not offered",
            calls=calls,
            latency=script.latency / 1000,
            stream=bool(request.get("stream")),
            include_usage=bool((request.get("stream_options") or {}).get("include_usage")),
            model=request["model"],
        )

    def _tool_call(self, script: Script, conversation: Conversation, wire: Wire) -> tuple[Call, ...]:
        function = self._find(wire.functions(conversation.request), script.tool)
        if function is None:
            return ()
        # Every call is another one: an agent that makes the same call again and again is stopped.
        turn = conversation.results
        arguments: dict[str, Any] = {"text": f"turn-{turn:04d} {_PADDING}"}
        if script.tool == "blob":
            arguments = {"kb": script.kb, "turn": turn}
        return (Call(self._identifier(), function["name"], orjson.dumps(arguments).decode()),)

    def _delegations(self, script: Script, conversation: Conversation, wire: Wire) -> tuple[Call, ...]:
        function = self._find(wire.functions(conversation.request), "delegate")
        if function is None:
            return ()
        return tuple(
            Call(
                self._identifier(),
                function["name"],
                orjson.dumps(fill(function.get("parameters") or {}, script.for_sub_agent(number))).decode(),
            )
            for number in range(script.delegate)
        )

    def _find(self, functions: list[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
        """Return the function called `name`, whatever prefix a client put before it."""
        for function in functions:
            offered = function.get("name", "")
            if offered == name or offered.endswith(("_" + name, "." + name)):
                return function
        self._complain(f"no tool {name!r} among {[function.get('name') for function in functions]}")
        return None

    def _identifier(self) -> str:
        return f"call_{next(self._numbers):024x}"


def text_of(content: Any) -> str:
    """Return the text of a message's content, which may be a string, parts or null."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return ""


def fill(schema: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return arguments for `schema`: what it requires and no more, `text` where it asks for an objective."""
    properties: Mapping[str, Any] = schema.get("properties") or {}
    required: Sequence[str] = schema.get("required") or list(properties)
    strings = [name for name in required if properties.get(name, {}).get("type") == "string"]
    objective = "objective" if "objective" in required else next(iter(strings), "")
    return {name: text if name == objective else _value(properties.get(name, {}), text) for name in required}


def _value(schema: Mapping[str, Any], text: str) -> Any:
    """Return the first thing that fits `schema`."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "string":
            return "one line"
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case "array":
            return [_value(schema.get("items", {}), text)]
        case _:
            return fill(schema, text)

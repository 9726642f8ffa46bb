"""A server that answers like the Messages API, and refuses where that refuses.

    claude = StrictClaude([thought("Look."), call("t1", "notes__read")], [said("Done.")])
    async with fault_server(*[claude.respond] * 9) as server: ...

It answers by the number of turns that the request holds, so that a conversation may go on at any time and with
any model. It signs what it thinks for the model, the text and the place, for newer models also for all that
stood before it, and it knows what it thought beside which call: that may be missing only where something before
it was changed. Rules and wording are those of
https://platform.claude.com/docs/en/api/errors, `build-with-claude/thinking`, `thinking-tool-workflows` and
`preserved-thinking`, and of errors that people reported. It keeps a prompt cache, as `prompt-caching` has it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson

from tests.models.server import Request, Script, answer, event_stream

Block = dict[str, Any]
Body = Mapping[str, Any]

LOOK_BACK = 20
"""Blocks before a marker among which an entry of the cache is looked for."""
_FIELDS = {
    "model", "messages", "max_tokens", "system", "tools", "tool_choice", "thinking", "output_config", "stream",
    "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier", "cache_control",
}  # fmt: skip
_BLOCK_FIELDS = {
    "text": {"type", "text", "cache_control"},
    "image": {"type", "source", "cache_control"},
    "tool_use": {"type", "id", "name", "input", "cache_control"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
}
_OF_ROLE = {
    "user": {"text", "image", "tool_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking"},
}
_THINKING_FIELDS = {
    "enabled": {"type", "budget_tokens", "display"},
    "adaptive": {"type", "display"},
    "disabled": {"type"},
    "between_tools": {"type"},
}
_IDENTITY = re.compile(r"[a-zA-Z0-9_-]+")
_ALL = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True)
class Rules:
    """What one model accepts."""

    thinking: tuple[str, ...]
    max_tokens: int
    efforts: tuple[str, ...] = ()
    bound: bool = False
    """Whether its thinking is bound to all that stood before it, and no call can be demanded of it."""
    by_default: bool = False
    samples: bool = True


MODELS = {
    "claude-haiku-4-5": Rules(("enabled", "disabled"), 64_000),
    "claude-sonnet-4-5": Rules(("enabled", "disabled"), 64_000),
    "claude-opus-4-6": Rules(("enabled", "adaptive", "disabled"), 128_000, ("low", "medium", "high", "max")),
    "claude-opus-4-8": Rules(("adaptive", "disabled"), 128_000, _ALL, samples=False),
    "claude-opus-5": Rules(("adaptive", "disabled"), 128_000, _ALL, by_default=True, samples=False),
    "claude-opus-5-5": Rules(("adaptive",), 128_000, _ALL, bound=True, by_default=True, samples=False),
    "claude-sonnet-5-5": Rules(
        ("adaptive", "between_tools"), 128_000, _ALL, bound=True, by_default=True, samples=False
    ),
}


def thought(text: str) -> Block:
    """Return a block of thinking; the server signs it."""
    return {"type": "thinking", "thinking": text}


def hidden() -> Block:
    """Return a block of thinking that the server does not show."""
    return {"type": "redacted_thinking"}


def said(text: str) -> Block:
    """Return a block of text."""
    return {"type": "text", "text": text}


def call(identity: str, name: str, **arguments: Any) -> Block:
    """Return a block that calls a tool."""
    return {"type": "tool_use", "id": identity, "name": name, "input": arguments}


class Refused(Exception):
    """The request is not what the API takes."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class StrictClaude:
    """Answers each request with the turn that comes next, or says why it does not."""

    turns: Sequence[Sequence[Block]]
    usages: list[dict[str, int]] = field(default_factory=list[dict[str, int]])
    refusals: list[str] = field(default_factory=list[str])
    _thoughts: dict[tuple[str, str], tuple[list[Block], bytes]] = field(
        default_factory=dict[tuple[str, str], tuple[list[Block], bytes]]
    )
    """What a model thought beside a call, by its name and the id of the call, and after what."""
    _cache: set[bytes] = field(default_factory=set[bytes])

    def respond(self, request: Request) -> Script:
        """Return the answer to one request."""
        try:
            check_headers(request.headers)
            body = request.json
            check(body)
            self._check_thoughts(body)
        except Refused as refused:
            self.refusals.append(str(refused))
            kind = "authentication_error" if refused.status == 401 else "invalid_request_error"
            error = {"type": "error", "error": {"type": kind, "message": str(refused)}}
            return answer(error, status=refused.status)
        content = self._content(body)
        calls = any(block["type"] == "tool_use" for block in content)
        message: Block = {
            "id": f"msg_{len(self.usages)}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": self._usage(body),
        }
        self.usages.append(message["usage"])
        return event_stream(*streamed(message)) if body.get("stream") else answer(message)

    def _content(self, body: Body) -> list[Block]:
        """Return the next turn, its thinking signed, or left out where the model does not think."""
        position = sum(message["role"] == "assistant" for message in body["messages"])
        content: list[Block] = []
        for block in self.turns[position]:
            if "thinking" not in block["type"]:
                content.append(block)
            elif thinks(body):
                asked: Block = body.get("thinking") or {}
                unseen = block["type"] == "thinking" and asked.get("display") == "omitted"
                shown = {**block, "thinking": ""} if unseen else block
                content.append(signed(shown, body, len(body["messages"]), content))
        ours = [block for block in content if "thinking" in block["type"]]
        thought_of = (ours, _before(body, len(body["messages"])))
        self._thoughts.update(
            {(body["model"], block["id"]): thought_of for block in content if block["type"] == "tool_use"}
        )
        return content

    def _check_thoughts(self, body: Body) -> None:
        """Refuse thinking that is missing, altered or out of its order, where it counts."""
        messages, model = body["messages"], body["model"]
        begin = _turn_began(messages)
        for place, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            for at, block in enumerate(message["content"]):
                if "thinking" in block["type"]:
                    before = message["content"][:at]
                    if block != signed(block, body, place, before):
                        refuse(f"messages.{place}.content.{at}: Invalid `signature` in `thinking` block")
            if place < begin or not thinks(body):
                continue
            sent = [block for block in message["content"] if "thinking" in block["type"]]
            first = message["content"][0]["type"]
            if body["thinking"]["type"] == "enabled" and place == begin and "thinking" not in first:
                refuse(
                    f"messages.{place}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
                    f"`{first}`. When `thinking` is enabled, a final `assistant` message must start with a "
                    "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)"
                )
            for block in message["content"]:
                once, after = self._thoughts.get((model, block.get("id", "")), (sent, b""))
                if sent != once and (sent or after == _before(body, place)):
                    refuse(
                        f"messages.{place}: `thinking` or `redacted_thinking` blocks in the latest assistant "
                        "message cannot be modified. These blocks must remain as they were in the original response."
                    )

    def _usage(self, body: Body) -> dict[str, int]:
        """Return what the request costs, reading and writing the cache at its markers."""
        running, total, hashes, sizes = hashlib.sha256(body["model"].encode()), 0, list[bytes](), list[int]()
        marks: list[int] = []
        for block, marked in _linear(body):
            running.update(block)
            total += len(block)
            hashes.append(running.digest())
            sizes.append(total)
            if marked:
                marks.append(len(hashes) - 1)
        hits = [
            at
            for mark in marks
            for at in range(max(0, mark - LOOK_BACK), mark + 1)
            if hashes[at] in self._cache
        ]
        read = sizes[max(hits)] if hits else 0
        written = max(0, sizes[marks[-1]] - read) if marks else 0
        self._cache |= {hashes[mark] for mark in marks}
        return {
            "input_tokens": total - read - written,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": 40,
        }


def refuse(message: str) -> NoReturn:
    """Refuse the request."""
    raise Refused(message)


def thinks(body: Body) -> bool:
    """Return whether the model thinks at this request."""
    asked: Block | None = body.get("thinking")
    if asked is None:
        return MODELS[body["model"]].by_default
    return asked["type"] in ("enabled", "adaptive")


def signed(block: Block, body: Body, place: int, before: Sequence[Block]) -> Block:
    """Return a block of thinking with the signature that it has at this place of this conversation."""
    what = [body["model"], block.get("thinking", ""), sum("thinking" in one["type"] for one in before)]
    if MODELS[body["model"]].bound:
        messages = [*body["messages"][:place], {"role": "assistant", "content": list(before)}]
        what.append(_plain([body.get("system"), body.get("tools"), messages]))
    seal = hashlib.sha256(orjson.dumps(what)).hexdigest()
    if block["type"] == "redacted_thinking":
        return {"type": "redacted_thinking", "data": seal}
    return {"type": "thinking", "thinking": block["thinking"], "signature": seal}


def _before(body: Body, place: int) -> bytes:
    """Return all that stands before a message, as one value."""
    return orjson.dumps(_plain([body.get("system"), body.get("tools"), body["messages"][:place]]))


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a request without a key or a version."""
    if not headers.get("x-api-key"):
        raise Refused("x-api-key header is required", status=401)
    if headers.get("anthropic-version") != "2023-06-01":
        refuse("anthropic-version: header is required")


def check(body: Body) -> None:
    """Refuse a body that the API does not take."""
    _only(body, _FIELDS, "")
    rules = MODELS[body["model"]]
    most = body.get("max_tokens")
    if most is None:
        refuse("max_tokens: Field required")
    if most > rules.max_tokens:
        refuse(
            f"max_tokens: {most} > {rules.max_tokens}, which is the maximum allowed number of output tokens"
        )
    _check_thinking(body, rules)
    _check_tools(body, rules)
    markers = orjson.dumps(body).count(b'"cache_control"')
    if markers > 4:
        refuse(f"A maximum of 4 blocks with cache_control may be provided. Found {markers}.")
    for block in _list(body, "system"):
        _check_block(block, "system", {"text"})
    _check_messages(body["messages"])


def _check_thinking(body: Body, rules: Rules) -> None:
    asked = body.get("thinking")
    if asked is not None:
        kind = asked["type"]
        if kind not in rules.thinking:
            refuse(f'"thinking.type.{kind}" is not supported for this model.')
        _only(asked, _THINKING_FIELDS[kind], f"thinking.{kind}.")
        if asked.get("display") not in (None, "summarized", "omitted"):
            refuse("thinking.display: Input should be 'summarized' or 'omitted'")
        if kind == "enabled" and asked["budget_tokens"] < 1024:
            refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if kind == "enabled" and asked["budget_tokens"] >= body["max_tokens"]:
            refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    config: Block = body.get("output_config") or {}
    effort = config.get("effort")
    if effort is not None and effort not in rules.efforts:
        refuse(f"output_config.effort: {effort} is not supported for this model")
    if "temperature" in body and (not rules.samples or (thinks(body) and body["temperature"] != 1)):
        refuse("`temperature` may only be set to 1 when thinking is enabled.")


def _check_tools(body: Body, rules: Rules) -> None:
    names = [tool["name"] for tool in _list(body, "tools")]
    if len(names) != len(set(names)):
        refuse("tools: Tool names must be unique.")
    for at, tool in enumerate(_list(body, "tools")):
        _only(tool, {"name", "description", "input_schema", "cache_control"}, f"tools.{at}.custom.")
        if tool["input_schema"].get("type") != "object":
            refuse(f"tools.{at}.custom.input_schema.type: Field required")
    choice = body.get("tool_choice")
    if choice is None:
        return
    if choice["type"] not in ("auto", "any", "none"):
        refuse("tool_choice: Input tag does not match any of the expected tags")
    if choice["type"] == "any" and rules.bound:
        refuse("tool_choice: forced tool use is not supported for this model")
    if choice["type"] == "any" and thinks(body):
        refuse("Thinking may not be enabled when tool_choice forces tool use.")


def _check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        refuse("messages: at least one message is required")
    if messages[0]["role"] != "user":
        refuse("messages: first message must use the user role")
    if messages[-1]["role"] != "user":
        refuse(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    used: set[str] = set()
    for place, message in enumerate(messages):
        _only(message, {"role", "content"}, f"messages.{place}.")
        if message["role"] not in _OF_ROLE:
            refuse(f"messages.{place}.role: Input should be 'user' or 'assistant'")
        content = message["content"]
        if not content:
            refuse(f"messages.{place}: all messages must have non-empty content")
        for at, block in enumerate(content):
            _check_block(block, f"messages.{place}.content.{at}", _OF_ROLE[message["role"]])
        if message["role"] == "assistant" and "thinking" in content[-1]["type"]:
            refuse(f"messages.{place}: The final block in an assistant message cannot be `thinking`.")
        calls = [block["id"] for block in content if block["type"] == "tool_use"]
        if used & set(calls) or len(set(calls)) < len(calls):
            refuse("messages: `tool_use` ids must be unique")
        used |= set(calls)
        _check_results(messages, place, calls)


def _check_results(messages: Sequence[Mapping[str, Any]], place: int, calls: list[str]) -> None:
    """Refuse calls whose results are not the first of what follows, and results that follow no call."""
    following: list[Block] = messages[place + 1]["content"] if place + 1 < len(messages) else []
    first = [block["tool_use_id"] for block in following[: len(calls)] if block["type"] == "tool_result"]
    if missing := set(calls) - set(first):
        refuse(
            f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(missing))}. Each `tool_use` block must have a corresponding `tool_result` block "
            "in the next message."
        )
    results = [block["tool_use_id"] for block in following if block["type"] == "tool_result"]
    if place == 0 and any(block["type"] == "tool_result" for block in messages[0]["content"]):
        refuse("messages.0: unexpected `tool_use_id` found in `tool_result` blocks")
    if len(results) != len(set(results)) or set(results) - set(calls):
        refuse(f"messages.{place + 1}: unexpected `tool_use_id` found in `tool_result` blocks: {results}")


def _check_block(block: Mapping[str, Any], path: str, kinds: set[str]) -> None:
    kind = block["type"]
    if kind not in kinds:
        refuse(
            f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {kinds}"
        )
    _only(block, _BLOCK_FIELDS[kind], f"{path}.{kind}.")
    match kind:
        case "text":
            if not block["text"]:
                refuse("messages: text content blocks must be non-empty")
            if not block["text"].strip():
                refuse("messages: text content blocks must contain non-whitespace text")
        case "tool_use":
            if not _IDENTITY.fullmatch(block["id"]):
                refuse(f"{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if not isinstance(block["input"], dict):
                refuse(f"{path}.tool_use.input: Input should be a valid dictionary")
        case "tool_result":
            inside: list[Block] = [] if isinstance(block.get("content", ""), str) else block["content"]
            for at, inner in enumerate(inside):
                _check_block(inner, f"{path}.content.{at}", {"text", "image"})
        case _:
            pass


def _only(fields: Mapping[str, Any], allowed: set[str], path: str) -> None:
    if unknown := sorted(fields.keys() - allowed):
        refuse(f"{path}{unknown[0]}: Extra inputs are not permitted")


def _turn_began(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return where the turn of the model began that the results at the end belong to."""
    began = len(messages)
    for place in reversed(range(len(messages))):
        message = messages[place]
        if message["role"] == "assistant":
            began = place
        elif message["content"][0]["type"] != "tool_result":
            break
    return began


def _linear(body: Body) -> Iterator[tuple[bytes, bool]]:
    """Yield what a prompt cache sees one after the other, and whether it is marked."""
    blocks = [("tools", tool) for tool in _list(body, "tools")]
    blocks += [("system", block) for block in _list(body, "system")]
    blocks += [(message["role"], block) for message in body["messages"] for block in message["content"]]
    for where, block in blocks:
        yield orjson.dumps([where, _plain(block)]), "cache_control" in block


def _list(body: Body, name: str) -> list[Block]:
    return body.get(name) or []


def _plain(value: Any) -> Any:
    """Return a value without the markers of the cache."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items() if name != "cache_control"}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def streamed(message: Mapping[str, Any], *, step: int = 7) -> list[bytes]:
    """Return the events of a message that comes in pieces of `step` characters."""
    start: Block = {**message, "content": [], "stop_reason": None}
    events: list[Block] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        begun, deltas = _pieces(block, step)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": message["stop_reason"], "stop_sequence": message.get("stop_sequence")}
    usage = {"output_tokens": message["usage"]["output_tokens"]}
    events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
    return [event(one) for one in events]


def event(document: Mapping[str, Any]) -> bytes:
    """Return one event as it stands in the stream."""
    return b"event: %b\ndata: %b\n\n" % (document["type"].encode(), orjson.dumps(document))


def _pieces(block: Block, step: int) -> tuple[Block, list[dict[str, str]]]:
    def cut(text: str) -> list[str]:
        return [text[at : at + step] for at in range(0, len(text), step)]

    match block["type"]:
        case "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in cut(block["text"])]
            return {**block, "text": ""}, deltas
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in cut(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use":
            arguments = orjson.dumps(block["input"]).decode() if block["input"] else ""
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *cut(arguments)]]
            return {**block, "input": {}}, deltas
        case _:
            return block, []

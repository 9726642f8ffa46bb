"""Replies of the Messages API: a whole document, or the events of a stream put together.

Source: https://platform.claude.com/docs/en/api/messages, `build-with-claude/streaming` and
`build-with-claude/handling-stop-reasons`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from harness.messages import Reasoning, StopReason, Text, Usage
from harness.models.encoding import decode_json, encode_json
from harness.models.faults import TransientFault, fault_of
from harness.models.json_values import as_count, as_object, as_objects, as_text
from harness.models.port import TextDelta, ThinkingDelta
from harness.models.raw_json import elements, members
from harness.models.replies import CallDraft, Reply

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status of each type of error, which an event of a stream does not have."""
_CUT = frozenset({"max_tokens", "model_context_window_exceeded", "pause_turn"})
"""Reasons after which more would have come."""
_THINKING = ("thinking", "redacted_thinking")
"""Kinds of blocks that go back byte for byte."""
_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""Kinds of a fragment, and the field of a block that it goes on with."""


@dataclass(slots=True)
class _Block:
    """One block of a reply's content while its fragments arrive."""

    fields: dict[str, Any]
    """The block as it began."""
    pieces: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    arguments: list[str] = field(default_factory=list[str])
    closed: bool = False
    raw: str = ""
    """The block as it came, byte for byte, where it came whole and may have to go back so."""

    def take(self, delta: Mapping[str, Any]) -> TextDelta | ThinkingDelta | None:
        """Take one fragment and return what came with it for a person to see."""
        kind = as_text(delta.get("type"))
        if kind == "input_json_delta":
            self.arguments.append(as_text(delta.get("partial_json")))
            return None
        name = _PIECES.get(kind)
        piece = as_text(delta.get(name)) if name else ""
        if name is None or not piece:
            return None
        self.pieces.setdefault(name, []).append(piece)
        return {"text": TextDelta, "thinking": ThinkingDelta}[name](piece) if name != "signature" else None

    def part(self, *, provider: str, model: str, route: str) -> Text | Reasoning | CallDraft | None:
        """Return what the block says, or None for one that says nothing to us."""
        whole = {
            **self.fields,
            **{
                name: as_text(self.fields.get(name)) + "".join(pieces) for name, pieces in self.pieces.items()
            },
        }
        match whole.get("type"):
            case "text":
                text = as_text(whole.get("text"))
                return Text(text) if text else None
            case kind if kind in _THINKING:
                payload = self.raw or encode_json(whole).decode()
                return Reasoning(as_text(whole.get("thinking")), provider, model, payload, route)
            case "tool_use":
                arguments = "".join(self.arguments) or encode_json(whole.get("input") or {}).decode()
                return CallDraft(as_text(whole.get("id")), as_text(whole.get("name")), [arguments])
            case _:
                return None


@dataclass(slots=True)
class ReplyDraft:
    """One reply while it is read."""

    blocks: dict[int, _Block] = field(default_factory=dict[int, _Block])
    ended_by: str = ""
    refusal: str = ""
    counts: dict[str, Any] = field(default_factory=dict[str, Any])
    model: str = ""
    response_id: str = ""

    def take_message(self, message: Mapping[str, Any], raws: Sequence[str] = ()) -> None:
        """Take over a message: the whole one, with its blocks as they came, or how a stream begins."""
        self.model = as_text(message.get("model"))
        self.response_id = as_text(message.get("id"))
        for index, (block, raw) in enumerate(zip(as_objects(message.get("content")), raws, strict=False)):
            self.blocks[index] = _Block(block, closed=True, raw=raw)
        self.take_end(message, message.get("usage"))

    def take_end(self, end: Mapping[str, Any], usage: Any) -> None:
        """Take over why the reply ended, and what it used: the last count of each kind holds."""
        self.ended_by = as_text(end.get("stop_reason")) or self.ended_by
        self.refusal = as_text(as_object(end.get("stop_details")).get("explanation")) or self.refusal
        self.counts.update({name: count for name, count in as_object(usage).items() if count is not None})

    def reply(self, *, provider: str, model: str, route: str) -> Reply:
        """Return the finished reply; its reasoning is bound to who was asked: `provider`, `model` and `route`."""
        blocks = [self.blocks[index] for index in sorted(self.blocks)]
        made = [block.part(provider=provider, model=model, route=route) for block in blocks]
        refused = self.ended_by == "refusal"
        parts = [part for part in made if part is not None and not (refused and isinstance(part, CallDraft))]
        if refused and self.refusal and not any(isinstance(part, Text) for part in parts):
            parts.append(Text(self.refusal))
        notes = (
            [f"the endpoint stopped early: {self.ended_by}"] if self.ended_by in _CUT - {"max_tokens"} else []
        )
        called = any(isinstance(part, CallDraft) for part in parts)
        return Reply(
            parts, self._stop_reason(called), usage_of(self.counts), self.model, self.response_id, notes
        )

    def _stop_reason(self, called: bool) -> StopReason:
        if self.ended_by in _CUT:
            return "length"
        if self.ended_by == "refusal":
            return "refusal"
        return "tool_calls" if called else "end"


def read_reply(body: bytes, *, place: str) -> ReplyDraft:
    """Return the reply in a whole response body.

    Raises:
        TransientFault: It holds no reply.
        ModelError: It holds an error that is not worth repeating.
    """
    document = _checked(decode_json(body), place=place)
    content = document.get("content")
    if not isinstance(content, list) or len(as_objects(content)) < len(cast("list[Any]", content)):
        raise TransientFault("the endpoint answered without any content")
    raws = [""] * len(as_objects(content))
    if any(block.get("type") in _THINKING for block in as_objects(content)):
        raws = elements(members(body.decode("utf-8", "replace"))["content"])
    draft = ReplyDraft()
    draft.take_message(document, raws)
    return draft


class StreamedReply:
    """Puts a reply together from the events of a stream."""

    def __init__(self, *, place: str, provider: str, model: str, route: str) -> None:
        self._place = place
        self._bound = {"provider": provider, "model": model, "route": route}
        self._draft = ReplyDraft()
        self._begun = False
        self.done = False
        """True once the stream said that it is over."""

    @property
    def whole(self) -> bool:
        """True once nothing of the message can be missing."""
        return self._begun and self._draft.ended_by != ""

    def take(self, event: bytes) -> TextDelta | ThinkingDelta | None:
        """See `harness.models.replies.StreamReader`."""
        fields = _checked(decode_json(event), place=self._place)
        blocks, index = self._draft.blocks, fields.get("index")
        match fields.get("type"):
            case "message_start":
                self._begun = True
                self._draft.take_message(as_object(fields.get("message")))
            case "content_block_start" if isinstance(index, int):
                blocks[index] = _Block(as_object(fields.get("content_block")))
            case "content_block_delta":
                if index not in blocks:
                    raise TransientFault("the stream goes on with a block that did not begin")
                return blocks[index].take(as_object(fields.get("delta")))
            case "content_block_stop" if index in blocks:
                blocks[index].closed = True
            case "message_delta":
                self._draft.take_end(as_object(fields.get("delta")), fields.get("usage"))
            case "message_stop":
                self.done = True
            case _:
                pass
        return None

    def finish(self) -> Reply:
        """See `harness.models.replies.StreamReader`."""
        if not self.whole:
            raise TransientFault("the stream was cut before its end")
        reply = self._draft.reply(**self._bound)
        open_blocks = not all(block.closed for block in self._draft.blocks.values())
        if open_blocks and reply.stop_reason not in ("length", "refusal"):
            raise TransientFault("the stream ended within a block")
        return reply


def usage_of(counts: Mapping[str, Any]) -> Usage | None:
    """Return what a `usage` object reports, or None where it is missing or cannot be true.

    What was read from the cache and what was written to it is not part of `input_tokens` there, but of ours.
    """
    fresh, output = as_count(counts.get("input_tokens")), as_count(counts.get("output_tokens"))
    if fresh is None or output is None:
        return None
    read = as_count(counts.get("cache_read_input_tokens")) or 0
    written = as_count(counts.get("cache_creation_input_tokens")) or 0
    thought = as_count(as_object(counts.get("output_tokens_details")).get("thinking_tokens")) or 0
    return Usage(
        fresh + read + written, output, read, min(thought, output), calls=1, cache_write_tokens=written
    )


def _checked(document: Any, *, place: str) -> dict[str, Any]:
    """Return a document that is an object and reports no error."""
    if not isinstance(document, dict):
        raise TransientFault("the endpoint sent JSON that is not an object")
    fields = cast("dict[str, Any]", document)
    if not fields.get("error"):
        return fields
    status = _STATUS.get(as_text(as_object(fields["error"]).get("type")), 502)
    raise fault_of(status, {}, encode_json(fields), place=place)

"""Replies of the Responses API: a whole document, or the typed events of a stream.

A reply is a list of items. An item that came after reasoning must go back together with it, under its own
id, or the API refuses the request; so the item's id travels in front of it, as a mark: a `Reasoning` without
text whose payload says what the item was besides its content, and which reasoning it came `after`.
Source: https://platform.openai.com/docs/api-reference/responses and `responses-streaming`; the types of
https://github.com/openai/openai-python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import ModelError
from harness.messages import Reasoning, StopReason, Text, Usage
from harness.models.encoding import decode_json, encode_json
from harness.models.faults import TransientFault, fault_of
from harness.models.json_values import as_count, as_object, as_objects, as_text
from harness.models.port import TextDelta, ThinkingDelta
from harness.models.raw_json import elements, members
from harness.models.replies import CallDraft, Reply

_DONE = b"[DONE]"
_MARKED = ("type", "id", "status", "phase")
"""What a mark keeps of an item: all but its content, which has a part of its own."""
_STATUS_OF_CODE = {"rate_limit_exceeded": 429, "insufficient_quota": 429}
_REFUSED = frozenset(
    {
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "misalignment_policy_violation",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
        "invalid_request_error",
        "context_length_exceeded",
    }
)
"""Codes of failures that come again however often the request is made."""

Bind = Callable[[str, str], Reasoning]
"""Makes a `Reasoning` of a text and a payload, bound to who was asked."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a reply's output."""

    fields: Mapping[str, Any]
    raw: str
    """Its JSON as it came; read for reasoning only."""

    @property
    def kind(self) -> str:
        """Its type on the wire."""
        return as_text(self.fields.get("type"))


def read_reply(body: bytes, *, place: str, bind: Bind) -> Reply:
    """Return the reply in a whole response body.

    Raises:
        TransientFault: It holds no reply.
        ModelError: It holds an error that is not worth repeating.
    """
    response = as_object(decode_json(body))
    if error := as_object(response.get("error")):
        raise _failure(error, place=place)
    if not isinstance(response.get("output"), list):
        raise TransientFault("the endpoint answered without any output")
    output = as_objects(response["output"])
    raws = [""] * len(output)
    if any(item.get("type") == "reasoning" for item in output):
        raws = elements(members(body.decode("utf-8", "replace"))["output"])
    return _reply(response, list(map(Item, output, raws)), place=place, bind=bind)


class StreamedResponse:
    """Puts a reply together from the events of a stream.

    Only items that are done count, so that half a call is never one; what comes piece by piece is for people.
    """

    def __init__(self, *, place: str, bind: Bind) -> None:
        self._place = place
        self._bind = bind
        self._items: list[tuple[int, Item]] = []
        self._response: dict[str, Any] = {}
        self.done = False
        """True once the stream said that it is over."""

    @property
    def whole(self) -> bool:
        """True once nothing of the reply can be missing."""
        return bool(self._response)

    def take(self, event: bytes) -> TextDelta | ThinkingDelta | None:
        """See `harness.models.replies.StreamReader`."""
        if event == _DONE:
            self.done = True
            return None
        fields = as_object(decode_json(event))
        match as_text(fields.get("type")):
            case "response.output_text.delta" | "response.refusal.delta":
                return TextDelta(as_text(fields.get("delta")))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return ThinkingDelta(as_text(fields.get("delta")))
            case "response.output_item.done":
                self._take_item(fields, event)
            case "response.completed" | "response.incomplete":
                self._response = as_object(fields.get("response"))
                self.done = True
            case "response.failed":
                raise _failure(as_object(as_object(fields.get("response")).get("error")), place=self._place)
            case kind if kind == "error" or fields.get("error"):
                raise _failure(as_object(fields.get("error")) or fields, place=self._place)
            case _:
                pass
        return None

    def finish(self) -> Reply:
        """See `harness.models.replies.StreamReader`."""
        if not self.whole:
            raise TransientFault("the stream was cut before its end")
        items = [item for _, item in sorted(self._items, key=lambda pair: pair[0])]
        output = as_objects(self._response.get("output"))
        if len(output) > len(items):
            # Some servers send a reply's items at its end only; these were read as JSON and are written anew.
            items = [Item(item, encode_json(item).decode()) for item in output]
        return _reply(self._response, items, place=self._place, bind=self._bind)

    def _take_item(self, fields: Mapping[str, Any], event: bytes) -> None:
        item, index = as_object(fields.get("item")), fields.get("output_index")
        raw = members(event.decode("utf-8", "replace"))["item"] if item.get("type") == "reasoning" else ""
        self._items.append((index if isinstance(index, int) else len(self._items), Item(item, raw)))


def _reply(response: Mapping[str, Any], items: Sequence[Item], *, place: str, bind: Bind) -> Reply:
    status = as_text(response.get("status")) or "completed"
    if status == "failed":
        raise _failure(as_object(response.get("error")), place=place)
    if status not in ("completed", "incomplete"):
        raise TransientFault(f"the endpoint answered with a response that is {status}")
    notes: list[str] = []
    parts = _parts(items, bind)
    stop: StopReason = "tool_calls" if any(isinstance(part, CallDraft) for part in parts) else "end"
    if status == "incomplete":
        why = as_text(as_object(response.get("incomplete_details")).get("reason"))
        stop = "refusal" if why == "content_filter" else "length"
        kept: list[Text | Reasoning | CallDraft] = [
            part for part in parts if stop == "length" or not isinstance(part, CallDraft)
        ]
        if cut := len(parts) - len(kept):
            notes.append(f"the content filter cut off {cut} tool call(s), which were not run")
        parts = kept
    elif any(_refuses(item) for item in items):
        stop = "refusal"
    return Reply(
        parts,
        stop,
        usage_of(response.get("usage")),
        as_text(response.get("model")),
        as_text(response.get("id")),
        notes,
    )


def _parts(items: Sequence[Item], bind: Bind) -> list[Text | Reasoning | CallDraft]:
    """Return the parts of a reply, each item that must go back under its id with its mark before it."""
    parts: list[Text | Reasoning | CallDraft] = []
    after = ""
    for item in items:
        if item.kind == "reasoning":
            readable = bool(item.fields.get("encrypted_content") or item.fields.get("content"))
            parts.append(bind(_thought(item.fields), item.raw if readable else ""))
            after = as_text(item.fields.get("id")) if readable else ""
        elif (said := _said(item)) is None:
            # What cannot go back takes with it the reasoning that led to it.
            for at in range(len(parts) - 1, -1, -1):
                part = parts[at]
                if not isinstance(part, Reasoning) or _is_mark(part):
                    break
                parts[at] = replace(part, payload="")
            after = ""
        else:
            mark = {name: item.fields[name] for name in _MARKED if item.fields.get(name) is not None}
            if after or "phase" in mark:
                parts.append(bind("", encode_json({**mark, "after": after} if after else mark).decode()))
            parts.append(said)
    return parts


def _is_mark(part: Reasoning) -> bool:
    return bool(part.payload) and as_object(decode_json(part.payload.encode())).get("type") != "reasoning"


def _said(item: Item) -> Text | CallDraft | None:
    """Return what an item says; None for one of a kind that we did not ask for, or an empty one."""
    fields = item.fields
    if item.kind == "function_call":
        identity = as_text(fields.get("call_id")) or as_text(fields.get("id"))
        arguments: Any = fields.get("arguments")
        written = arguments if isinstance(arguments, str) else encode_json(arguments or {}).decode()
        return CallDraft(identity, as_text(fields.get("name")), [written])
    content: Any = fields.get("content")
    text = content if isinstance(content, str) else "".join(map(_visible, as_objects(content)))
    return Text(text) if text and item.kind == "message" else None


def _visible(part: Mapping[str, Any]) -> str:
    return as_text(part.get("text")) or as_text(part.get("refusal"))


def _refuses(item: Item) -> bool:
    return any(part.get("type") == "refusal" for part in as_objects(item.fields.get("content")))


def _thought(fields: Mapping[str, Any]) -> str:
    """Return what a person may see of a reasoning item: the summary, or the text of an open model."""
    summary = [as_text(part.get("text")) for part in as_objects(fields.get("summary"))]
    return "\n\n".join(summary) or "".join(
        as_text(part.get("text")) for part in as_objects(fields.get("content"))
    )


def usage_of(reported: Any) -> Usage | None:
    """Return what a `usage` object reports, or None where it is missing or cannot be true."""
    fields = as_object(reported)
    read, written = as_count(fields.get("input_tokens")), as_count(fields.get("output_tokens"))
    if read is None or written is None:
        return None
    details = as_object(fields.get("input_tokens_details"))
    cached = min(as_count(details.get("cached_tokens")) or 0, read)
    reasoning = as_count(as_object(fields.get("output_tokens_details")).get("reasoning_tokens")) or 0
    stored = min(as_count(details.get("cache_write_tokens")) or 0, read - cached)
    return Usage(read, written, cached, min(reasoning, written), calls=1, cache_write_tokens=stored)


def _failure(error: Mapping[str, Any], *, place: str) -> TransientFault | ModelError:
    """Return the fault that an error object amounts to, as if it had come as an HTTP status."""
    code = as_text(error.get("code")) or as_text(error.get("type"))
    message = as_text(error.get("message")) or "the response failed without a reason"
    status = _STATUS_OF_CODE.get(code, 400 if code in _REFUSED else 502)
    said = f"{code}: {message}" if code and code != "error" else message
    return fault_of(status, {}, encode_json({"error": {"code": code, "message": said}}), place=place)

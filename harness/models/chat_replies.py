"""Replies of the Chat Completions API: a whole document, or the chunks of a stream put together.

Servers that call themselves compatible differ most here: call ids may be missing or repeated,
fragments may lack their index, arguments may be an object, a stream may end without `[DONE]`. What
can be read without guessing is read; what cannot is a `TransientFault`, so that the request is made
again. Source: https://platform.openai.com/docs/api-reference/chat/object and `chat/streaming`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from harness.messages import Reasoning, StopReason, Text, Usage
from harness.models.dialects import Dialect
from harness.models.encoding import decode_json, encode_json
from harness.models.faults import TransientFault, fault_of
from harness.models.port import TextDelta, ThinkingDelta
from harness.models.profiles import Profile
from harness.models.replies import CallDraft, Reply
from harness.models.soft_switches import restored
from harness.models.think_tags import Opened, TagStream, split_thinking

_MOST_TOKENS = 1_000_000_000
_SAID = ("text", "summary", "thinking")
"""Fields of a provider's reasoning object that hold what was thought."""
_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """The model at the other end, and how it speaks."""

    dialect: Dialect
    profile: Profile
    provider: str
    model: str
    route: str
    place: str
    """Its endpoint, as error texts name it."""

    @property
    def tags(self) -> bool:
        """Whether the content may hold its thinking."""
        return self.dialect.tags_in_content and not self.profile.thinking.never

    @property
    def opened(self) -> Opened:
        """Whether its prompts open a block of thinking."""
        return "yes" if self.profile.thinking.always else "maybe"


@dataclass(slots=True)
class ReplyDraft:
    """One reply while it is read."""

    speaker: Speaker
    opened: Opened
    """Whether the prompt opened a block of thinking."""
    texts: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    payload: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The provider's own objects of its reasoning, in order."""
    refusals: list[str] = field(default_factory=list[str])
    calls: list[CallDraft] = field(default_factory=list[CallDraft])
    finish_reason: str = ""
    usage: Usage | None = None
    model: str = ""
    response_id: str = ""

    def take_document(self, document: Any) -> None:
        """Take over what a reply and a chunk of a stream have in common."""
        self.model = self.model or _text(document.get("model"))
        self.response_id = self.response_id or _text(document.get("id"))
        self.usage = usage_of(document.get("usage")) or self.usage

    def take_message(self, message: Mapping[str, Any]) -> tuple[str, str]:
        """Take over reasoning, text and refusal of a message or a delta; return the first two."""
        content: Any = message.get("content")
        text = (content if isinstance(content, str) else _joined(content)) if content else ""
        if text:
            self.texts.append(text)
        thought = _text(message.get("reasoning_content") or message.get("reasoning"))
        details = _objects(message.get(self.speaker.dialect.payload_field))
        for detail in details:
            _add_detail(self.payload, detail)
        thought = thought or "".join(_text(detail.get(name)) for detail in details for name in _SAID)
        if thought:
            self.reasoning.append(thought)
        if refusal := message.get("refusal"):
            self.refusals.append(_text(refusal))
        return thought, text

    def reply(self) -> Reply:
        """Return the finished reply; its reasoning is bound to who was asked."""
        speaker, parts = self.speaker, list[Text | Reasoning | CallDraft]()
        thought, text = "".join(self.reasoning), "".join(self.texts)
        if speaker.tags:
            opened = "no" if thought else self.opened
            tagged, text = split_thinking(text, opened=opened, cut=self.finish_reason == "length")
            thought = thought or tagged
        if thought or self.payload:
            payload = encode_json(self.payload).decode() if self.payload else ""
            parts.append(
                Reasoning(
                    thought,
                    provider=speaker.provider,
                    model=speaker.model,
                    payload=payload,
                    route=speaker.route,
                )
            )
        text += "".join(self.refusals)
        if speaker.profile.soft_switches:
            text = restored(text)
            for call in self.calls:
                call.arguments = [restored("".join(call.arguments))]
        if text:
            parts.append(Text(text))
        return Reply([*parts, *self.calls], self._stop_reason(), self.usage, self.model, self.response_id)

    def _stop_reason(self) -> StopReason:
        if self.finish_reason == "length":
            return "length"
        if self.finish_reason == "content_filter" or self.refusals:
            return "refusal"
        return "tool_calls" if self.calls else "end"


def read_reply(body: bytes, speaker: Speaker) -> Reply:
    """Return the reply in a whole response body.

    Raises:
        TransientFault: It holds no reply.
        ModelError: It holds an error that is not worth repeating.
    """
    document = _checked(decode_json(body), place=speaker.place)
    choices = _objects(document.get("choices"))
    if not choices:
        raise TransientFault("the endpoint answered without any choice")
    message = _object(choices[0].get("message"))
    if not message:
        raise TransientFault("the endpoint answered with a choice that holds no message")
    draft = ReplyDraft(speaker, speaker.opened, finish_reason=_text(choices[0].get("finish_reason")))
    draft.take_document(document)
    draft.take_message(message)
    for call in _objects(message.get("tool_calls")):
        function = _object(call.get("function"))
        arguments = _arguments(function.get("arguments"))
        draft.calls.append(CallDraft(_text(call.get("id")), _text(function.get("name")), [arguments]))
    return draft.reply()


class StreamedReply:
    """Puts a reply together from the events of a stream."""

    def __init__(self, speaker: Speaker, *, opened: Opened | None = None) -> None:
        self._speaker = speaker
        self._draft = ReplyDraft(speaker, opened or speaker.opened)
        self._tags = TagStream(opened=self._draft.opened == "yes") if speaker.tags else None
        self._calls: dict[int, CallDraft] = {}
        self._seen_choice = False
        self.done = False
        """True once the stream said that it is over."""

    @property
    def whole(self) -> bool:
        """True once nothing of the message can be missing."""
        return self._seen_choice and (self.done or self._draft.finish_reason != "")

    def take(self, event: bytes) -> TextDelta | ThinkingDelta | None:
        """See `harness.models.replies.StreamReader`."""
        if event == _DONE:
            self.done = True
            return None
        chunk = _checked(decode_json(event), place=self._speaker.place)
        self._draft.take_document(chunk)
        thought, text = "", ""
        for choice in _objects(chunk.get("choices")):
            self._seen_choice = True
            if reason := choice.get("finish_reason"):
                self._draft.finish_reason = _text(reason)
            delta = _object(choice.get("delta"))
            new_thought, new_text = self._draft.take_message(delta)
            thought, text = thought + new_thought, text + new_text
            for fragment in _objects(delta.get("tool_calls")):
                self._take_fragment(fragment)
        if thought:
            self._tags = None  # the server has a parser, so tags in the content are the model's own words
        if text and self._tags is not None:
            tagged, text = self._tags.feed(text)
            thought += tagged
        if text:
            return TextDelta(text)
        return ThinkingDelta(thought) if thought else None

    def finish(self) -> Reply:
        """See `harness.models.replies.StreamReader`."""
        if not self.whole:
            raise TransientFault("the stream was cut before its end")
        return self._draft.reply()

    def _take_fragment(self, fragment: Mapping[str, Any]) -> None:
        function = _object(fragment.get("function"))
        identity, name = _text(fragment.get("id")), _text(function.get("name"))
        call = self._call_of(fragment.get("index"), identity, name)
        call.id = call.id or identity
        if name != call.name:
            call.name += name
        if arguments := _arguments(function.get("arguments")):
            call.arguments.append(arguments)

    def _call_of(self, index: Any, identity: str, name: str) -> CallDraft:
        """Return the call that a fragment belongs to.

        The index decides. Where it is missing, or where one index brings a new name under a new
        id, a named fragment begins a new call and any other continues the last one.
        """
        calls = self._draft.calls
        known = self._calls.get(index) if isinstance(index, int) else None
        if known is None and not isinstance(index, int) and calls:
            same = next((call for call in calls if identity and call.id == identity), None)
            known = same or (None if name else calls[-1])
        if known is not None and not (name and identity and known.id and known.id != identity):
            return known
        call = CallDraft()
        calls.append(call)
        if isinstance(index, int):
            self._calls[index] = call
        return call


def _add_detail(details: list[dict[str, Any]], detail: dict[str, Any]) -> None:
    """Add a reasoning object; a piece that goes on with the last one, as streams have them, becomes part of it."""
    last = details[-1] if details else {}
    said = [name for name in _SAID if isinstance(detail.get(name), str) and isinstance(last.get(name), str)]
    same = all(detail.get(name) in (None, last.get(name)) for name in ("type", "index", "id"))
    if not said or not same or (last.get("signature") and any(detail[name] for name in said)):
        details.append(dict(detail))
        return
    for name, value in detail.items():
        if name in said:
            last[name] += value
        elif value is not None and value != "":
            last[name] = value


def usage_of(reported: Any) -> Usage | None:
    """Return what a `usage` object reports, or None where it is missing or cannot be true.

    Some servers leave reasoning out of `completion_tokens` and count it only in `total_tokens`; it
    is added, since `Usage.output_tokens` holds all output.
    """
    fields = _object(reported)
    prompt, completion = _count(fields.get("prompt_tokens")), _count(fields.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    reasoning = _count(_object(fields.get("completion_tokens_details")).get("reasoning_tokens")) or 0
    if reasoning and fields.get("total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    cached = _count(_object(fields.get("prompt_tokens_details")).get("cached_tokens")) or 0
    return Usage(prompt, completion, min(cached, prompt), min(reasoning, completion), calls=1)


def _checked(document: Any, *, place: str) -> dict[str, Any]:
    """Return a document that is an object and reports no error."""
    if not isinstance(document, dict):
        raise TransientFault("the endpoint sent JSON that is not an object")
    fields = cast("dict[str, Any]", document)
    error: Any = fields.get("error")
    if not error:
        return fields
    code = _object(error).get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 502
    raise fault_of(status, {}, encode_json(fields), place=place)


def _count(value: Any) -> int | None:
    plausible = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if plausible else None


def _arguments(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else encode_json(value).decode()


def _joined(content: Any) -> str:
    return "".join(_text(part.get("text")) for part in _objects(content))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", item) for item in cast("list[Any]", value) if isinstance(item, dict)]

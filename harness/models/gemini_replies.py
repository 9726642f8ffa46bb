"""Replies of Gemini's generateContent: a whole document, or the chunks of a stream put together.

A chunk looks like a whole reply that holds only the new parts; a function call comes whole within one. A
`thoughtSignature` belongs to the part it stands on, so it becomes a `Reasoning` directly before that part,
and parts with and without one are never joined. What a streamed reply ends with is often a part of no text
that carries one: it is kept as it is, since it has no part of ours to stand before.
Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from harness.messages import Reasoning, StopReason, Text, Usage
from harness.models.encoding import decode_json, encode_json
from harness.models.faults import TransientFault, fault_of
from harness.models.json_values import as_count, as_object, as_objects, as_text
from harness.models.port import TextDelta, ThinkingDelta
from harness.models.replies import CallDraft, Reply

SIGNATURE = "thoughtSignature"

_REFUSALS = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
    }
)


@dataclass(slots=True)
class _Piece:
    """Text or thought while it arrives."""

    texts: list[str]
    thought: bool


@dataclass(slots=True)
class ReplyDraft:
    """One reply while it is read."""

    provider: str
    model: str
    """The model that was asked, to which the reasoning is bound."""
    route: str
    parts: list[_Piece | Reasoning | CallDraft] = field(default_factory=list[_Piece | Reasoning | CallDraft])
    finish_reason: str = ""
    finish_message: str = ""
    blocked: str = ""
    """Why the prompt itself was refused."""
    usage: Usage | None = None
    answered_by: str = ""
    response_id: str = ""
    answered: bool = False
    """Whether there was a candidate."""

    @property
    def whole(self) -> bool:
        """True once nothing of the reply can be missing."""
        return bool(self.finish_reason or self.blocked)

    def take(self, document: Mapping[str, Any]) -> tuple[str, str]:
        """Take over a document or a chunk; return the text and the thought that came with it."""
        self.answered_by = self.answered_by or as_text(document.get("modelVersion"))
        self.response_id = self.response_id or as_text(document.get("responseId"))
        self.usage = usage_of(document.get("usageMetadata")) or self.usage
        self.blocked = self.blocked or as_text(as_object(document.get("promptFeedback")).get("blockReason"))
        text, thought = "", ""
        for candidate in as_objects(document.get("candidates"))[:1]:
            self.answered = True
            for part in as_objects(as_object(candidate.get("content")).get("parts")):
                said = self._take_part(part)
                if part.get("thought"):
                    thought += said
                else:
                    text += said
            # Some models say STOP before the end: only what the last chunk says counts.
            self.finish_reason = as_text(candidate.get("finishReason"))
            self.finish_message = as_text(candidate.get("finishMessage"))
        return text, thought

    def reply(self) -> Reply:
        """Return the finished reply.

        Raises:
            TransientFault: It was broken off in a way that another attempt may not be.
        """
        stop_reason = self._stop_reason()
        cut = stop_reason == "length"
        parts: list[Text | Reasoning | CallDraft] = []
        for part in self.parts:
            if isinstance(part, _Piece):
                text = "".join(part.texts)
                parts.append(self._reasoning(text) if part.thought else Text(text))
            elif cut and parts and isinstance(part, CallDraft) and _is_bound_to_next(parts[-1]):
                # The call will be left out, and what is bound to it with it.
                parts[-1] = part
            else:
                parts.append(part)
        notes = [f"the endpoint blocked the prompt: {self.blocked}"] if self.blocked else []
        if stop_reason == "refusal" and self.finish_reason:
            notes.append(f"the endpoint ended the reply: {self.finish_reason}")
        return Reply(parts, stop_reason, self.usage, self.answered_by, self.response_id, notes)

    def _take_part(self, part: Mapping[str, Any]) -> str:
        signature = as_text(part.get(SIGNATURE))
        said = as_text(part.get("text"))
        if call := as_object(part.get("functionCall")):
            if signature:
                self.parts.append(self._signed({SIGNATURE: signature}))
            arguments = encode_json(as_object(call.get("args"))).decode()
            self.parts.append(CallDraft(as_text(call.get("id")), as_text(call.get("name")), [arguments]))
            return ""
        if part.get("thought"):
            self._add_text(said, thought=True)
        elif signature and not said:
            self.parts.append(self._signed({"text": "", SIGNATURE: signature}))
        elif signature:
            self.parts += [self._signed({SIGNATURE: signature}), _Piece([said], thought=False)]
        else:
            self._add_text(said, thought=False)
        return said

    def _add_text(self, text: str, *, thought: bool) -> None:
        last = self.parts[-1] if self.parts else None
        signed = len(self.parts) > 1 and _is_bound_to_next(self.parts[-2])
        if isinstance(last, _Piece) and last.thought == thought and not signed:
            last.texts.append(text)
        elif text:
            self.parts.append(_Piece([text], thought))

    def _reasoning(self, text: str, payload: str = "") -> Reasoning:
        return Reasoning(text, self.provider, self.model, payload, self.route)

    def _signed(self, payload: Mapping[str, Any]) -> Reasoning:
        return self._reasoning("", encode_json(payload).decode())

    def _stop_reason(self) -> StopReason:
        calls = any(isinstance(part, CallDraft) for part in self.parts)
        match self.finish_reason:
            case "MAX_TOKENS":
                return "length"
            case "STOP" if not self.blocked:
                return "tool_calls" if calls else "end"
            case reason if self.blocked or reason in _REFUSALS:
                return "refusal"
            case reason:
                said = f": {self.finish_message}" if self.finish_message else ""
                raise TransientFault(f"the model broke off its reply ({reason}{said})")


def read_reply(body: bytes, draft: ReplyDraft, *, place: str) -> Reply:
    """Return the reply in a whole response body.

    Raises:
        TransientFault: It holds no reply.
        ModelError: It holds an error that is not worth repeating.
    """
    draft.take(_checked(decode_json(body), place=place))
    if not draft.answered and not draft.blocked:
        raise TransientFault("the endpoint answered without any candidate")
    if not draft.whole:
        raise TransientFault("the endpoint answered with a candidate that is not finished")
    return draft.reply()


class StreamedReply:
    """Puts a reply together from the chunks of a stream; the stream ends with its connection."""

    def __init__(self, draft: ReplyDraft, *, place: str) -> None:
        self._draft = draft
        self._place = place
        self.done = False

    @property
    def whole(self) -> bool:
        """True once nothing of the reply can be missing."""
        return self._draft.whole

    def take(self, event: bytes) -> TextDelta | ThinkingDelta | None:
        """See `harness.models.replies.StreamReader`."""
        text, thought = self._draft.take(_checked(decode_json(event), place=self._place))
        if text:
            return TextDelta(text)
        return ThinkingDelta(thought) if thought else None

    def finish(self) -> Reply:
        """See `harness.models.replies.StreamReader`."""
        if not self.whole:
            raise TransientFault("the stream was cut before its end")
        return self._draft.reply()


def usage_of(reported: Any) -> Usage | None:
    """Return what `usageMetadata` reports, or None where it is missing or cannot be true.

    Thoughts are not within `candidatesTokenCount`, which is missing where nothing else was written.
    """
    fields = as_object(reported)
    prompt = as_count(fields.get("promptTokenCount"))
    if prompt is None:
        return None
    answer = as_count(fields.get("candidatesTokenCount")) or 0
    thoughts = as_count(fields.get("thoughtsTokenCount")) or 0
    cached = as_count(fields.get("cachedContentTokenCount")) or 0
    prompt += as_count(fields.get("toolUsePromptTokenCount")) or 0
    return Usage(prompt, answer + thoughts, min(cached, prompt), thoughts, calls=1)


def _is_bound_to_next(part: object) -> bool:
    """Whether a part is the signature of the part that follows it."""
    return isinstance(part, Reasoning) and part.payload.startswith(f'{{"{SIGNATURE}"')


def _checked(document: Any, *, place: str) -> dict[str, Any]:
    """Return a document that is an object and reports no error."""
    if not isinstance(document, dict):
        raise TransientFault("the endpoint sent JSON that is not an object")
    fields = cast("dict[str, Any]", document)
    if error := as_object(fields.get("error")):
        code = error.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
        raise fault_of(status, {}, encode_json(fields), place=place)
    return fields

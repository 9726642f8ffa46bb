"""One reply of any wire API, while it is read and once it is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from harness.messages import Message, Part, Reasoning, StopReason, Text, ToolCall, Usage
from harness.models.port import ModelResponse, TextDelta, ThinkingDelta


@dataclass(slots=True)
class CallDraft:
    """A tool call while its fragments arrive; everything may still be empty."""

    id: str = ""
    name: str = ""
    """The name on the wire."""
    arguments: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Reply:
    """What one reply says, in the order the API gave it, still with the names of the wire."""

    parts: list[Text | Reasoning | CallDraft]
    stop_reason: StopReason
    usage: Usage | None = None
    model: str = ""
    """The model that answered, as the provider names it."""
    response_id: str = ""
    notes: list[str] = field(default_factory=list[str])

    def response(
        self, *, model: str, name_of: Mapping[str, str], unused_id: Callable[[str], str]
    ) -> ModelResponse:
        """Return the finished reply; calls that the length limit may have cut are left out.

        `name_of` gives the project's name for a name on the wire; `unused_id` returns the id it is
        given, or another one if that is empty or was used before.
        """
        notes = list(self.notes)
        calls = [part for part in self.parts if isinstance(part, CallDraft)]
        cut = self.stop_reason == "length" and bool(calls)
        if cut:
            notes.append(f"the length limit cut off {len(calls)} tool call(s), which were not run")
        parts: list[Part] = []
        for part in self.parts:
            if not isinstance(part, CallDraft):
                parts.append(part)
            elif not cut:
                identity = unused_id(part.id)
                if identity != part.id:
                    notes.append(f"the endpoint gave the tool call {part.name!r} no id of its own")
                name = name_of.get(part.name, part.name)
                parts.append(ToolCall(identity, name, "".join(part.arguments)))
        message = Message("assistant", tuple(parts))
        return ModelResponse(
            message, self.stop_reason, self.usage, self.model or model, self.response_id, tuple(notes)
        )


class StreamReader(Protocol):
    """Puts a reply together from the events of a stream."""

    done: bool
    """True once the stream said that it is over."""

    @property
    def whole(self) -> bool:
        """True once nothing of the reply can be missing."""
        ...

    def take(self, event: bytes) -> TextDelta | ThinkingDelta | None:
        """Take the data of one event and return what came with it for a person to see.

        Raises:
            TransientFault: The event cannot be read, or tells of an error that may pass.
            ModelError: The event tells of an error that is not worth repeating.
        """
        ...

    def finish(self) -> Reply:
        """Return the reply after the last event.

        Raises:
            TransientFault: The stream ended too early; nothing of it may be used.
        """
        ...

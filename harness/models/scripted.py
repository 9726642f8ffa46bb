"""`ScriptedModel`: the in-memory twin of the model port, for tests of teams and tools.

lead = scripted(calls("delegate", agent="scout", objective="find X"), says("X is at 4"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import anyio.lowlevel
import orjson

from harness.errors import ModelError
from harness.messages import EARLIER, Message, Text, ToolCall, ToolDefinition, Usage
from harness.models.port import CallOptions, ModelResponse, Observe, Price, Transcript
from harness.models.transcripts import MessageTranscript

Reply = Message | Exception | Callable[[Sequence[Message]], Message]
"""A fixed reply, an error to raise, or a function of the messages so far."""


def says(text: str) -> Message:
    """Return a reply of plain text."""
    return Message("assistant", (Text(text),))


def calls(tool: str, /, **arguments: Any) -> Message:
    """Return a reply that calls one tool; join several with `together`."""
    return Message("assistant", (ToolCall("", tool, orjson.dumps(arguments).decode()),))


def together(*replies: Message) -> Message:
    """Return one reply with the parts of several, for instance parallel calls."""
    return Message("assistant", tuple(part for reply in replies for part in reply.parts))


class ScriptedModel:
    """Plays its replies in order, one script per transcript.

    Every transcript starts the script anew, so one scripted model serves many runs of the same
    agent; a transcript that begins with replies, of a run that is carried on, starts after them. A function is called with the messages so far. When the script is over the last reply is
    repeated if it is a function, otherwise the call fails.
    """

    provider = "scripted"
    context_window: int | None = None
    price: Price | None = None

    def __init__(self, *replies: Reply, name: str = "scripted", usage: Usage | None = None) -> None:
        self.name = name
        self.requests: list[tuple[Message, ...]] = []
        """The messages of every request, in the order the requests came."""
        self.offered: list[tuple[str, ...]] = []
        """The names of the tools offered with each request."""
        self.options: list[CallOptions] = []
        """What each request asked for besides: thinking, a tool choice."""
        self._replies = replies
        self._usage = usage

    def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
        """Return a transcript at the start of the script."""
        return _ScriptedTranscript(tools)

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Return the next reply of this transcript's script."""
        assert isinstance(transcript, _ScriptedTranscript)
        await anyio.lowlevel.checkpoint()
        self.requests.append(tuple(transcript.messages))
        self.options.append(options)
        self.offered.append(tuple(definition.name for definition in transcript.tools))
        position = transcript.replies_given
        transcript.replies_given += 1
        if position < len(self._replies):
            reply = self._replies[position]
        elif self._replies and callable(self._replies[-1]):
            reply = self._replies[-1]
        else:
            raise ModelError(f"the script of {self.name} is over after {len(self._replies)} replies")
        if isinstance(reply, Exception):
            raise reply
        message = reply if isinstance(reply, Message) else reply(transcript.messages)
        message = _with_call_ids(message, position)
        return ModelResponse(message, "tool_calls" if message.tool_calls else "end", self._usage, self.name)

    async def close(self) -> None:
        """Do nothing; there is nothing to release."""


def scripted(*replies: Reply, name: str = "scripted", usage: Usage | None = None) -> ScriptedModel:
    """Return a model that plays `replies` in order."""
    return ScriptedModel(*replies, name=name, usage=usage)


class _ScriptedTranscript(MessageTranscript):
    replies_given = 0
    _appended = 0

    def append(self, message: Message) -> None:
        """Add a message; a reply that another process was given counts as given."""
        follows_earlier = bool(self.messages) and self.messages[-1].text.startswith(EARLIER)
        super().append(message)
        if message.role == "assistant" and not follows_earlier:
            self._appended += 1
            self.replies_given = max(self.replies_given, self._appended)

    def reopened(self, messages: Iterable[Message]) -> Self:
        """Return the same conversation with other messages, at the same place of the script."""
        again = super().reopened(messages)
        again.replies_given = max(self.replies_given, again.replies_given)
        again._appended = self._appended
        return again


def _with_call_ids(message: Message, position: int) -> Message:
    """Give calls without an id one that is unique within the transcript."""
    parts = tuple(
        ToolCall(part.id or f"call_{position}_{index}", part.name, part.arguments)
        if isinstance(part, ToolCall)
        else part
        for index, part in enumerate(message.parts)
    )
    return Message(message.role, parts)

"""The conversation so far, read back from its messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from harness.messages import EARLIER, Message, ToolCall, ToolResult


@dataclass(frozen=True, slots=True)
class Exchange:
    """One tool call with what it gave back."""

    name: str
    """The tool's name."""
    arguments: dict[str, Any]
    result: str
    is_error: bool
    turn: int
    """The number of the assistant message that made the call, from 0."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one agent was told and has done."""

    instructions: str
    task: str
    """The first user message: a task or a brief."""
    later: tuple[str, ...]
    """User messages after the first."""
    exchanges: tuple[Exchange, ...]
    length: int
    """Number of messages; part of the ids of new calls."""

    def calls_of(self, *names: str) -> tuple[Exchange, ...]:
        """Return the finished calls of the named tools, in order."""
        return tuple(exchange for exchange in self.exchanges if exchange.name in names)

    def turns_of(self, *names: str) -> int:
        """Return in how many turns any of the named tools was called."""
        return len({exchange.turn for exchange in self.calls_of(*names)})


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """Return the conversation that the messages hold."""
    messages = _of_this_run(messages)
    users = [message.text for message in messages if message.role == "user"]
    return Conversation(
        instructions="\n\n".join(message.text for message in messages if message.role == "system"),
        task=users[0] if users else "",
        later=tuple(users[1:]),
        exchanges=tuple(_exchanges(messages)),
        length=len(messages),
    )


def _of_this_run(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the messages without the tasks and answers of earlier runs of a session."""
    earlier = [
        position
        for position, message in enumerate(messages)
        if message.role == "user" and message.text.startswith(EARLIER)
    ]
    return [*messages[: earlier[0]], *messages[earlier[-1] + 2 :]] if earlier else messages


def _exchanges(messages: Sequence[Message]) -> Iterator[Exchange]:
    calls: dict[str, tuple[ToolCall, int]] = {}
    turn = -1
    for message in messages:
        if message.role == "assistant":
            turn += 1
            calls.update((call.id, (call, turn)) for call in message.tool_calls)
        for part in message.parts:
            if isinstance(part, ToolResult) and part.call_id in calls:
                call, made_in = calls[part.call_id]
                yield Exchange(call.name, mapping(parse(call.arguments)), part.text, part.is_error, made_in)


def parse(text: str) -> Any:
    """Return the JSON value of a text, or None if it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def mapping(value: Any) -> dict[str, Any]:
    """Return the value if it is an object, otherwise an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return the value if it is an array, otherwise an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def string(value: Any) -> str:
    """Return the value if it is a string, otherwise an empty one."""
    return value if isinstance(value, str) else ""

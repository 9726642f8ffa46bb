"""What the tests of small windows share: teams, readers of requests, and what must always hold of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from harness import Message, Recorded, calls
from harness.events import ModelCallStarted, WindowCompacted
from harness.loop.state import fold
from harness.messages import ToolResult
from tests.loop.stage import Told

HANDLE = re.compile(r'read_result\(handle="([^"]+)"')

FILLER = "It was a plain day and nothing of note was seen anywhere near the harbour. "


def alone(context: str, more: str = "") -> str:
    """A team of one agent whose window is kept as `context` says."""
    return (
        f"agents: {{lead: {{instructions: Answer the task., tools: [desk], limits: {{turns: 3000}}, "
        f"context: {context}}}}}\n{more}"
    )


def lines(number: int) -> str:
    """Return about `number` characters of prose."""
    return (FILLER * (number // len(FILLER) + 1))[:number]


def assert_pairs(messages: Sequence[Message]) -> None:
    """Check what every API wants: each call is followed by its result, and no result stands alone."""
    owed: list[str] = []
    for message in messages:
        answered = [part.call_id for part in message.parts if isinstance(part, ToolResult)]
        if message.role == "tool":
            assert len(answered) == 1
            owed.remove(answered[0])
            continue
        assert not owed, f"{owed} have no result"
        owed = [call.id for call in message.tool_calls]
    assert not owed


def compactions(told: Told) -> list[WindowCompacted]:
    """The compactions of a run."""
    return told.all(WindowCompacted)


def requests(recorded: Sequence[Recorded]) -> list[ModelCallStarted]:
    """The requests of a run."""
    return [item.event for item in recorded if isinstance(item.event, ModelCallStarted)]


def assert_lawful(told: Told) -> None:
    """Check that what the events add up to is the state the run had."""
    assert fold(told.recorded) == told.state


def reads_again(pattern: str) -> Callable[[Sequence[Message]], Message]:
    """A reply that reads the handle in the message that holds `pattern`."""

    def reply(messages: Sequence[Message]) -> Message:
        found = [m.text for m in messages if pattern in m.text and HANDLE.search(m.text)]
        assert found, f"nothing with a handle says {pattern!r}"
        match = HANDLE.search(found[0])
        assert match is not None
        return calls("read_result", handle=match[1].replace("turn-N", "turn-1"), limit=20_000)

    return reply

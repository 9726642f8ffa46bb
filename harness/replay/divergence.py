"""A divergence as a person wants to see it: what the record holds, what the run did, and where they part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import orjson

from harness.events import ModelCallStarted, Recorded
from harness.loop.past import Diverged
from harness.loop.state import RunState, effective, fold
from harness.messages import Message, Reasoning, ToolCall, ToolResult

CONTEXT = 60
"""Characters shown before the place where two texts part."""

SHOWN = 160


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a run left its record."""

    agent: str
    turn: int
    sequence: int | None
    """Of the recorded event; None if the record ends before."""
    summary: str
    what: str
    """The field of the event, or the entry of the request, that differs first."""
    recorded: str
    """What the record holds there, around the first difference."""
    now: str

    @property
    def text(self) -> str:
        """The divergence in a few lines."""
        lines = [self.summary]
        if self.what:
            lines.append(f"  {self.what}")
        if self.recorded or self.now:
            lines += [f"    - {self.recorded or 'nothing'}", f"    + {self.now or 'nothing'}"]
        return "\n".join(lines)


def describe_divergence(diverged: Diverged, recorded: list[Recorded], state: RunState) -> Divergence:
    """Return the divergence, reduced to what differs first.

    Args:
        recorded: All events of the run.
        state: What carrying the run out again came to.
    """
    what, before, now = _first_difference(diverged, recorded, state)
    return Divergence(
        agent=diverged.agent,
        turn=diverged.turn,
        sequence=diverged.recorded.sequence if diverged.recorded else None,
        summary=str(diverged),
        what=what,
        recorded=before,
        now=now,
    )


def _first_difference(diverged: Diverged, recorded: list[Recorded], state: RunState) -> tuple[str, str, str]:
    before, now = diverged.recorded.event if diverged.recorded else None, diverged.event
    if isinstance(before, ModelCallStarted) and isinstance(now, ModelCallStarted):
        found = _first_entry(diverged, recorded, state)
        if found is not None:
            return found
    if before is None or now is None or type(before) is not type(now):
        return "", before.type if before else "", now.type if now else ""
    for field in fields(before):
        left, right = getattr(before, field.name), getattr(now, field.name)
        if left != right:
            return f"{before.type}, {field.name}", *_around(_text(left), _text(right))
    return "", "", ""


def _first_entry(
    diverged: Diverged, recorded: list[Recorded], state: RunState
) -> tuple[str, str, str] | None:
    """Return the first tool definition or window entry in which two requests differ."""
    assert diverged.recorded is not None
    counted = [item for item in effective(recorded) if item.sequence <= diverged.recorded.sequence]
    then = fold(counted).agents.get(diverged.agent)
    now = state.agents.get(diverged.agent)
    if then is None or now is None:
        return None
    tools = ({tool.name: tool.encoded.decode() for tool in side.tools} for side in (then, now))
    left_tools, right_tools = tools
    for name in dict.fromkeys((*left_tools, *right_tools)):
        if left_tools.get(name) != right_tools.get(name):
            texts = (left_tools.get(name, ""), right_tools.get(name, ""))
            return f"the definition of the tool {name}", *_around(*texts)
    for position in range(max(len(then.window.entries), len(now.window.entries))):
        left, right = (
            side.window.entries[position] if position < len(side.window.entries) else None
            for side in (then, now)
        )
        if left is None or right is None or left.message != right.message:
            texts = (_said(entry.message) if entry else "" for entry in (left, right))
            origin = (left or right).origin if left or right else ""  # type: ignore[union-attr]
            return f"entry {position} of the request, from {origin}", *_around(*texts)
    return None


def _said(message: Message) -> str:
    return "\n".join(_part(part) for part in message.parts)


def _part(part: object) -> str:
    match part:
        case ToolCall():
            return f"{part.name}({part.arguments})"
        case ToolResult() | Reasoning():
            return part.text
        case _:
            return getattr(part, "text", "")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Message):
        return _said(value)
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        return str(value)


def _around(left: str, right: str) -> tuple[str, str]:
    """Return both texts from shortly before their first difference on."""
    same = next(_differing(left, right), min(len(left), len(right)))
    start = max(0, same - CONTEXT)
    head = "…" if start else ""
    return tuple(  # type: ignore[return-value]
        head + text[start : start + SHOWN] + ("…" if len(text) > start + SHOWN else "")
        for text in (left, right)
    )


def _differing(left: str, right: str) -> Iterator[int]:
    return (position for position, (one, other) in enumerate(zip(left, right, strict=False)) if one != other)

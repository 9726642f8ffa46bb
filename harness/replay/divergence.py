"""A divergence as a person wants to see it: what the record holds, what the run did, and where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import zip_longest
from typing import Any, cast

import orjson

from harness.context.window import Entry
from harness.events import Event, ModelCallStarted, Recorded
from harness.loop.past import Diverged
from harness.loop.state import AgentState, RunState, effective, fold
from harness.messages import Message, Reasoning, ToolCall, ToolResult

CONTEXT = 60
"""Characters shown before the place where two texts part."""

SHOWN = 160


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a run left its record; plain values."""

    agent: str
    turn: int
    sequence: int | None
    """Of the recorded event; None if the record ends before."""
    summary: str
    what: str
    """The field of the event, or the tool or entry of the request, that differs first."""
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
            for sign, side in (("-", self.recorded), ("+", self.now)):
                first, *more = (side or "nothing").split("\n")
                lines += [f"    {sign} {first}", *(f"      {line}" for line in more)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Difference:
    what: str
    before: Any
    now: Any


def describe_divergence(diverged: Diverged, recorded: Sequence[Recorded], state: RunState) -> Divergence:
    """Return the divergence, reduced to what differs first.

    Args:
        recorded: All events of the run.
        state: What carrying the run out again came to.
    """
    before, now = diverged.recorded.event if diverged.recorded else None, diverged.event
    difference = _first_difference(before, now, recorded, state, diverged)
    left, right = _around(_text(difference.before), _text(difference.now))
    return Divergence(
        agent=diverged.agent,
        turn=diverged.turn,
        sequence=diverged.recorded.sequence if diverged.recorded else None,
        summary=str(diverged),
        what=difference.what,
        recorded=left,
        now=right,
    )


def describe_missing(item: Recorded, state: RunState) -> Divergence:
    """Return a recorded event that did not happen again, and why if that is known.

    Args:
        state: What carrying the run out again came to.
    """
    path: str = getattr(item.event, "agent", "")
    turn: int = getattr(item.event, "turn", 0)
    place = f"{path}/turn-{turn}" if turn else path or "the run"
    what = "the request" if isinstance(item.event, ModelCallStarted) else item.event.type
    agent = state.agents.get(path)
    why = ""
    if path and agent is None:
        why = ": the agent did not begin"
    elif agent is not None and agent.report is not None and agent.report.stop_reason != "done":
        why = f": {agent.report.stop_reason}"
    return Divergence(path, turn, item.sequence, f"{place}: {what} did not happen again{why}", "", "", "")


def _first_difference(
    before: Event | None, now: Event | None, recorded: Sequence[Recorded], state: RunState, diverged: Diverged
) -> _Difference:
    if before is None or now is None or type(before) is not type(now):
        return _Difference("", before.type if before else "", now.type if now else "")
    if isinstance(before, ModelCallStarted) and isinstance(now, ModelCallStarted):
        assert diverged.recorded is not None
        then = fold([item for item in effective(recorded) if item.sequence <= diverged.recorded.sequence])
        sides = then.agents.get(diverged.agent), state.agents.get(diverged.agent)
        found = _in_requests((before, now), sides)
        if found is not None:
            return found
    place, left, right = _leaf(before, now, before.type)
    return _Difference(place, left, right)


def _in_requests(
    asked: tuple[ModelCallStarted, ModelCallStarted], sides: tuple[AgentState | None, AgentState | None]
) -> _Difference | None:
    """Return the model, the tool definition or the window entry in which two requests differ first."""
    before, now = asked
    if (before.provider, before.model) != (now.provider, now.model):
        return _Difference(
            "the model", f"{before.model} ({before.provider})", f"{now.model} ({now.provider})"
        )
    then, again = sides
    if then is None or again is None:
        return None
    one, other = ({tool.name: tool for tool in side.tools} for side in (then, again))
    for name in dict.fromkeys((*one, *other)):
        left, right = one.get(name), other.get(name)
        if left is None or right is None:
            return _Difference("the tools", *("" if tool is None else name for tool in (left, right)))
        if left != right:
            place, *values = _leaf(left, right, f"the tool {name}")
            return _Difference(place, *values)
    entries = zip_longest(then.window.entries[: before.entries], again.window.entries[: now.entries])
    for position, (left, right) in enumerate(entries):
        if left is None or right is None or left.message != right.message:
            origin = " and ".join(dict.fromkeys(entry.origin for entry in (left, right) if entry is not None))
            return _Difference(f"entry {position} of the request ({origin})", *map(_said, (left, right)))
    return None


def _leaf(left: Any, right: Any, place: str) -> tuple[str, Any, Any]:
    """Return the innermost part in which two different values of one kind differ first, and its place."""
    for name, one, other in _parts(left, right):
        if one != other:
            return _leaf(one, other, f"{place}[{name}]" if isinstance(name, int) else f"{place}.{name}")
    return place, left, right


def _parts(left: Any, right: Any) -> Sequence[tuple[str | int, Any, Any]]:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        one, other = cast("Mapping[str, Any]", left), cast("Mapping[str, Any]", right)
        return [(key, one.get(key), other.get(key)) for key in dict.fromkeys((*one, *other))]
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        pairs = zip_longest(cast("Sequence[Any]", left), cast("Sequence[Any]", right))
        return [(position, one, other) for position, (one, other) in enumerate(pairs)]
    one, other = cast("object", left), cast("object", right)
    if is_dataclass(one) and type(one) is type(other):
        return [(field.name, getattr(one, field.name), getattr(other, field.name)) for field in fields(one)]
    return ()


def _said(entry: Entry | None) -> str:
    return "\n".join(_part(part) for part in entry.message.parts) if entry is not None else ""


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
    if value is None:
        return ""
    if isinstance(value, Message):
        return "\n".join(_part(part) for part in value.parts)
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        return str(value)


def _around(left: str, right: str) -> tuple[str, str]:
    """Return both texts from shortly before their first difference on."""
    pairs = enumerate(zip_longest(left, right))
    same = next((position for position, (one, other) in pairs if one != other), 0)
    start = max(0, same - CONTEXT)
    return _cut(left, start), _cut(right, start)


def _cut(text: str, start: int) -> str:
    end = start + SHOWN
    return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")

"""What two runs differ in: aligned by structure, the first divergence named, then everything that adds up.

Two runs are laid beside each other agent by agent, turn by turn and call by call; timing never counts
as a difference, what was said and done does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.events import (
    ApprovalDecided,
    EntryAppended,
    EntryReplaced,
    Event,
    ModelCallFinished,
    PlanCreated,
    Recorded,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
)
from harness.loop.state import RunState, effective, fold
from harness.messages import Message, Reasoning, ToolResult
from harness.team import team_difference


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in which two runs differ."""

    place: str
    """`PATH/turn-N`, a call key, `PATH/entry-N` or `the run`."""
    what: str
    left: str | None
    """None if the left run has nothing there."""
    right: str | None


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of both runs."""

    name: str
    left: float | None
    right: float | None
    """None where it is not known."""


@dataclass(frozen=True, slots=True)
class RunDifference:
    """Everything two runs differ in."""

    left: str
    right: str
    ancestry: str
    """How they are related, if they are."""
    team: tuple[str, ...]
    """What their team files differ in, a line each."""
    first: Difference | None
    """Where they first part, in the order of the left run; None if they did the same."""
    plans: tuple[Difference, ...] = ()
    calls: tuple[Difference, ...] = ()
    windows: tuple[Difference, ...] = ()
    outcome: tuple[Difference, ...] = ()
    measures: tuple[Measure, ...] = field(default=())

    @property
    def same(self) -> bool:
        """Whether both did and said the same."""
        return self.first is None and not self.outcome


@dataclass
class _Side:
    """One run, by place."""

    started: RunStarted
    state: RunState
    replies: dict[str, str]
    calls: dict[str, str]
    results: dict[str, str]
    entries: dict[str, str]
    plans: dict[str, str]
    decisions: dict[str, str]
    order: dict[str, int]
    """Sequence at which something first stood at a place."""
    seconds: float


def compare_runs(left: Sequence[Recorded], right: Sequence[Recorded]) -> RunDifference:
    """Return what two runs differ in."""
    one, other = _side(left), _side(right)
    plans = tuple(_differences("plan", one.plans, other.plans))
    replies = list(_differences("reply", one.replies, other.replies))
    calls = [
        *_differences("tool call", one.calls, other.calls),
        *_differences("tool result", one.results, other.results),
        *_differences("decision", one.decisions, other.decisions),
    ]
    windows = tuple(_differences("window entry", one.entries, other.entries))
    every = [*plans, *replies, *calls, *windows]
    order = {**other.order, **one.order}
    return RunDifference(
        left=left[0].run_id,
        right=right[0].run_id,
        ancestry=_ancestry(left[0].run_id, one.started, right[0].run_id, other.started),
        team=tuple(team_difference(one.started.team, other.started.team)),
        first=min(every, key=lambda difference: order.get(difference.place, 0), default=None),
        plans=plans,
        calls=tuple(sorted(calls, key=lambda difference: order.get(difference.place, 0))),
        windows=windows,
        outcome=tuple(_outcome(one.state, other.state)),
        measures=_measures(one, other),
    )


def _side(recorded: Sequence[Recorded]) -> _Side:
    counted = list(effective(recorded))
    started = counted[0].event
    assert isinstance(started, RunStarted)
    side = _Side(started, fold(counted), {}, {}, {}, {}, {}, {}, {}, counted[-1].at - counted[0].at)
    for item in counted:
        _place(side, item)
    return side


def _place(side: _Side, item: Recorded) -> None:
    event: Event = item.event
    match event:
        case ModelCallFinished():
            place = f"{event.agent}/turn-{event.turn}"
            side.replies[place] = _said(event.message) if event.message else f"failed: {event.error}"
        case ToolCallStarted():
            place = event.key
            side.calls[place] = f"{event.tool}({event.arguments})"
        case ToolCallFinished():
            place = event.key
            side.results[place] = ("failed: " if event.is_error else "") + (event.whole or event.shown)
        case ApprovalDecided():
            place = event.key
            side.decisions[f"{place}"] = event.decision
        case EntryAppended():
            place = f"{event.agent}/entry-{event.entry}"
            side.entries[place] = f"{event.origin}: {_said(event.message)}"
        case EntryReplaced():
            place = f"{event.agent}/entry-{event.entry}"
            side.entries[place] = _said(event.message) if event.message else "dropped"
        case PlanCreated():
            place = f"{event.agent}/plan-{event.version}"
            side.plans[place] = "; ".join(
                f"{task.id}: {task.agent}: {task.brief.objective}" for task in event.tasks
            )
        case _:
            return
    side.order.setdefault(place, item.sequence)


def _said(message: Message) -> str:
    parts: list[str] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            parts.append(part.text)
        elif not isinstance(part, Reasoning):
            parts.append(
                getattr(part, "text", "") or getattr(part, "name", "") + getattr(part, "arguments", "")
            )
    return "\n".join(parts)


def _differences(what: str, left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    for place in dict.fromkeys((*left, *right)):
        if left.get(place) != right.get(place):
            yield Difference(place, what, left.get(place), right.get(place))


def _outcome(left: RunState, right: RunState) -> Iterator[Difference]:
    one, other = _ends(left.finished), _ends(right.finished)
    for name in one:
        if one[name] != other[name]:
            yield Difference("the run", name, str(one[name]), str(other[name]))


def _ends(finished: RunFinished | None) -> dict[str, Any]:
    if finished is None:
        return {"stop reason": "unfinished", "answer": None, "citations": 0, "error": ""}
    return {
        "stop reason": finished.stop_reason,
        "answer": finished.output,
        "citations": len(finished.citations),
        "error": finished.error,
    }


def _measures(left: _Side, right: _Side) -> tuple[Measure, ...]:
    def both(name: str, read: Callable[[_Side], float | None]) -> Measure:
        return Measure(name, read(left), read(right))

    return (
        both("agents", lambda side: len(side.state.agents)),
        both("turns", lambda side: sum(agent.turns for agent in side.state.agents.values())),
        both("tool calls", lambda side: len(side.calls)),
        both("input tokens", lambda side: side.state.usage.input_tokens),
        both("output tokens", lambda side: side.state.usage.output_tokens),
        both("window tokens", lambda side: sum(a.window.tokens for a in side.state.agents.values())),
        both("USD", lambda side: None if side.state.unpriced else side.state.cost),
        both("seconds", lambda side: side.seconds),
    )


def _ancestry(left: str, one: RunStarted, right: str, other: RunStarted) -> str:
    for child, started, parent in ((right, other, left), (left, one, right)):
        if started.forked_from is not None and started.forked_from.run_id == parent:
            changes = "".join(f" {change}" for change in started.forked_from.changes)
            return f"{child} is a fork of {parent} at {started.forked_from.at}{changes}"
    origins = [started.forked_from for started in (one, other)]
    if all(origins) and origins[0] and origins[1] and origins[0].run_id == origins[1].run_id:
        return f"both are forks of {origins[0].run_id}, at {origins[0].at} and {origins[1].at}"
    return ""

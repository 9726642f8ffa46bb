"""What came of what: which events of a run depend on which, whatever the order they were written in.

Within one agent run everything follows what stands before it, but for the tool calls of one turn,
which go on side by side. A sub-agent depends on the call that asked for it, and the end of that call
on the sub-agent. From this follow the two cuts that are ever made in a run: taking back what a stop
made of it, and forking it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.events import (
    AgentRunStarted,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    LimitWasReached,
    ModelCallFinished,
    ModelCallLost,
    ModelCallStarted,
    PlanCreated,
    PlanExecuted,
    PlannedTask,
    PlanTaskFinished,
    PlanTaskStarted,
    Recorded,
    ReplanRequested,
    RunFinished,
    SummaryFinished,
    SummaryStarted,
    ToolCallFinished,
    ToolCallStarted,
)
from harness.loop.cuts import made_by_cut


@dataclass
class _Call:
    """One tool call and what happened in it."""

    agent: str
    turn: int
    events: list[Recorded] = field(default_factory=list[Recorded])
    children: list[str] = field(default_factory=list[str])
    """Paths of the agent runs it asked for."""

    @property
    def began(self) -> int:
        return self.events[0].sequence


@dataclass
class _Lane:
    """The events of one agent run outside its tool calls, and those calls."""

    events: list[Recorded] = field(default_factory=list[Recorded])
    calls: dict[str, _Call] = field(default_factory=dict[str, _Call])
    parent: str = ""
    parent_call: str = ""
    task: str = ""


class Causality:
    """The dependencies among the events of one run.

    Args:
        recorded: Events that count, in order.
    """

    def __init__(self, recorded: Iterable[Recorded]) -> None:
        self._lanes: dict[str, _Lane] = defaultdict(_Lane)
        self._plans: dict[tuple[str, int], tuple[str, tuple[PlannedTask, ...]]] = {}
        self._run: list[Recorded] = []
        for item in recorded:
            self._add(item)

    def consequences(self, seed: Recorded) -> dict[int, Event]:
        """Return `seed` and everything that came of it, by sequence."""
        void = _Void(self._lanes, self._plans)
        event = seed.event
        key = self._call_key(event)
        path: str = getattr(event, "agent", "")
        if key:
            void.call_from(self._lanes[path].calls[key], seed.sequence)
        elif path:
            void.agent_from(path, seed.sequence)
        else:
            void.events[seed.sequence] = event
        return void.events

    def stop(self) -> set[int]:
        """Return the sequences of what the stop of the run made of it, and nothing later rests on.

        That is its end, and where a limit, a failing model or a cancelled call ended agents, all that
        came of it, unless a model or a tool has been asked since: then it is history.
        """
        ends = [item.sequence for item in self._run if isinstance(item.event, RunFinished)]
        void = set(ends)
        for path in list(self._lanes):
            for item in self._circumstances(path):
                if item.sequence not in void:
                    came_of_it = self.consequences(item)
                    if not any(map(_is_paid, came_of_it.values())):
                        void.update(came_of_it)
        return void

    def _circumstances(self, path: str) -> list[Recorded]:
        lane = self._lanes[path]
        calls = [call.events[-1] for call in lane.calls.values()]
        return [*_in_lane(lane.events), *(item for item in calls if _is_circumstance(item.event))]

    def _add(self, item: Recorded) -> None:
        event = item.event
        path: str = getattr(event, "agent", "")
        if not path:
            self._run.append(item)
            return
        lane = self._lanes[path]
        if isinstance(event, AgentRunStarted):
            lane.parent = path.rpartition("/")[0]
            lane.parent_call, lane.task = event.parent_call, event.task_id
            if event.parent_call in self._lanes[lane.parent].calls:
                self._lanes[lane.parent].calls[event.parent_call].children.append(path)
        if isinstance(event, PlanCreated):
            self._plans[path, event.version] = (event.key, event.tasks)
        key = self._call_key(event)
        if not key:
            lane.events.append(item)
            return
        if key not in lane.calls:
            lane.calls[key] = _Call(path, getattr(event, "turn", 0))
        lane.calls[key].events.append(item)

    def _call_key(self, event: Event) -> str:
        match event:
            case ToolCallStarted() | ToolCallFinished() | ApprovalRequested() | ApprovalDecided():
                return event.key
            case PlanCreated():
                return event.key
            case PlanTaskStarted() | PlanTaskFinished() | PlanExecuted():
                return self._plans[event.agent, event.version][0]
            case ReplanRequested(tasks=tasks) if tasks:
                return self._plans[event.agent, event.version][0]
            case _:
                return ""


class _Void:
    """Collects what comes of an event."""

    def __init__(
        self, lanes: dict[str, _Lane], plans: dict[tuple[str, int], tuple[str, tuple[PlannedTask, ...]]]
    ) -> None:
        self.events: dict[int, Event] = {}
        self._lanes = lanes
        self._plans = plans
        self._cut: dict[str, int] = {}

    def agent_from(self, path: str, sequence: int) -> None:
        """Take back an agent run from `sequence` on, and what its parent made of it."""
        if self._cut.get(path, sequence + 1) <= sequence:
            return
        first = path not in self._cut
        self._cut[path] = sequence
        lane = self._lanes[path]
        self._take(item for item in lane.events if item.sequence >= sequence)
        for call in lane.calls.values():
            if call.events[-1].sequence >= sequence:
                self._call(call, max(sequence, call.began))
        if first and lane.parent_call:
            self._child_is_open(path, lane)

    def call_from(self, call: _Call, sequence: int) -> None:
        """Take back a call from `sequence` on, and what its agent did once all calls of the turn had ended."""
        self._call(call, sequence)
        lane = self._lanes[call.agent]
        turn = [other for other in lane.calls.values() if other.turn == call.turn]
        began = max(other.began for other in turn)
        after = [item.sequence for item in lane.events if item.sequence > began]
        if after:
            self.agent_from(call.agent, min(after))
        elif lane.parent_call:
            self._child_is_open(call.agent, lane)

    def _call(self, call: _Call, sequence: int) -> None:
        gone = [item for item in call.events if item.sequence >= sequence]
        self._take(gone)
        began = call.began >= sequence
        for item in gone:
            if isinstance(item.event, PlanTaskStarted):
                self._agent_never_ran(item.event.child)
        for child in call.children if began else ():
            self._agent_never_ran(child)

    def _agent_never_ran(self, path: str) -> None:
        if path in self._lanes and self._lanes[path].events:
            self.agent_from(path, self._lanes[path].events[0].sequence)

    def _child_is_open(self, path: str, lane: _Lane) -> None:
        """Take back what the parent's call made of a sub-agent's report."""
        call = self._lanes[lane.parent].calls.get(lane.parent_call)
        if call is None:
            return
        dependents = self._dependents(call, lane.task)
        for item in list(call.events):
            event = item.event
            rests_on_it = (
                isinstance(event, ToolCallFinished | PlanExecuted | ReplanRequested)
                or (isinstance(event, PlanTaskFinished) and event.task in dependents | {lane.task})
                or (isinstance(event, PlanTaskStarted) and event.task in dependents)
            )
            if rests_on_it and item.sequence not in self.events:
                self._take([item])
                if isinstance(event, PlanTaskStarted):
                    self._agent_never_ran(event.child)
                elif isinstance(event, ToolCallFinished):
                    self.call_from(call, item.sequence)

    def _dependents(self, call: _Call, task: str) -> set[str]:
        """Return the tasks of the call's plan that rest on `task`."""
        tasks = next((item.event.tasks for item in call.events if isinstance(item.event, PlanCreated)), ())
        found: set[str] = set()
        while more := {
            other.id
            for other in tasks
            if other.id not in found and not found.union([task]).isdisjoint(other.needs)
        }:
            found |= more
        return found

    def _take(self, items: Iterable[Recorded]) -> None:
        for item in items:
            self.events[item.sequence] = item.event
            if isinstance(item.event, PlanCreated | PlanExecuted):
                self._plans_after(item.event.agent, item.event.version)

    def _plans_after(self, path: str, version: int) -> None:
        """Take back plans that were asked for in the same reply: one waits until the other is executed."""
        for call in self._lanes[path].calls.values():
            for item in call.events:
                later = isinstance(item.event, PlanCreated) and item.event.version > version
                if later and item.sequence not in self.events:
                    self._call(call, item.sequence)


def _in_lane(events: Iterable[Recorded]) -> Iterator[Recorded]:
    """Yield what is a circumstance; for a model call that failed, the call.

    It is not under way any more, and must not be charged as one whose reply was lost.
    """
    asked: Recorded | None = None
    for item in events:
        match item.event:
            case ModelCallStarted() | SummaryStarted():
                asked = item
            case ModelCallLost() | SummaryFinished(error_type="lost"):
                asked = None
            case ModelCallFinished(error_type=error_type) | SummaryFinished(error_type=error_type) if (
                error_type not in ("", "cancelled") and asked
            ):
                yield asked
            case event if _is_circumstance(event):
                yield item
            case _:
                pass


def _is_circumstance(event: Event) -> bool:
    """Whether it is not the agents' doing, and may turn out otherwise another time."""
    match event:
        case LimitWasReached():
            return True
        case ModelCallFinished():
            return bool(event.error_type)
        case _:
            return made_by_cut(event)


def _is_paid(event: Event) -> bool:
    match event:
        case ModelCallFinished() | SummaryFinished():
            return not event.error_type
        case ToolCallFinished():
            return event.external and event.error_type != "cancelled"
        case ApprovalDecided():
            return True
        case _:
            return False

"""The `order:` of a team file, kept while agents work: a fold over the events of tool calls.

Each agent run is judged by the contracts of its agent over its own calls, and by those of the team over
the calls that were over, by structure, before its turn: what it did itself, what those did that worked
for it, and what had been done when it was asked. What others do meanwhile depends on the clock, so no
decision rests on it; whether it broke a contract of the team shows when the trace is examined. Calls of
one turn are judged in the order in which the model wrote them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import orjson

from harness.contracts import NEVER_RAN, Call, Contract, Monitor, Owed, Refusal
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    Event,
    PlanCreated,
    PlanTaskStarted,
    ToolCallFinished,
    ToolCallStarted,
    TurnFinished,
)


class _AgentOrder:
    """What one agent run has called, and may call next."""

    def __init__(self, own: Monitor, shared: Monitor) -> None:
        self.own = own
        self.shared = shared
        self.begun: dict[str, ToolCallStarted] = {}
        self.over: dict[str, Call] = {}
        """Calls of this turn that are over, by key."""
        self.planned: list[Call] = []
        """Calls of this turn that were let through."""
        self.children: dict[str, list[str]] = defaultdict(list)
        """Paths of the agent runs that its calls asked for, by key of the call."""
        self.done: list[Call] = []
        """All that it and those working for it called, as far as contracts of the team mind."""

    @property
    def monitors(self) -> tuple[Monitor, Monitor]:
        return self.own, self.shared


class RunOrder:
    """The contracts of one run.

    Args:
        team: Over the calls of all agents.
        agents: Over the calls of each run of an agent, by its name.
    """

    def __init__(
        self, team: Sequence[Contract] = (), agents: Mapping[str, Sequence[Contract]] | None = None
    ) -> None:
        self._team = tuple(team)
        self._contracts = {name: tuple(some) for name, some in (agents or {}).items() if some}
        self._agents: dict[str, _AgentOrder] = {}
        self._plans: dict[str, PlanCreated] = {}
        self._tasks: dict[tuple[str, str], str] = {}
        """Paths of agent runs by the path of the planning agent and the task."""
        self._left: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._team or self._contracts)

    @property
    def notes(self) -> list[str]:
        """Say of every agent run that has ended which contracts it left broken."""
        return [note for _, notes in sorted(self._left.items()) for note in notes]

    def states(self) -> dict[str, Any]:
        """Return everything that is kept, for comparison."""
        return {path: [monitor.states() for monitor in one.monitors] for path, one in self._agents.items()}

    # --- before a call ---

    def minds(self, path: str, tool: str) -> bool:
        """Return whether any contract is about a call of this tool by the agent run at `path`."""
        return any(monitor.mentions(tool, own=_is_own(tool)) for monitor in self._agents[path].monitors)

    def would(self, call: Call) -> Refusal | None:
        """Return why a call must not be made in this turn, beside those already let through."""
        for monitor in self._agents[call.agent].monitors:
            refusal = monitor.would(call)
            if refusal is not None:
                return refusal
        return None

    def would_changed(self, call: Call) -> Refusal | None:
        """Return why a call that was let through must not be made with the arguments it has now."""
        agent = self._agents[call.agent]
        for monitor in (agent.own.copy(), agent.shared.copy()):
            for other in agent.planned:
                if other.key == call.key:
                    break
                monitor.began(other)
            refusal = monitor.would(call)
            if refusal is not None:
                return refusal
        return None

    def let_through(self, call: Call) -> None:
        """Count a call as going on until its turn is over."""
        agent = self._agents[call.agent]
        agent.planned.append(call)
        for monitor in agent.monitors:
            monitor.began(call)

    def owed(self, path: str) -> list[Owed]:
        """Return what the agent run at `path` must still do; the entry agent also for the team."""
        agent = self._agents[path]
        return [*agent.own.owed(), *(agent.shared.owed() if "/" not in path else ())]

    # --- the fold ---

    def apply(self, event: Event) -> None:
        """Take one event into account."""
        match event:
            case ToolCallStarted():
                self._agents[event.agent].begun[event.key] = event
            case ToolCallFinished():
                self._call_finished(event)
            case TurnFinished():
                self._settle(event.agent)
            case AgentRunStarted():
                self._agent_started(event)
            case AgentRunFinished():
                self._agent_finished(event.agent)
            case PlanCreated():
                self._plans[event.agent] = event
            case PlanTaskStarted():
                self._tasks[event.agent, event.task] = event.child
            case _:
                pass

    def _agent_started(self, event: AgentRunStarted) -> None:
        parent = self._agents.get(event.agent.rpartition("/")[0])
        shared = Monitor(self._team) if parent is None else parent.shared.copy()
        if parent is not None:
            parent.children[event.parent_call].append(event.agent)
            for path in self._needed(event.agent.rpartition("/")[0], event.task_id):
                for call in self._agents[path].done if path in self._agents else ():
                    shared.ended(call)
        self._agents[event.agent] = _AgentOrder(Monitor(self._contracts.get(event.name, ())), shared)

    def _needed(self, planner: str, task: str) -> list[str]:
        """Return the agent runs of the same plan that a task rests on, those first that come first."""
        plan = self._plans.get(planner)
        if not task or plan is None or not self._team:
            return []
        needs = {one.id: one.needs for one in plan.tasks}
        found: dict[str, None] = {}
        pending = list(needs.get(task, ()))
        while pending:
            name = pending.pop()
            if name not in found and name not in plan.kept:
                found[name] = None
                pending += needs.get(name, ())
        return sorted(
            (self._tasks[planner, name] for name in found if (planner, name) in self._tasks), key=_natural
        )

    def _call_finished(self, event: ToolCallFinished) -> None:
        agent = self._agents[event.agent]
        started = agent.begun.pop(event.key, None)
        if started is None or event.error_type in NEVER_RAN or not self.minds(event.agent, event.tool):
            return
        call = call_of(started)
        if call is not None:
            text = event.shown if event.whole is None else event.whole
            agent.over[event.key] = _over(call, text, is_error=event.is_error)

    def _settle(self, path: str) -> None:
        """Take the calls of a turn, and what others did in them, into account one after the other."""
        agent = self._agents[path]
        for call in agent.planned:
            for monitor in agent.monitors:
                monitor.left_out(call)
        agent.planned.clear()
        for key in sorted({*agent.over, *agent.children}, key=_natural):
            for child in sorted(agent.children.pop(key, ()), key=_natural):
                for call in self._agents[child].done:
                    agent.shared.ended(call)
                    agent.done.append(call)
            call = agent.over.pop(key, None)
            if call is None:
                continue
            agent.own.ended(call)
            if agent.shared.mentions(call.tool, own=call.own):
                agent.shared.ended(call)
                agent.done.append(call)

    def _agent_finished(self, path: str) -> None:
        agent = self._agents.get(path)
        if agent is None:
            return
        self._settle(path)
        entry = "/" not in path
        broken = [
            contract.text
            for monitor in (agent.monitors if entry else (agent.own,))
            for contract, standing in monitor.standings()
            if standing.endswith("violated")
        ]
        if broken:
            self._left[path] = [
                f"order: {path} left this contract broken: {text}" for text in dict.fromkeys(broken)
            ]


def call_of(started: ToolCallStarted) -> Call | None:
    """Return a call that has begun, as contracts see it; None if its arguments are not an object."""
    try:
        arguments: Any = orjson.loads(started.arguments or "{}")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(arguments, dict):
        return None
    return Call(
        started.tool,
        cast("dict[str, Any]", arguments),
        key=started.key,
        agent=started.agent,
        turn=started.turn,
        own=_is_own(started.tool),
    )


def order_of(events: Iterable[Event], order: RunOrder) -> RunOrder:
    """Return `order` after events that count; nothing but them decides what it holds."""
    for event in events:
        order.apply(event)
    return order


def _over(call: Call, text: str, *, is_error: bool) -> Call:
    return Call(
        call.tool,
        call.arguments,
        key=call.key,
        agent=call.agent,
        turn=call.turn,
        result=text,
        is_error=is_error,
        own=call.own,
    )


def _is_own(tool: str) -> bool:
    return "." not in tool


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    """Return what sorts `scout-2` before `scout-10`, and calls by their index."""
    parts = text.replace("/", "-").split("-")
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)

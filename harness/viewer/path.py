"""When everything happened, by the clock or by structure, and which of it the run had to wait for.

Where a source carries no times, or where waiting is not what one wants to look at, a turn takes one step:
it begins when the turn before it, the call that asked for its agent, and the agents it needs are over.
The critical path is walked backwards from the end: of all that a step had waited for, what ended last.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.record import AgentRecord, Call, RunRecord, Turn

Span = tuple[float, float]

_REPLY = 0.6
"""The part of a turn's step that its model takes, where turns are counted and not timed."""


@dataclass
class Times:
    """Begin and end of every agent run (by path), turn (by id) and call (by key)."""

    agents: dict[str, Span] = field(default_factory=dict[str, Span])
    turns: dict[str, Span] = field(default_factory=dict[str, Span])
    calls: dict[str, Span] = field(default_factory=dict[str, Span])


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of the critical path: a reply, or a call if `call` names one."""

    agent: str
    turn: int
    call: str
    span: Span


def clock_times(record: RunRecord) -> Times | None:
    """Return the times the source carries, in seconds from the beginning; None if it carries too few."""
    if record.lacks("times"):
        return None
    known = [turn.started for turn in record.turns() if turn.started is not None]
    if not known:
        return None
    zero = min(known) if record.started is None else min(record.started, *known)
    times = Times()
    for path, agent in record.agents.items():
        begun = None if agent.started is None else agent.started - zero
        last = begun or 0.0
        for turn in agent.turns:
            span = times.turns[turn.id] = _since(zero, turn.started, turn.ended, last)
            last = max(last, span[1])
            for call in turn.calls:
                times.calls[call.key] = _since(zero, call.started, call.ended, span[1])
                last = max(last, times.calls[call.key][1])
        if begun is None:
            begun = times.turns[agent.turns[0].id][0] if agent.turns else 0.0
        times.agents[path] = begun, max(last, _since(zero, begun + zero, agent.ended, begun)[1])
    return times


def _since(zero: float, started: float | None, ended: float | None, otherwise: float) -> Span:
    """Return a begin and an end; what is not known is `otherwise`, and takes no time."""
    begin = otherwise if started is None else started - zero
    return begin, begin if ended is None else max(begin, ended - zero)


def step_times(record: RunRecord) -> Times:
    """Return times in which every turn takes one step and begins as soon as its causes are over."""
    return _Steps(record).run()


class _Steps:
    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._times = Times()
        self._loose: dict[str, list[str]] = {}
        """Agents by their parent, where the call that asked for them is not known."""
        for path, agent in record.agents.items():
            if agent.parent in record.agents and agent.parent_call not in record.calls:
                self._loose.setdefault(agent.parent, []).append(path)

    def run(self) -> Times:
        for path, agent in self._record.agents.items():
            if agent.parent not in self._record.agents:
                self._walk(path, 0.0)
        for path in self._record.agents:
            self._walk(path, 0.0)
        return self._times

    def _walk(self, path: str, begin: float) -> float:
        """Place an agent run and all that works for it; return its end."""
        known = self._times.agents.get(path)
        if known is not None:
            return known[1]
        self._times.agents[path] = begin, begin
        agent = self._record.agents[path]
        needed = [self._walk(need, begin) for need in agent.after if need in self._record.agents]
        now = start = max([begin, *needed])
        for turn in agent.turns:
            now = self._turn(turn, now)
        for child in self._loose.get(path, ()):
            now = max(now, self._walk(child, start + _REPLY))
        self._times.agents[path] = start, max(now, start + _REPLY)
        return self._times.agents[path][1]

    def _turn(self, turn: Turn, now: float) -> float:
        self._times.turns[turn.id] = now, now + _REPLY
        after = now + 1
        for call in turn.calls:
            ends = [self._walk(c, now + _REPLY) for c in call.children if c in self._record.agents]
            end = max([now + 1, *ends])
            self._times.calls[call.key] = now + _REPLY, end
            after = max(after, end)
        return after


def critical_path(record: RunRecord, times: Times) -> list[Step]:
    """Return what the end of the run waited for, first to last; between two steps there may be waits."""
    roots = [path for path, agent in record.agents.items() if agent.parent not in record.agents]
    if not roots:
        return []
    steps: list[Step] = []
    last = max(roots, key=lambda path: times.agents[path][1])
    _back(record, times, record.agents[last], steps, set())
    return steps[::-1]


def _back(record: RunRecord, times: Times, agent: AgentRecord, steps: list[Step], seen: set[str]) -> None:
    """Walk back through an agent run, then through what it had waited for before it began."""
    while agent.path not in seen:
        seen.add(agent.path)
        for turn in reversed(agent.turns):
            call = max(turn.calls, key=lambda one: times.calls[one.key][1], default=None)
            if call is not None:
                _back_call(record, times, call, steps, seen)
            steps.append(Step(agent.path, turn.number, "", times.turns[turn.id]))
        before = [need for need in agent.after if need in record.agents]
        if not before:
            return
        agent = record.agents[max(before, key=lambda path: times.agents[path][1])]


def _back_call(record: RunRecord, times: Times, call: Call, steps: list[Step], seen: set[str]) -> None:
    children = [child for child in call.children if child in record.agents and child not in seen]
    steps.append(Step(call.agent, call.turn, call.key, times.calls[call.key]))
    if children:
        last = max(children, key=lambda path: times.agents[path][1])
        _back(record, times, record.agents[last], steps, seen)

"""What happened before what, from causes and not from clocks.

A call is before another one of the same agent if it belongs to an earlier turn: the model had seen its
result, or at least could have. Calls of one turn are concurrent. Between agents only what crosses counts:
what a parent did before it asked is before everything its sub-agent does, and that is before everything
the parent does after the report. Sub-agents of one call are concurrent unless one needs the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.record.run import Call, RunRecord


@dataclass(frozen=True, slots=True)
class _Step:
    """One agent run on the way from the entry agent to a call."""

    agent: str
    turn: int
    call: str


class Order:
    """The causal partial order of a record's tool calls."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._ways: dict[str, tuple[_Step, ...]] = {}
        self._after: dict[str, frozenset[str]] = {}

    def before(self, one: Call, other: Call) -> bool:
        """Return whether `one` was over before `other` began, by structure."""
        if one.agent == other.agent:
            return one.turn < other.turn
        left, right = self._way(one), self._way(other)
        for mine, theirs in zip(left, right, strict=False):
            if mine.agent != theirs.agent:
                return mine.agent in self.preceding(theirs.agent)
            if mine.turn != theirs.turn:
                return bool(mine.turn and theirs.turn) and mine.turn < theirs.turn
            if mine.call != theirs.call:
                return False
        return False

    def concurrent(self, one: Call, other: Call) -> bool:
        """Return whether neither is before the other."""
        return one is not other and not self.before(one, other) and not self.before(other, one)

    def preceding(self, agent: str) -> frozenset[str]:
        """Return the agent runs, not its parents, that were over before this one began."""
        known = self._after.get(agent)
        if known is None:
            self._after[agent] = frozenset()
            direct = self._record.agents[agent].after
            known = frozenset(direct).union(*(self.preceding(one) for one in direct))
            self._after[agent] = known
        return known

    def after_any(self, calls: Iterable[Call]) -> Callable[[Call], bool]:
        """Return a question: is one of some calls after this call? It is answered without walking them again."""
        newest: dict[str, int] = {}
        preceding: set[str] = set()
        for call in calls:
            for step in self._way(call):
                if step.agent not in newest:
                    preceding |= self.preceding(step.agent)
                newest[step.agent] = max(step.turn, newest.get(step.agent, 0))

        def is_before_one(call: Call) -> bool:
            return any(
                0 < step.turn < newest.get(step.agent, 0) or step.agent in preceding
                for step in self._way(call)
            )

        return is_before_one

    def linear(self) -> Iterator[Call]:
        """Yield all calls in one order that keeps to the partial one; concurrent calls stand as agents do."""
        agents = self._record.agents
        done: set[str] = set()
        unasked: dict[str, list[str]] = defaultdict(list)
        """Paths of agent runs that work for another one but for none of its calls, by the path of that."""
        for path, agent in agents.items():
            if agent.parent in agents and not agent.parent_call:
                unasked[agent.parent].append(path)
        for path, agent in agents.items():
            if agent.parent not in agents:
                yield from self._walk(path, unasked, done)

    def _walk(self, path: str, unasked: Mapping[str, Sequence[str]], done: set[str]) -> Iterator[Call]:
        if path in done:
            return
        done.add(path)
        agent = self._record.agents[path]
        for before in agent.after:
            if before in self._record.agents:
                yield from self._walk(before, unasked, done)
        for turn in agent.turns:
            for call in turn.calls:
                for child in call.children:
                    yield from self._walk(child, unasked, done)
                yield call
        for child in unasked.get(path, ()):
            yield from self._walk(child, unasked, done)

    def _way(self, call: Call) -> tuple[_Step, ...]:
        """Return the steps that lead to a call, from an entry agent down."""
        above = self._way_to_agent(call.agent)
        return (*above, _Step(call.agent, call.turn, call.key))

    def _way_to_agent(self, path: str) -> tuple[_Step, ...]:
        known = self._ways.get(path)
        if known is not None:
            return known
        agent = self._record.agents[path]
        way: tuple[_Step, ...] = ()
        parent = self._record.agents.get(agent.parent)
        if parent is not None:
            asked = self._record.calls.get(agent.parent_call)
            turn = asked.turn if asked else 0
            way = (*self._way_to_agent(parent.path), _Step(parent.path, turn, agent.parent_call))
        self._ways[path] = way
        return way

"""A run as it is written before it happens: what defects are put into, and what records are made of.

Every part that can be the place of a defect has a mark: a call its id, a turn and an added entry a name of
its own, the first entries of an agent `PATH:system` and `PATH:task`. Marks survive every change of a script,
so a label stays right however much is put before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.messages import Message, ToolDefinition

Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = ("small", "medium", "large")


@dataclass(frozen=True)
class Call:
    """A tool call and its result."""

    id: str
    tool: str
    arguments: Mapping[str, Any]
    result: str = ""
    is_error: bool = False
    child: str = ""
    """Path of the agent that works for it; its report is the result."""
    seconds: float = 0.8


@dataclass(frozen=True)
class Extra:
    """An entry that is neither a reply nor the result of a call."""

    mark: str
    origin: str
    message: Message


@dataclass(frozen=True)
class Drop:
    """The entry with a mark leaves the window, or another message takes its place."""

    mark: str
    message: Message | None = None
    reason: str = "cleared"


@dataclass(frozen=True)
class Turn:
    """One request and its reply."""

    mark: str
    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    before: tuple[Extra, ...] = ()
    """What comes into the window just before the request."""
    drops: tuple[Drop, ...] = ()
    """What leaves it just before the request."""
    clears: tuple[Drop, ...] = ()
    """What leaves it as soon as the results of its calls are there."""


@dataclass(frozen=True)
class Agent:
    """One agent run."""

    path: str
    instructions: str
    task: str
    tools: tuple[ToolDefinition, ...]
    turns: tuple[Turn, ...]
    report: str = ""
    status: str = "done"
    parent_call: str = ""
    """Id of the call it works for."""
    after: tuple[str, ...] = ()
    context_window: int | None = 200_000
    effects: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2].rstrip("0123456789").rstrip("-")

    @property
    def parent(self) -> str:
        return self.path.rpartition("/")[0]

    def calls(self) -> Iterator[Call]:
        for turn in self.turns:
            yield from turn.calls

    def turn_of(self, call: str) -> int:
        """Return the position of the turn that makes a call."""
        return next(at for at, turn in enumerate(self.turns) if any(one.id == call for one in turn.calls))


@dataclass(frozen=True)
class Label:
    """Where a defect is."""

    detector: str
    agent: str
    marks: frozenset[str] = frozenset()
    """Calls, turns and entries that take part; empty if it is about the agent run as a whole."""
    others: frozenset[str] = frozenset()
    """Paths of agents that a finding may name instead."""


@dataclass(frozen=True)
class Script:
    """One run."""

    family: str
    task: str
    agents: tuple[Agent, ...]
    """Parents before those that work for them."""
    answer: str = ""
    outcome: str = "done"
    error: str = ""
    team: Mapping[str, Any] = field(default_factory=dict)
    known: tuple[Label, ...] = ()
    """Places where a finding of severity `info` is right although nobody put a defect there."""
    lacks: frozenset[str] = frozenset()
    """Facets that the source does not carry."""

    def carries(self, facet: str) -> bool:
        return facet not in self.lacks

    def agent(self, path: str) -> Agent:
        return next(agent for agent in self.agents if agent.path == path)

    def with_agent(self, changed: Agent) -> Script:
        """Return the script with another agent of the same path."""
        return replace(
            self, agents=tuple(changed if one.path == changed.path else one for one in self.agents)
        )

    def with_turns(self, path: str, turns: Sequence[Turn]) -> Script:
        return self.with_agent(replace(self.agent(path), turns=tuple(turns)))

    def insert(self, path: str, position: int, *turns: Turn) -> Script:
        """Return the script with more turns of an agent, before the one at `position`."""
        before = self.agent(path).turns
        return self.with_turns(path, (*before[:position], *turns, *before[position:]))

    def change_turn(self, path: str, position: int, change: Callable[[Turn], Turn]) -> Script:
        turns = list(self.agent(path).turns)
        turns[position] = change(turns[position])
        return self.with_turns(path, turns)

    def change_call(self, path: str, call: str, **changes: Any) -> Script:
        """Return the script with one call changed."""

        def changed(turn: Turn) -> Turn:
            return replace(
                turn,
                calls=tuple(replace(one, **changes) if one.id == call else one for one in turn.calls),
            )

        return self.change_turn(path, self.agent(path).turn_of(call), changed)

    def tell(self, path: str, text: str) -> Script:
        """Return the script with more in what an agent is asked to do, and in what its parents are."""
        agent = self.agent(path)
        script = self.with_agent(replace(agent, task=f"{agent.task}\n{text}"))
        if not agent.parent_call:
            return replace(script, task=f"{script.task}\n{text}")
        asked = next(one for one in self.agent(agent.parent).calls() if one.id == agent.parent_call)
        objective = f"{asked.arguments.get('objective', '')}\n{text}"
        script = script.change_call(
            agent.parent, asked.id, arguments={**asked.arguments, "objective": objective}
        )
        return script.tell(agent.parent, text)

    def knows(self, *labels: Label) -> Script:
        return replace(self, known=(*self.known, *labels))


@dataclass(frozen=True)
class Injected:
    """A script with a defect in it, and where it is."""

    script: Script
    labels: tuple[Label, ...]

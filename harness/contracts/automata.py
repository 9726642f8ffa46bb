"""Small automata over the calls of a trace, and what they say about a trace that has not ended.

A contract knows calls of a first and of a second kind, so a call is one of four letters: neither, the
first, the second, or both. The verdict on the calls so far has four values (Bauer, Leucker and
Schallhart, "Runtime verification for LTL and TLTL", 2011; for finite traces Maggi et al., "Monitoring
business constraints with linear temporal logic", 2011): what holds or is broken for good, and what
later calls may still change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

OTHER, FIRST, SECOND, BOTH = range(4)
"""The letters: bit 1 for the first kind of call, bit 2 for the second."""

Row = tuple[int, int, int, int]
Counts = tuple[int, int, int, int]
"""How many calls of each letter."""

Standing = Literal[
    "permanently_satisfied", "temporarily_satisfied", "temporarily_violated", "permanently_violated"
]

_REPEATS = 3
"""More calls of one letter make no difference to a template of order; a test holds every template to it."""


@dataclass(frozen=True, eq=False)
class Automaton:
    """A complete deterministic automaton whose first state is 0."""

    table: tuple[Row, ...]
    """By state and letter: the next state."""
    accepting: frozenset[int]

    def step(self, state: int, letter: int) -> int:
        """Return the state after one more call."""
        return self.table[state][letter]

    def run(self, letters: Iterable[int], state: int = 0) -> int:
        """Return the state after several calls."""
        for letter in letters:
            state = self.table[state][letter]
        return state

    @cached_property
    def standings(self) -> tuple[Standing, ...]:
        """What each state says about the calls so far."""
        may_hold = self._leading_to(self.accepting)
        may_break = self._leading_to(set(range(len(self.table))) - self.accepting)
        standings: list[Standing] = []
        for state in range(len(self.table)):
            if state in self.accepting:
                standings.append("temporarily_satisfied" if state in may_break else "permanently_satisfied")
            else:
                standings.append("temporarily_violated" if state in may_hold else "permanently_violated")
        return tuple(standings)

    @cached_property
    def dead(self) -> frozenset[int]:
        """The states that no later call leads out of to an accepting one."""
        return frozenset(s for s, standing in enumerate(self.standings) if standing == "permanently_violated")

    @cached_property
    def minds_others(self) -> bool:
        """Whether a call of neither kind can make a difference."""
        return any(row[OTHER] != state for state, row in enumerate(self.table))

    def may_break(self, state: int, counts: Counts) -> bool:
        """Return whether calls that go on side by side break it in some order."""
        if not self.minds_others:
            counts = (0, *counts[1:])
        if sum(1 for count in counts if count) > 1:
            counts = (
                min(counts[0], _REPEATS),
                min(counts[1], _REPEATS),
                min(counts[2], _REPEATS),
                min(counts[3], _REPEATS),
            )
            return _may_break(self, state, counts)
        for letter, count in enumerate(counts):
            for _ in range(count):
                state = self.table[state][letter]
        return state in self.dead

    def _leading_to(self, states: Iterable[int]) -> set[int]:
        """Return the states from which one of `states` can be reached, these included."""
        before: dict[int, list[int]] = defaultdict(list)
        for state, row in enumerate(self.table):
            for following in row:
                before[following].append(state)
        found = set(states)
        pending = list(found)
        while pending:
            for state in before[pending.pop()]:
                if state not in found:
                    found.add(state)
                    pending.append(state)
        return found


@lru_cache(maxsize=4096)
def _may_break(automaton: Automaton, state: int, counts: Counts) -> bool:
    if state in automaton.dead:
        return True
    for letter, count in enumerate(counts):
        if count:
            rest = (*counts[:letter], count - 1, *counts[letter + 1 :])
            if _may_break(automaton, automaton.step(state, letter), rest):  # pyright: ignore[reportArgumentType]
                return True
    return False


@lru_cache(maxsize=256)
def counter(least: int, most: int | None) -> Automaton:
    """Return the automaton that wants at least and at most so many calls of the first kind."""
    last = least if most is None else most + 1
    table = tuple((n, min(n + 1, last), n, min(n + 1, last)) for n in range(last + 1))
    accepting = frozenset(n for n in range(last + 1) if n >= least and (most is None or n <= most))
    return Automaton(table, accepting)

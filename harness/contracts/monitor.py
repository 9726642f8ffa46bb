"""Contracts watched while calls go on.

A call is judged before it begins, against the calls that have ended and those that go on beside it:
these count wherever they may do harm, and not yet where they would be of use. Judging a call costs what
the contracts that name its tool cost, however many calls there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from harness.contracts import templates as t
from harness.contracts.automata import FIRST, OTHER, SECOND, Counts, Standing
from harness.contracts.calls import Call
from harness.contracts.contract import TOGETHER, Contract, Value

MOST_VALUES = 100_000
"""Values that one contract keeps apart; calls with further ones are not judged by it."""

_NO_CALLS: Counts = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call must not be made."""

    contract: Contract
    call: Call
    missing: str
    """The missing precondition, or what must not happen, in words."""

    @property
    def text(self) -> str:
        """What the model is told."""
        because = f", because {self.contract.because}" if self.contract.because else ""
        return f"{self.call.tool} was not run: {self.missing}. The contract is: {self.contract.text}{because}"


@dataclass(frozen=True, slots=True)
class Owed:
    """What is still to be done before the calls may end."""

    contract: Contract
    missing: str

    @property
    def text(self) -> str:
        """What the model is told."""
        because = f", because {self.contract.because}" if self.contract.because else ""
        return f"{self.missing} (the contract is: {self.contract.text}{because})"


class _Watch:
    """One contract and how it stands, for every value apart."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.automaton = contract.automaton
        self.states: dict[Value, int] = {}
        self.beside: dict[str, dict[Value, int]] = {}
        """Letters of calls under way, by key of the call."""
        self._counts: dict[Value, list[int]] = {}
        """How many calls under way there are of each letter."""

    def copy(self) -> _Watch:
        """Return the same without the calls under way."""
        copied = _Watch(self.contract)
        copied.states = dict(self.states)
        return copied

    def breaks(self, call: Call) -> str | None:
        """Return what is missing if the call, should it succeed, would break the contract however it turns out."""
        assumed = replace(call, is_error=False, result=None)
        missing: str | None = None
        for first, second in product(*map(_possible, self.contract.roles(assumed))):
            missing = self._breaks_as(assumed, self._letters(assumed, first=first, second=second))
            if missing is None:
                return None
        return missing

    def began(self, call: Call) -> None:
        """Count a call that is under way."""
        first, second = self.contract.roles(replace(call, is_error=False, result=None))
        letters = self._letters(call, first=first is not False, second=second is not False)
        self.beside[call.key] = letters
        for value, letter in letters.items():
            self._counts.setdefault(value, [0, 0, 0, 0])[letter] += 1

    def left(self, key: str) -> None:
        """Count a call as no longer under way."""
        for value, letter in self.beside.pop(key, {}).items():
            self._counts[value][letter] -= 1
            if not any(self._counts[value]):
                del self._counts[value]

    def ended(self, call: Call) -> None:
        """Take a call that is over into account."""
        first, second = self.contract.roles(call)
        for value, letter in self._letters(call, first=bool(first), second=bool(second)).items():
            state = self.automaton.step(self.states.get(value, 0), letter)
            if value in self.states or len(self.states) < MOST_VALUES:
                self.states[value] = state

    def owes(self) -> Iterator[str]:
        """Yield what later calls must still do."""
        counted = self.contract.template in t.COUNTS
        for value in self.states or {TOGETHER: 0}:
            state = self.states.get(value, 0)
            for letter, count in enumerate(self._counts.get(value, ())):
                for _ in range(count):
                    state = self.automaton.step(state, letter)
            if self.automaton.standings[state] == "temporarily_violated":
                yield self.contract.owed(value, state if counted else 0)

    @property
    def standing(self) -> Standing:
        """How it stands: as the worst of its values."""
        standings = {self.automaton.standings[state] for state in self.states.values()}
        if not standings or (self.contract.link is not None and len(standings) == 1):
            standings.add(self.automaton.standings[0])
        for worst in ("permanently_violated", "temporarily_violated", "temporarily_satisfied"):
            if worst in standings:
                return worst
        return "permanently_satisfied"

    def _breaks_as(self, call: Call, letters: dict[Value, int]) -> str | None:
        for value, letter in letters.items():
            state = self.states.get(value, 0)
            if state in self.automaton.dead:
                continue
            if value not in self.states and len(self.states) >= MOST_VALUES:
                continue
            beside = self._counts.get(value, _NO_CALLS)
            counts = [*beside]
            counts[letter] += 1
            if self.automaton.may_break(state, (counts[0], counts[1], counts[2], counts[3])):
                return self.contract.missing(call, second=bool(letter & SECOND))
        return None

    def _letters(self, call: Call, *, first: bool, second: bool) -> dict[Value, int]:
        """Return the letter of a call for every value it touches."""
        letters: dict[Value, int] = {}
        if first:
            values = self.contract.values_as_first(call)
            for value in values or ():
                letters[value] = FIRST
        if second:
            values = self.contract.values_as_second(call)
            # A call that does not give the value is like no other call.
            for value in values or {("", call.key, "")}:
                letters[value] = letters.get(value, 0) | SECOND
        if self.contract.minds_all:
            if self.contract.link is None:
                letters.setdefault(TOGETHER, OTHER)
                return letters
            for value in self.states:
                if value not in letters and self._minds(value):
                    letters[value] = OTHER
        return letters

    def _minds(self, value: Value) -> bool:
        state = self.states.get(value, 0)
        return value in self._counts or self.automaton.step(state, OTHER) != state


class Monitor:
    """Several contracts over the calls of one agent run, or of one run."""

    def __init__(self, contracts: Iterable[Contract] = ()) -> None:
        self._watches = [_Watch(contract) for contract in contracts]
        self._by_tool: dict[tuple[str, bool], list[_Watch]] = {}

    def __bool__(self) -> bool:
        return bool(self._watches)

    def copy(self) -> Monitor:
        """Return a monitor that has seen the calls that are over, and none of those under way."""
        copied = Monitor()
        copied._watches = [watch.copy() for watch in self._watches]
        return copied

    def mentions(self, tool: str, *, own: bool = False) -> bool:
        """Return whether a call of this tool makes a difference to any contract."""
        return bool(self._watches) and bool(self._about(tool, own=own))

    def would(self, call: Call) -> Refusal | None:
        """Return why a call that has not begun must not be made; changes nothing.

        Only contracts that are enforced live refuse anything.
        """
        for watch in self._about(call.tool, own=call.own):
            if watch.contract.enforce == "live":
                missing = watch.breaks(call)
                if missing is not None:
                    return Refusal(watch.contract, call, missing)
        return None

    def began(self, call: Call) -> None:
        """Count a call that goes on from now."""
        for watch in self._about(call.tool, own=call.own):
            watch.began(call)

    def left_out(self, call: Call) -> None:
        """Forget a call that was counted as going on and did not run."""
        for watch in self._about(call.tool, own=call.own):
            watch.left(call.key)

    def ended(self, call: Call) -> None:
        """Take a call into account that is over, with its result; it need not have been counted before."""
        for watch in self._about(call.tool, own=call.own):
            watch.left(call.key)
            watch.ended(call)

    def owed(self, *, live_only: bool = True) -> list[Owed]:
        """Return what must still be done before the calls may end, taking calls under way as done."""
        return [
            Owed(watch.contract, missing)
            for watch in self._watches
            if watch.contract.enforce == "live" or not live_only
            for missing in watch.owes()
        ]

    def standings(self) -> list[tuple[Contract, Standing]]:
        """Return how each contract stands after the calls that are over."""
        return [(watch.contract, watch.standing) for watch in self._watches]

    def states(self) -> Sequence[tuple[str, dict[Value, int]]]:
        """Return everything it has kept of the calls that are over, for comparison."""
        return [(watch.contract.text, dict(watch.states)) for watch in self._watches]

    def _about(self, tool: str, *, own: bool) -> list[_Watch]:
        known = self._by_tool.get((tool, own))
        if known is None:
            known = [watch for watch in self._watches if watch.contract.mentions(tool, own=own)]
            self._by_tool[tool, own] = known
        return known


def _possible(role: bool | None) -> tuple[bool, ...]:
    return (True, False) if role is None else (role,)

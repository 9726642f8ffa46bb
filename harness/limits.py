"""Budgets: shared allowances in a tree. What a child spends, all its ancestors spend.

A child therefore never has more than any of them has left. Turns are the exception: an agent's limit
counts its own turns, the run's limit those of all agents. Time is a deadline on the monotonic
clock, so that changes of the wall clock do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import anyio

from harness.errors import LimitReached
from harness.messages import Usage
from harness.team import LimitsSpec


@dataclass(slots=True)
class Spent:
    """What a part of a run has used up."""

    usage: Usage = Usage()
    cost: float = 0.0
    turns: int = 0
    seconds: float = 0.0
    """Of the time in which some process was carrying the run."""


NOTHING = Spent()


class Budget:
    """What one run or agent run may still spend."""

    def __init__(
        self,
        scope: str,
        limits: LimitsSpec,
        *,
        parent: Budget | None = None,
        spent: Spent = NOTHING,
    ) -> None:
        self.scope = scope
        self.limits = limits
        self.parent = parent
        self.usage = spent.usage
        self.cost = spent.cost
        self.turns = spent.turns
        self._reserved = 0
        """Tokens that calls under way will use, so that agents side by side do not all take the same rest."""
        self._reserved_cost = 0.0
        self._held = 0
        """The part of it that this agent's own call under way has reserved, here and above."""
        self._held_cost = 0.0
        self.counts_tokens: bool = (
            limits.tokens is not None
            or limits.usd is not None
            or (parent is not None and parent.counts_tokens)
        )
        """Whether there is a limit on tokens or dollars, here or above."""
        self._thinking_reserved = 0
        """Thinking that calls under way may do, for the same reason."""
        self._thinking_held = 0
        self._ended: LimitReached | None = None
        own = math.inf
        if limits.minutes is not None:
            own = anyio.current_time() + limits.minutes * 60 - spent.seconds
        self.deadline = min(own, parent.deadline if parent else math.inf)
        """On the event loop's monotonic clock."""

    def child(self, scope: str, limits: LimitsSpec, *, spent: Spent = NOTHING) -> Budget:
        """Return a budget inside this one; what was `spent` is in the budgets above already."""
        return Budget(scope, limits, parent=self, spent=spent)

    def end(self, limit: LimitReached) -> None:
        """Be used up from now on, as a record says."""
        self._ended = limit

    def spend(self, usage: Usage, cost: float) -> None:
        """Take what a model call cost from this budget and all above it."""
        self._release()
        self.charge(usage, cost)

    def charge(self, usage: Usage, cost: float) -> None:
        """Take from this budget and all above it what a call cost beside what is reserved for it."""
        for budget in self._upwards():
            budget.usage += usage
            budget.cost += cost

    def begin_turn(self, next_tokens: int = 0, next_cost: float = 0.0) -> None:
        """Count a turn that is expected to use `next_tokens`, for `next_cost` USD.

        Raises:
            LimitReached: This turn would pass a limit here or above.
        """
        self._release()
        for budget in self._upwards():
            budget._check(
                budget.usage.total_tokens + budget._reserved + next_tokens,
                budget.cost,
                budget._reserved_cost + next_cost,
            )
            if budget is self or budget.parent is None:
                budget._check_turns(budget.turns)
        self._held, self._held_cost = next_tokens, next_cost
        for budget in self._upwards():
            budget._reserved += next_tokens
            budget._reserved_cost += next_cost
            if budget is self or budget.parent is None:
                budget.turns += 1

    @property
    def has_turn(self) -> bool:
        """Whether the limits in turns allow another one."""
        return all(
            budget.limits.turns is None or budget.turns < budget.limits.turns
            for budget in self._upwards()
            if budget is self or budget.parent is None
        )

    @property
    def thinking_left(self) -> int | None:
        """Tokens of thinking that are left here and above; None for no limit."""
        return min(
            (
                max(0, budget.limits.thinking - budget.usage.reasoning_tokens - budget._thinking_reserved)
                for budget in self._upwards()
                if budget.limits.thinking is not None
            ),
            default=None,
        )

    def thinking_used_up(self) -> LimitReached | None:
        """Return the limit on thinking that is reached, here or above, if one is."""
        for budget in self._upwards():
            allowed = budget.limits.thinking
            if allowed is not None and budget.usage.reasoning_tokens + budget._thinking_reserved >= allowed:
                return LimitReached("thinking", budget.scope, allowed)
        return None

    def hand_out_thinking(self, tokens: int) -> None:
        """Set thinking apart for the call that begins; what it leaves over comes back with `spend`."""
        self._thinking_held += tokens
        for budget in self._upwards():
            budget._thinking_reserved += tokens

    @property
    def tokens_left(self) -> int | None:
        """Tokens that are left here and above, but for what calls under way may think; None for no limit."""
        return min(
            (
                max(
                    0,
                    budget.limits.tokens
                    - budget.usage.total_tokens
                    - budget._reserved
                    - budget._thinking_reserved,
                )
                for budget in self._upwards()
                if budget.limits.tokens is not None
            ),
            default=None,
        )

    @property
    def turns_left(self) -> int | None:
        """Turns that are left, the one under way included; None for no limit."""
        return min(
            (
                max(0, budget.limits.turns - budget.turns) + 1
                for budget in self._upwards()
                if budget.limits.turns is not None and (budget is self or budget.parent is None)
            ),
            default=None,
        )

    @property
    def repeats(self) -> int | None:
        """Turns in a row that may bring nothing new, as the nearest limit has it; None if none says."""
        said = (budget.limits.repeats for budget in self._upwards())
        return next((repeats for repeats in said if repeats is not None), None)

    def reserve(self, next_tokens: int) -> None:
        """Set tokens apart for a call that is no turn.

        Raises:
            LimitReached: It would pass a limit here or above.
        """
        self._release()
        for budget in self._upwards():
            budget._check(
                budget.usage.total_tokens + budget._reserved + next_tokens,
                budget.cost,
                budget._reserved_cost,
            )
        self._held = next_tokens
        for budget in self._upwards():
            budget._reserved += next_tokens

    def admit_again(self, before: Mapping[str, Spent], next_tokens: int, next_cost: float = 0.0) -> None:
        """Decide about a turn that is recorded, from what had been used up before it.

        Args:
            before: By path; that of the run by no path.

        Raises:
            LimitReached: It would have passed a limit here or above.
        """
        for budget in self._upwards():
            spent = before["" if budget.parent is None else budget.scope]
            budget._check(spent.usage.total_tokens + next_tokens, spent.cost, next_cost)
            if budget is self or budget.parent is None:
                budget._check_turns(spent.turns)

    def expired(self) -> LimitReached | None:
        """Return the time limit that has passed, if one has."""
        now = anyio.current_time()
        for budget in self._upwards():
            if budget._ended is not None:
                return budget._ended
            if budget.limits.minutes is not None and now >= budget.deadline:
                return LimitReached("minutes", budget.scope, budget.limits.minutes)
        return None

    def _check(self, tokens: int, cost: float, next_cost: float) -> None:
        limits = self.limits
        if limits.tokens is not None and tokens > limits.tokens:
            raise LimitReached("tokens", self.scope, limits.tokens)
        if limits.usd is not None and (cost >= limits.usd or cost + next_cost > limits.usd):
            raise LimitReached("usd", self.scope, limits.usd)

    def _release(self) -> None:
        for budget in self._upwards():
            budget._reserved -= self._held
            budget._reserved_cost -= self._held_cost
            budget._thinking_reserved -= self._thinking_held
        self._held = self._thinking_held = 0
        self._held_cost = 0.0

    def _check_turns(self, turns: int) -> None:
        if self.limits.turns is not None and turns >= self.limits.turns:
            raise LimitReached("turns", self.scope, self.limits.turns)

    def _upwards(self) -> Iterator[Budget]:
        budget: Budget | None = self
        while budget is not None:
            yield budget
            budget = budget.parent

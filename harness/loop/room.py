"""How much of a model's window an agent run may fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.context.strategies.offload import CHARACTERS_PER_TOKEN
from harness.loop.measure import Measure
from harness.loop.state import AgentState
from harness.models.port import Model
from harness.team import ContextSpec
from harness.tools.results import MAX_RESULT_CHARACTERS

BY_NAME = "model:"
"""Begins the names of models that are no agent's own, but sum up windows or stand in: `model:NAME`."""


def window_of(spec: ContextSpec, model: Model) -> int | None:
    """Return the tokens that a request may have, by the team file or the model; None if neither says."""
    known = [tokens for tokens in (spec.window, model.context_window) if tokens is not None]
    return min(known, default=None)


@dataclass(frozen=True, slots=True)
class Room:
    """What the team file says about the window of one agent run."""

    spec: ContextSpec
    window: int | None
    """Tokens that a request may have, by the team file or the model; None if neither says."""
    summarisers: Mapping[str, Model]
    """By name under `models`; the agent's own by no name."""

    @property
    def longest_result(self) -> int | None:
        """Characters of a tool result beyond which it is shortened at once; None if nothing is said."""
        offloads = [one.offload for one in self.spec.strategies if one.offload is not None]
        if not offloads:
            return None
        above = offloads[0].above if self.window is None else min(offloads[0].above, self.window // 8)
        return min(MAX_RESULT_CHARACTERS, above * CHARACTERS_PER_TOKEN)

    def limit(self, state: AgentState, measure: Measure) -> int | None:
        """Return the most tokens of our count that a request may have; None if nobody knows."""
        known = [measure.ours(self.window)] if self.window is not None else []
        if state.refused_tokens is not None:
            known.append(state.refused_tokens - 1)
        return min(known, default=None)

    def is_exceeded(self, state: AgentState, measure: Measure, request_tokens: int) -> bool:
        """Return whether room must be made before a request of this size.

        After a compaction that could not make enough room the next one waits until some of the rest is
        used up: each of them makes the provider read the window anew.
        """
        limit = self.limit(state, measure)
        if limit is None:
            return False
        used_up = 0
        if state.compacted_to > self.goal(limit):
            used_up = state.compacted_to + max(0, limit - state.compacted_to) // 4
        return request_tokens > max(self.spec.compact_at * limit, used_up)

    def goal(self, limit: int) -> int:
        """Return the tokens that a request should have after room was made."""
        return int(min(self.spec.target, self.spec.compact_at) * limit)

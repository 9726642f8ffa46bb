"""What a team file says about keeping windows small."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from harness.team.quantities import TokenCount
from harness.team.strict import Spec

StrategyName = Literal[
    "drop_superseded", "clear_results", "fold_branches", "offload", "drop_turns", "summarise"
]
STRATEGIES = ("drop_superseded", "clear_results", "fold_branches", "offload", "drop_turns", "summarise")


NO_OPTIONS: dict[str, Any] = {}


class DropSupersededSpec(Spec):
    """Has no options."""


class ClearResultsSpec(Spec):
    """Which results are cleared."""

    keep: int = Field(default=4, ge=0)
    """How many of the newest results stay."""


class FoldBranchesSpec(Spec):
    """Has no options."""


class OffloadSpec(Spec):
    """Which results are offloaded."""

    above: TokenCount = 4_000
    """Results with more tokens than this are shown as head and tail, with a handle to read the rest."""


class DropTurnsSpec(Spec):
    """Which turns are dropped."""

    keep: int = Field(default=2, ge=0)
    """How many of the newest turns stay, beside the one under way."""


class SummariseSpec(Spec):
    """Who sums up, and how long."""

    model: str | None = None
    """The name of the model under `models` that writes the summary; the agent's own if not given."""
    max_tokens: TokenCount = 1_000
    """The most tokens the summary may have."""
    keep: int = Field(default=2, ge=0)
    """How many of the newest turns stay, beside the one under way."""


class StrategySpec(Spec):
    """One way to make room in a window; exactly one of these."""

    drop_superseded: DropSupersededSpec | None = None
    """Clear results of reads that were made again later with the same arguments."""
    clear_results: ClearResultsSpec | None = None
    """Clear old tool results; each keeps a handle with which it can be read again."""
    fold_branches: FoldBranchesSpec | None = None
    """Fold the reports of finished sub-agents, and older plans, into what they answered."""
    offload: OffloadSpec | None = None
    """Show large results as their beginning; the rest can be read by a handle."""
    drop_turns: DropTurnsSpec | None = None
    """Drop the oldest turns as wholes; a note says what was done in them."""
    summarise: SummariseSpec | None = None
    """Have a model sum up the oldest turns; if it fails the next strategy makes room."""

    @model_validator(mode="after")
    def _is_one(self) -> StrategySpec:
        if len(self.model_fields_set) != 1:
            raise ValueError("a strategy is one name, as in: clear_results, or {clear_results: {keep: 4}}")
        return self


def as_strategy(given: Any) -> Any:
    """Return the name of a strategy, or one without options, as the mapping it is short for."""
    if isinstance(given, str):
        if given not in STRATEGIES:
            raise PydanticCustomError("strategy", "there is no such strategy")
        return {given: NO_OPTIONS}
    if isinstance(given, dict):
        options = cast("dict[str, Any]", given)
        return {name: options[name] if options[name] is not None else NO_OPTIONS for name in options}
    return given


Strategy = Annotated[
    StrategySpec, BeforeValidator(as_strategy, json_schema_input_type=StrategyName | StrategySpec)
]


def _default_strategies() -> list[StrategySpec]:
    names = ("drop_superseded", "clear_results", "fold_branches", "offload", "drop_turns")
    return [StrategySpec.model_validate({name: {}}) for name in names]


class ContextSpec(Spec):
    """How an agent's context window is kept small."""

    window: TokenCount | None = None
    """How many tokens a request may have at most, such as `128k`: below what the model takes, or in its place where
    that is unknown."""
    compact_at: float = Field(default=0.8, gt=0, le=1)
    """How full the window may be before room is made, as a share of it."""
    target: float = Field(default=0.5, gt=0, lt=1)
    """How full it should be afterwards: the lower, the more seldom the provider's cache has to begin anew."""
    strategies: list[Strategy] = Field(default_factory=_default_strategies)
    """Ways to make room, tried in this order until it is enough; none at all to stop when the window is full."""

    @model_validator(mode="after")
    def _leaves_room(self) -> ContextSpec:
        if self.target >= self.compact_at:
            raise ValueError(f"target ({self.target:g}) must be below compact_at ({self.compact_at:g})")
        return self

    def over(self, other: ContextSpec | None) -> ContextSpec:
        """Return this with what it does not say itself taken from another one."""
        if other is None:
            return self
        said = {name: getattr(self, name) for name in self.model_fields_set}
        return other.model_copy(update=said)

"""Thinking as it is asked for, and what one endpoint makes of it.

A team says once how much its agents may think: on or off, an effort, a budget in tokens. Each wire
API, and each dialect of one, says that in its own words, and few can say all of it. So what goes out is
a `ThinkingPlan`: the fields of the request, and whether the endpoint holds to it (`hard`), may or may
not (`soft`), or does not hear it at all (`ignored`), with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import UsageError

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
Visibility = Literal["hidden", "summary", "full"]
Enforcement = Literal["hard", "soft", "ignored"]

EFFORTS: tuple[Effort, ...] = ("minimal", "low", "medium", "high", "xhigh", "max")
"""From the least to the most."""

_BUDGETS: dict[Effort, int] = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 65_536,
}

EARLY_STOP = (
    "\n\nConsidering the limited time by the user, I have to give the solution based on the thinking directly now."
    "\n</think>\n\n"
)
"""Ends thinking where its budget does (Qwen3 technical report, section 4.3)."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much a model is asked to think before it answers or acts."""

    mode: Literal["off", "on"]
    effort: Effort | None = None
    budget: int | None = None
    """The most tokens of thinking in one reply."""
    visible: Visibility = "summary"
    """What a person is shown of it; what goes back to the provider does not depend on it."""
    allow_degraded: bool = False
    """Whether an endpoint that cannot express this may do what comes nearest."""


@dataclass(frozen=True, slots=True)
class ThinkingPlan:
    """What one endpoint is told about thinking, and how far that binds it."""

    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the request body, merged into it by key, mappings within mappings."""
    enforcement: Enforcement = "ignored"
    reason: str = ""
    """Why it is no more than that; or how it is enforced."""
    cut_at: int | None = None
    """Tokens of thinking at which the adapter itself ends it, where the endpoint has no cap of its own."""
    can_require_tools: bool = True
    """Whether a call may be demanded (`tool_choice: required`) while the model thinks like this."""


UNTOLD = ThinkingPlan(reason="nothing is asked for")


class ThinkingUnsupported(UsageError):
    """An endpoint cannot express what is asked of its thinking, and may not do what comes nearest."""


@dataclass(frozen=True, slots=True)
class ThinkingOptions:
    """What a family of models can be told about its thinking; part of its profile."""

    toggle: bool = False
    """Whether it can be turned on and off."""
    efforts: tuple[Effort, ...] = ()
    budget: tuple[int, int] | None = None
    """The least and the most tokens a budget may have."""
    always: bool = False
    """Whether it thinks whatever it is told."""
    never: bool = False
    """Whether it never thinks."""
    adaptive: bool = False
    """Whether it can be left to the model how much it thinks."""
    by_default: bool = False
    """Whether it thinks when nothing is said of it."""
    off_as: str = ""
    """What its API calls thinking turned off, where that is not the usual word."""


def budget_of(effort: Effort) -> int:
    """Return the tokens of thinking that an effort stands for."""
    return _BUDGETS[effort]


def effort_of(budget: int) -> Effort:
    """Return the effort that comes nearest to a budget, never more than it."""
    fitting: list[Effort] = [effort for effort in EFFORTS if _BUDGETS[effort] <= budget]
    return fitting[-1] if fitting else "minimal"


def merged(body: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return `body` with the fields of `more` in it, mappings merged key by key."""
    result = dict(body)
    for key, value in more.items():
        old: Any = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value  # pyright: ignore[reportUnknownArgumentType]
    return result

"""Asking for thinking in the words a server has: what several dialects and APIs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from harness.models.profiles import Profile
from harness.models.thinking import EFFORTS, Effort, Thinking, ThinkingPlan, ThinkingUnsupported

_BUDGET_OF_EFFORT: dict[Effort, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
    "max": 65536,
}


def by_effort(
    thinking: Thinking,
    profile: Profile,
    fields: Callable[[Effort | None], Mapping[str, Any]],
    *,
    server: str,
) -> ThinkingPlan:
    """Return the plan for a server that knows an effort and no budget.

    Args:
        fields: The body's fields for an effort; for None, those that turn thinking off.
    """
    reasons: list[str] = []
    if thinking.budget is not None:
        degrade(thinking, f"{server} has no budget in tokens, only an effort", reasons)
        thinking = replace(thinking, budget=None, effort=thinking.effort or effort_of(thinking.budget))
    if thinking.mode == "off":
        if profile.thinking.always:
            degrade(thinking, f"{profile.family} thinks always", reasons)
            lowest = profile.thinking.efforts[0] if profile.thinking.efforts else "minimal"
            return ThinkingPlan(fields(lowest), "soft", "; ".join(reasons))
        return ThinkingPlan(fields(None), "hard", "the server turns thinking off")
    effort = thinking.effort or "medium"
    known = profile.thinking.efforts
    if known and effort not in known:
        nearest = min(known, key=lambda one: abs(EFFORTS.index(one) - EFFORTS.index(effort)))
        degrade(thinking, f"{profile.family} knows the efforts {', '.join(known)}, not {effort}", reasons)
        effort = nearest
    reason = "; ".join(reasons) or "an effort is a wish, not a limit"
    return ThinkingPlan(fields(effort), "soft", reason)


def degrade(thinking: Thinking, reason: str, reasons: list[str]) -> None:
    """Note why less is asked than wanted.

    Raises:
        ThinkingUnsupported: That is not allowed.
    """
    if not thinking.allow_degraded:
        raise ThinkingUnsupported(f"{reason}; set allow_degraded: true to do what comes nearest")
    reasons.append(reason)


def budget_of(effort: Effort) -> int:
    """Return the tokens that stand for an effort where a server knows budgets only."""
    return _BUDGET_OF_EFFORT[effort]


def effort_of(budget: int) -> Effort:
    """Return the effort that comes nearest to a budget, never more than it."""
    fitting: list[Effort] = [effort for effort in EFFORTS if _BUDGET_OF_EFFORT[effort] <= budget]
    return fitting[-1] if fitting else "minimal"

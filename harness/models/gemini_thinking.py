"""Thinking in Gemini's words (https://ai.google.dev/gemini-api/docs/thinking): a budget up to 2.5, a level since 3."""

from __future__ import annotations

from typing import Any

from harness.models.dialects.asking import by_effort, degrade
from harness.models.profiles import Profile
from harness.models.thinking import Effort, Thinking, ThinkingPlan, budget_of

_DYNAMIC = -1


def plan_of(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    """Return what a model of this family is told; see `harness.models.port.plan_thinking`."""
    if profile.thinking.never:
        if thinking.mode == "off":
            return ThinkingPlan({}, "hard", f"{profile.family} never thinks")
        reasons: list[str] = []
        degrade(thinking, f"{profile.family} never thinks", reasons)
        return ThinkingPlan({}, "ignored", "; ".join(reasons))
    if not profile.thinking.efforts:
        return _by_budget(thinking, profile)
    if thinking.mode == "on" and thinking.effort is None and thinking.budget is None:
        return ThinkingPlan(_config(thinking), "soft", "no effort is asked for")

    def fields(effort: Effort | None) -> dict[str, Any]:
        if effort is None:
            return _config(thinking, thinkingBudget=0)
        return _config(thinking, thinkingLevel=effort.upper())

    return by_effort(thinking, profile, fields, server=profile.family)


def _by_budget(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    options = profile.thinking
    reasons: list[str] = []
    budget = _DYNAMIC
    if thinking.mode == "off":
        budget = _within(0, profile)
        if options.always:
            degrade(thinking, f"{profile.family} thinks always", reasons)
    elif thinking.budget is not None:
        budget = _within(thinking.budget, profile)
        if budget != thinking.budget and options.budget:
            least, most = options.budget
            degrade(thinking, f"{profile.family} takes budgets from {least:,} to {most:,} tokens", reasons)
    elif thinking.effort is not None:
        budget = _within(budget_of(thinking.effort), profile)
    else:
        reasons.append("no budget is asked for")
    reasons.append("the model may pass a thinkingBudget" if budget else "a budget of 0 turns thinking off")
    fields = _config(thinking, thinkingBudget=budget)
    return ThinkingPlan(fields, "soft" if budget else "hard", "; ".join(reasons))


def _within(budget: int, profile: Profile) -> int:
    """Return the budget that comes nearest; where thinking can be turned off, never more than `budget`."""
    if profile.thinking.budget is None:
        return budget
    least, most = profile.thinking.budget
    if budget < least:
        return least if profile.thinking.always else 0
    return min(budget, most)


def _config(thinking: Thinking, **fields: Any) -> dict[str, Any]:
    thinks = thinking.mode == "on" and fields.get("thinkingBudget") != 0
    if thinks and thinking.visible != "hidden":
        fields["includeThoughts"] = True
    return {"generationConfig": {"thinkingConfig": fields}}

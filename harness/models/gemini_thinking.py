"""Thinking in Gemini's words (https://ai.google.dev/gemini-api/docs/thinking): a budget up to 2.5, a level since 3."""

from __future__ import annotations

from typing import Any

from harness.models.dialects.asking import budget_of, by_effort, degrade
from harness.models.profiles import Profile
from harness.models.thinking import Effort, Thinking, ThinkingPlan

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

    def fields(effort: Effort | None) -> dict[str, Any]:
        if effort is None:
            return _config(thinking, thinkingBudget=0)
        return _config(thinking, thinkingLevel=effort.upper())

    return by_effort(thinking, profile, fields, server=profile.family)


def _by_budget(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    options = profile.thinking
    reasons: list[str] = []
    least = options.budget[0] if options.budget else 0
    if thinking.mode == "off" and not options.always:
        return ThinkingPlan(_config(thinking, thinkingBudget=0), "hard", "a budget of 0 turns thinking off")
    if thinking.mode == "off":
        degrade(thinking, f"{profile.family} thinks always", reasons)
        return ThinkingPlan(_config(thinking, thinkingBudget=least), "soft", "; ".join(reasons))
    if thinking.budget is not None:
        budget = _within(thinking.budget, profile)
        if budget != thinking.budget and options.budget:
            least, most = options.budget
            degrade(thinking, f"{profile.family} takes budgets from {least:,} to {most:,} tokens", reasons)
    elif thinking.effort is not None:
        budget = _within(budget_of(thinking.effort), profile)
    else:
        budget = _DYNAMIC
        reasons.append("no budget is asked for")
    reason = "; ".join(reasons) or "the model may pass a thinkingBudget"
    return ThinkingPlan(_config(thinking, thinkingBudget=budget), "soft", reason)


def _within(budget: int, profile: Profile) -> int:
    """Return the budget that comes nearest; never more than `budget` where thinking can be turned off."""
    if profile.thinking.budget is None:
        return budget
    least, most = profile.thinking.budget
    if budget < least:
        return least if profile.thinking.always else 0
    return min(budget, most)


def _config(thinking: Thinking, **fields: Any) -> dict[str, Any]:
    if thinking.mode == "on" and thinking.visible != "hidden":
        fields["includeThoughts"] = True
    return {"generationConfig": {"thinkingConfig": fields}}

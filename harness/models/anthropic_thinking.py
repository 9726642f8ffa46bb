"""What the Messages API is told about thinking.

Models came with three ways: a budget in tokens (`enabled`), an effort that the model spends as it sees fit
(`adaptive`), or both; a profile says which. Newer ones refuse the budget, some cannot be turned off, and
one says `between_tools` for that.

Source: https://platform.claude.com/docs/en/build-with-claude/thinking and
`build-with-claude/thinking-tool-workflows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.models.dialects.asking import by_effort, degrade
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingOptions, ThinkingPlan, budget_of

INTERLEAVED = "interleaved-thinking-2025-05-14"
"""The beta header that lets models with a budget think between calls; the others do by themselves."""
_LEAST_BUDGET = 1024
_ON = frozenset({"enabled", "adaptive"})


def plan(thinking: Thinking, profile: Profile, max_tokens: int | None) -> ThinkingPlan:
    """Return what is asked of a model, whose replies may have `max_tokens`.

    Raises:
        ThinkingUnsupported: The model cannot do it, and may not do what comes nearest.
    """
    options, reasons = profile.thinking, list[str]()
    if thinking.mode == "off" and not options.always:
        return _off(profile, "the endpoint turns thinking off")
    if options.never:
        degrade(thinking, f"{profile.family} does not think", reasons)
        return ThinkingPlan(enforcement="ignored", reason=reasons[0])
    if thinking.mode == "on" and thinking.visible == "full" and profile.family:
        degrade(thinking, f"{profile.family} shows only a summary of its thinking", reasons)
    if options.adaptive and (options.budget is None or thinking.budget is None):
        made = _by_effort(thinking, profile)
    else:
        made = _by_budget(thinking, profile, max_tokens, reasons)
    return replace(made, reason="; ".join([*reasons, made.reason]))


def fitted(thinking: Mapping[str, Any], max_tokens: int, *, began_without: bool) -> dict[str, Any]:
    """Return thinking as this one request can have it.

    A budget is less than `max_tokens` and leaves half of it to the answer; a turn that `began_without`
    thinking, which lasts until a user speaks, cannot take it up with a budget.
    """
    budget = thinking.get("budget_tokens")
    if budget is None:
        return dict(thinking)
    if budget >= max_tokens:
        budget = max_tokens // 2
    if budget < _LEAST_BUDGET or began_without:
        return {"type": "disabled"}
    return {**thinking, "budget_tokens": budget}


def thinks(thinking: Mapping[str, Any] | None, options: ThinkingOptions) -> bool:
    """Return whether a model thinks when it is told this."""
    if thinking is None:
        return options.by_default or options.always
    return thinking.get("type") in _ON


def _off(profile: Profile, reason: str) -> ThinkingPlan:
    if profile.thinking.never:
        return ThinkingPlan(enforcement="hard", reason=f"{profile.family} does not think")
    word = profile.thinking.off_as or "disabled"
    return ThinkingPlan({"thinking": {"type": word}}, "hard", reason)


def _by_effort(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    """Return the plan for a model that thinks as much as it sees fit."""
    on = {"type": "adaptive", **_display(thinking, profile)}
    if thinking.mode == "on" and thinking.effort is None and thinking.budget is None:
        made = ThinkingPlan({"thinking": on}, "soft", "the model decides how much it thinks")
    else:
        made = by_effort(
            thinking,
            profile,
            lambda effort: {"thinking": on, "output_config": {"effort": effort}},
            server=profile.family,
        )
    return replace(made, can_require_tools=False)


def _by_budget(
    thinking: Thinking, profile: Profile, max_tokens: int | None, reasons: list[str]
) -> ThinkingPlan:
    """Return the plan for a model that knows a budget in tokens."""
    budget = thinking.budget if thinking.budget is not None else budget_of(thinking.effort or "medium")
    least, most = profile.thinking.budget or (_LEAST_BUDGET, budget)
    if budget < least:
        degrade(thinking, f"a budget of {budget:,} tokens is less than {least:,}, the least", reasons)
        return _off(profile, "so it does not think at all")
    if thinking.budget is not None and budget > most:
        degrade(thinking, f"{profile.family} has budgets up to {most:,} tokens, not {budget:,}", reasons)
    budget = min(budget, most)
    if max_tokens is not None and budget >= max_tokens:
        degrade(thinking, f"a budget of {budget:,} tokens is not within max_tokens, {max_tokens:,}", reasons)
    on = {"type": "enabled", "budget_tokens": budget, **_display(thinking, profile)}
    return ThinkingPlan(
        {"thinking": on}, "soft", "a budget is a target, not a limit", can_require_tools=False
    )


def _display(thinking: Thinking, profile: Profile) -> dict[str, str]:
    if not profile.family:
        return {}
    return {"display": "omitted" if thinking.visible == "hidden" else "summarized"}

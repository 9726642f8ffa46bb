"""Asking for thinking in the words a server has: what several dialects and APIs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never

from harness.models.profiles import Profile
from harness.models.thinking import (
    EFFORTS,
    Effort,
    Enforcement,
    Thinking,
    ThinkingPlan,
    ThinkingUnsupported,
    budget_of,
    effort_of,
    merged,
)

_MEDIUM = EFFORTS.index("medium")


_SWITCHED_BY_THINKING = ("deepseek", "granite", "holo", "kimi")
"""Families whose chat template calls its switch `thinking`; all others call it `enable_thinking`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a server has words for."""

    server: str
    """Its name in texts for people."""
    efforts: tuple[Effort, ...] = ()
    """Efforts that this model can be told here, from the least to the most."""
    budget: bool = False
    """Whether it takes a budget in tokens."""
    exclusive: bool = False
    """Whether it takes a budget or an effort, and not both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a server is to be told, in words that it has."""

    mode: Literal["off", "on", "unsaid"]
    """`unsaid` where the model never thinks, so that there is nothing to be said."""
    effort: Effort | None = None
    budget: int | None = None
    reasons: tuple[str, ...] = ()
    """Why it is less than was asked for."""

    def plan(
        self, fields: Mapping[str, Any], enforcement: Enforcement, why: str, **more: Any
    ) -> ThinkingPlan:
        """Return the plan; where less is asked for than was wanted, its reason says why."""
        return ThinkingPlan(fields, enforcement, "; ".join(self.reasons) or why, **more)


def settle(thinking: Thinking, profile: Profile, words: Words) -> Asked:
    """Return what a server can be told of `thinking`, for a model of this family.

    An effort that it has no word for becomes the budget that stands for it, or else the nearest one. Of a budget and
    an effort that exclude each other the budget stays, because it binds.

    Raises:
        ThinkingUnsupported: It cannot be told all, and less is not allowed.
    """
    can, reasons = profile.thinking, list[str]()
    if can.never:
        if thinking.mode == "on":
            degrade(thinking, f"{profile.family} never thinks", reasons)
        return Asked(mode="unsaid", reasons=tuple(reasons))
    if thinking.mode == "off":
        if not can.always:
            return Asked(mode="off")
        degrade(thinking, f"{profile.family} thinks always", reasons)
        return _least(profile, words, reasons)
    effort, budget = thinking.effort, thinking.budget
    if budget is not None and not words.budget:
        has = ", only an effort" if words.efforts else ""
        degrade(thinking, f"{words.server} has no budget in tokens{has}", reasons)
        effort, budget = effort or effort_of(budget), None
        if not words.efforts:
            effort = None
    if effort is not None and effort not in words.efforts:
        if words.budget:
            effort, budget = None, budget_of(effort) if budget is None else budget
        else:
            effort = _nearest(effort, thinking, profile, words, reasons)
    if effort is not None and budget is not None and words.exclusive:
        degrade(thinking, f"{words.server} takes a budget or an effort, not both", reasons)
        effort = None
    budget = _within(budget, thinking, profile, reasons)
    return Asked(mode="on", effort=effort, budget=budget, reasons=tuple(reasons))


def unsaid(asked: Asked, profile: Profile) -> ThinkingPlan:
    """Return the plan for a model that never thinks."""
    return asked.plan({}, "ignored" if asked.reasons else "hard", f"{profile.family} never thinks")


def turned_off(asked: Asked, profile: Profile, fields: Mapping[str, Any], how: str) -> ThinkingPlan:
    """Return the plan that turns thinking off, which binds only a family that is known to hear it."""
    if profile.thinking.toggle or profile.thinking.efforts:
        return asked.plan(fields, "hard", how)
    return asked.plan(fields, "soft", f"{how}; whether this model hears it is not known")


def by_effort(
    thinking: Thinking,
    profile: Profile,
    fields: Callable[[Effort | None], Mapping[str, Any]],
    *,
    server: str,
    efforts: tuple[Effort, ...] = EFFORTS,
) -> ThinkingPlan:
    """Return the plan for a server that knows an effort and no budget.

    Args:
        fields: The body's fields for an effort; for None, those that turn thinking off.
    """
    words = Words(server=server, efforts=profile.thinking.efforts or efforts)
    if thinking.mode == "on" and thinking.effort is None and thinking.budget is None:
        middle: Effort = min(words.efforts, key=lambda one: abs(EFFORTS.index(one) - _MEDIUM))
        thinking = replace(thinking, effort=middle)
    asked = settle(thinking, profile, words)
    match asked.mode:
        case "unsaid":
            return unsaid(asked, profile)
        case "off":
            return asked.plan(fields(None), "hard", "the server turns thinking off")
        case "on":
            return asked.plan(fields(asked.effort), "soft", "an effort is a wish, not a limit")
        case _:
            assert_never(asked.mode)


def by_template(
    thinking: Thinking,
    profile: Profile,
    budget: Callable[[int], Mapping[str, Any]],
    *,
    server: str,
    enforcement: Enforcement,
    why: str,
) -> ThinkingPlan:
    """Return the plan for a server that fills in the model's chat template and takes a budget besides.

    Args:
        budget: The body's fields for a budget.
        enforcement: How far they bind the server, and `why`.
    """
    asked = settle(thinking, profile, _template_words(server, profile))
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    fields = template_switch(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, fields, "the template ends it")
    if asked.effort is not None:
        fields["reasoning_effort"] = asked.effort
    if asked.budget is None:
        return asked.plan(fields, "soft", "no budget is asked for")
    return asked.plan(merged(fields, budget(asked.budget)), enforcement, why)


def _template_words(server: str, profile: Profile) -> Words:
    """Return what a server has words for that fills in the model's chat template and caps thinking itself.

    An effort goes to a family that knows efforts and no budget; all others get the budget that stands for it.
    """
    efforts = () if profile.thinking.budget else profile.thinking.efforts
    return Words(server=server, efforts=efforts, budget=True)


def template_switch(asked: Asked, profile: Profile) -> dict[str, Any]:
    """Return the body's fields that set the switches of the model's chat template."""
    if profile.thinking.always:
        switches: dict[str, Any] = {}
    else:
        by_thinking = profile.family.startswith(_SWITCHED_BY_THINKING)
        switches = {"thinking" if by_thinking else "enable_thinking": asked.mode == "on"}
    if asked.mode == "on":
        switches.update(profile.preserve)
    return {"chat_template_kwargs": switches} if switches else {}


def _least(profile: Profile, words: Words, reasons: list[str]) -> Asked:
    """Return the least thinking of a family that cannot do without."""
    budget = None
    if words.budget and not words.efforts:
        budget = profile.thinking.budget[0] if profile.thinking.budget else 0
    effort = words.efforts[0] if words.efforts else None
    return Asked(mode="on", effort=effort, budget=budget, reasons=tuple(reasons))


def _nearest(
    effort: Effort, thinking: Thinking, profile: Profile, words: Words, reasons: list[str]
) -> Effort | None:
    if not words.efforts:
        degrade(thinking, f"{words.server} knows no effort here, only on and off", reasons)
        return None
    whose = profile.family if words.efforts == profile.thinking.efforts else words.server
    degrade(thinking, f"{whose} knows the efforts {', '.join(words.efforts)}, not {effort}", reasons)
    return min(words.efforts, key=lambda one: abs(EFFORTS.index(one) - EFFORTS.index(effort)))


def _within(budget: int | None, thinking: Thinking, profile: Profile, reasons: list[str]) -> int | None:
    """Return the budget within what the family takes: less than was asked for is no breach of it."""
    if budget is None or profile.thinking.budget is None:
        return budget
    least, most = profile.thinking.budget
    if budget < least:
        degrade(
            thinking, f"{profile.family} takes a budget from {least:,} tokens on, not {budget:,}", reasons
        )
    return min(max(budget, least), most)


def degrade(thinking: Thinking, reason: str, reasons: list[str]) -> None:
    """Note why less is asked than wanted.

    Raises:
        ThinkingUnsupported: That is not allowed.
    """
    if not thinking.allow_degraded:
        raise ThinkingUnsupported(f"{reason}; set allow_degraded: true to do what comes nearest")
    reasons.append(reason)

"""OpenRouter (https://openrouter.ai/docs/use-cases/reasoning-tokens).

An effort or a budget, never both, which the router puts into the words of whoever answers; fields it does not
know go on to them as they are. The reasoning of every provider comes as `reasoning_details`, which go back
untouched and in order. `cache_control` marks the end of a prompt for those who cache only what is marked.
"""

from __future__ import annotations

from typing import Any

from harness.models.dialects import Dialect
from harness.models.dialects.asking import Words, settle, turned_off, unsaid
from harness.models.profiles import Profile
from harness.models.thinking import EFFORTS, Thinking, ThinkingPlan

_WHY = "the router puts it into the words of whoever answers"


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    words = Words(server="OpenRouter", efforts=EFFORTS, budget=True, exclusive=True)
    asked = settle(thinking, profile, words)
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, {"reasoning": {"effort": "none"}}, _WHY)
    fields: dict[str, Any] = {"reasoning": {"enabled": True}}
    if asked.budget is not None:
        fields = {"reasoning": {"max_tokens": asked.budget}}
    elif asked.effort is not None:
        fields = {"reasoning": {"effort": asked.effort}}
    if profile.preserve:
        fields["thinking"] = {"type": "enabled", **profile.preserve}
    return asked.plan(fields, "soft", _WHY)


DIALECT = Dialect(
    provider="openrouter",
    plan=_plan,
    reasoning_field="reasoning",
    payload_field="reasoning_details",
    sampling=("temperature", "top_p", "top_k"),
    cached_where_asked=("anthropic/*",),
)

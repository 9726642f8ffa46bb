"""LiteLLM's proxy (https://docs.litellm.ai/docs/reasoning_content).

An effort, or a budget in Anthropic's words; the proxy puts either into the words of whoever answers, or drops it.
Signed thinking comes as `thinking_blocks`, which go back untouched and in order.
"""

from __future__ import annotations

from typing import Any

from harness.models.dialects import Dialect
from harness.models.dialects.asking import Words, settle, turned_off, unsaid
from harness.models.profiles import Profile
from harness.models.thinking import EFFORTS, Thinking, ThinkingPlan

_WHY = "the proxy puts it into the words of whoever answers, or drops it"


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    asked = settle(thinking, profile, Words(server="LiteLLM", efforts=EFFORTS, budget=True, exclusive=True))
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, {"reasoning_effort": "none"}, _WHY)
    fields: dict[str, Any] = {}
    if profile.preserve:
        fields["thinking"] = {"type": "enabled", **profile.preserve}
    if asked.budget is not None:
        fields["thinking"] = {"type": "enabled", **profile.preserve, "budget_tokens": asked.budget}
    else:
        fields["reasoning_effort"] = asked.effort or "medium"
    return asked.plan(fields, "soft", _WHY)


DIALECT = Dialect(
    provider="litellm",
    plan=_plan,
    reasoning_field="reasoning_content",
    payload_field="thinking_blocks",
    tags_in_content=True,
)

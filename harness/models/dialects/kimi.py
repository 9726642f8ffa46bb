"""Kimi, Moonshot AI (https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model).

A switch; an effort only for families that know one. The service says nothing about fields and values that it
does not know, so what a family is not known to hear is refused here. Every turn with tool calls must come back
with its reasoning, be it empty.
"""

from __future__ import annotations

from typing import Any

from harness.models.dialects import Dialect
from harness.models.dialects.asking import Words, settle, turned_off, unsaid
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    asked = settle(thinking, profile, Words(server="Kimi", efforts=profile.thinking.efforts))
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, {"thinking": {"type": "disabled"}}, "thinking.type")
    fields: dict[str, Any] = {}
    if asked.effort is not None:
        fields["reasoning_effort"] = asked.effort
    if profile.preserve or not profile.thinking.always:
        fields["thinking"] = {"type": "enabled", **profile.preserve}
    why = "no effort is asked for" if asked.effort is None else "an effort is a wish, not a limit"
    return asked.plan(fields, "soft", why, can_require_tools=False)


DIALECT = Dialect(
    provider="moonshot_ai",
    plan=_plan,
    reasoning_field="reasoning_content",
    reasoning_required=True,
    length_field="max_completion_tokens",
    continuation={},
    prefix_mark="partial",
)

"""DeepSeek (https://api-docs.deepseek.com/guides/thinking_mode), and services that took over its words, as GLM.

A switch and an effort. Every turn with tool calls must come back with its reasoning, be it empty. Going on with
a prefix is the beta's, at `https://api.deepseek.com/beta`.
"""

from __future__ import annotations

from typing import Any

from harness.models.dialects import Dialect
from harness.models.dialects.asking import Words, settle, turned_off, unsaid
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    words = Words(server="DeepSeek", efforts=profile.thinking.efforts or ("low", "high", "max"))
    asked = settle(thinking, profile, words)
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, {"thinking": {"type": "disabled"}}, "thinking.type")
    fields: dict[str, Any] = {"thinking": {"type": "enabled", **profile.preserve}}
    if asked.effort is None:
        return asked.plan(fields, "soft", "no effort is asked for", can_require_tools=False)
    fields["reasoning_effort"] = asked.effort
    return asked.plan(fields, "soft", "an effort is a wish, not a limit", can_require_tools=False)


DIALECT = Dialect(
    provider="deepseek",
    plan=_plan,
    reasoning_field="reasoning_content",
    reasoning_required=True,
    continuation={},
    prefix_mark="prefix",
)

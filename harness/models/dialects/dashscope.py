"""DashScope, Alibaba Cloud's Model Studio (https://help.aliyun.com/zh/model-studio/deep-thinking).

A switch, and a budget or, for families that know one, an effort: never both. While a model thinks, no call can
be demanded of it and no prefix gone on with.
"""

from __future__ import annotations

from typing import Any

from harness.models.dialects import Dialect
from harness.models.dialects.asking import Words, settle, turned_off, unsaid
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    words = Words(server="DashScope", efforts=profile.thinking.efforts, budget=True, exclusive=True)
    asked = settle(thinking, profile, words)
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, {"enable_thinking": False}, "enable_thinking")
    fields: dict[str, Any] = {} if profile.thinking.always else {"enable_thinking": True}
    fields.update(profile.preserve)
    if asked.budget is not None:
        fields["thinking_budget"] = asked.budget
        return asked.plan(fields, "hard", "thinking_budget is the service's cap", can_require_tools=False)
    if asked.effort is not None:
        fields["reasoning_effort"] = asked.effort
        return asked.plan(fields, "soft", "an effort is a wish, not a limit", can_require_tools=False)
    return asked.plan(fields, "soft", "no budget is asked for", can_require_tools=False)


DIALECT = Dialect(
    provider="dashscope",
    plan=_plan,
    reasoning_field="reasoning_content",
    sampling=("temperature", "top_p", "top_k"),
    continuation={"enable_thinking": False},
    prefix_mark="partial",
)

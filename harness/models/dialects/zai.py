"""Z.ai, whose GLM models think or do not (https://docs.z.ai/guides/capabilities/thinking-mode).

Thinking goes back as `reasoning_content`; `clear_thinking: false`, which the profile holds, keeps that of earlier
turns in the prompt.
"""

from __future__ import annotations

from typing import Any

from harness.models.dialects import Dialect
from harness.models.dialects.asking import Words, settle, turned_off, unsaid
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    asked = settle(thinking, profile, Words(server="Z.ai", efforts=profile.thinking.efforts))
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, {"thinking": {"type": "disabled"}}, "thinking.type")
    fields: dict[str, Any] = {"thinking": {"type": "enabled", **profile.preserve}}
    if asked.effort is None:
        return asked.plan(fields, "soft", "no effort is asked for")
    return asked.plan(
        {**fields, "reasoning_effort": asked.effort}, "soft", "an effort is a wish, not a limit"
    )


DIALECT = Dialect(provider="z_ai", plan=_plan, reasoning_field="reasoning_content")

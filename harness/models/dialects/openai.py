"""OpenAI's own Chat Completions (https://platform.openai.com/docs/api-reference/chat).

Effort only; the thinking itself is neither shown nor taken back: for that there is the Responses API.
"""

from __future__ import annotations

from harness.models.dialects import Dialect
from harness.models.dialects.asking import by_effort
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    return by_effort(
        thinking, profile, lambda effort: {"reasoning_effort": effort or "none"}, server="OpenAI Chat"
    )


DIALECT = Dialect(provider="openai", plan=_plan, length_field="max_completion_tokens")

"""Ollama's `/v1` (https://docs.ollama.com/api/openai-compatibility).

An effort, which turns thinking on for models that know no levels, and `none`; no budget at all.
"""

from __future__ import annotations

from harness.models.dialects import Dialect
from harness.models.dialects.asking import by_effort
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    return by_effort(
        thinking,
        profile,
        lambda effort: {"reasoning_effort": effort or "none"},
        server="Ollama",
        efforts=("low", "medium", "high", "max"),
    )


DIALECT = Dialect(provider="ollama", plan=_plan, reasoning_field="reasoning", tags_in_content=True)

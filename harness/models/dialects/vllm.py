"""vLLM (https://docs.vllm.ai/en/latest/features/reasoning_outputs.html).

The template turns thinking on and off; `thinking_token_budget` is a cap of the server's own, which holds where
it was started with a `--reasoning-parser`.
"""

from __future__ import annotations

from typing import Any

from harness.models.dialects import Dialect
from harness.models.dialects.asking import budget_of, degrade
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    reasons: list[str] = []
    if thinking.mode == "off":
        if profile.thinking.always:
            degrade(thinking, f"{profile.family} thinks always", reasons)
            return ThinkingPlan({"thinking_token_budget": 0}, "soft", "; ".join(reasons))
        return ThinkingPlan(
            {"chat_template_kwargs": {"enable_thinking": False}}, "hard", "the template ends it"
        )
    fields: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": True}}
    budget = thinking.budget
    if budget is None and thinking.effort is not None:
        budget = budget_of(thinking.effort)
    if budget is None:
        return ThinkingPlan(fields, "soft", "no budget is asked for")
    fields["thinking_token_budget"] = budget
    return ThinkingPlan(fields, "hard", "thinking_token_budget, where the server has a reasoning parser")


DIALECT = Dialect(
    provider="vllm",
    plan=_plan,
    reasoning_field="reasoning",
    continuation={"continue_final_message": True, "add_generation_prompt": False},
)

"""vLLM (https://docs.vllm.ai/en/latest/features/reasoning_outputs.html).

The template turns thinking on and off; `thinking_token_budget` is a cap of the server's own, which holds where
it was started with a `--reasoning-parser`. Without one, thinking comes as tags in the content.
"""

from __future__ import annotations

from harness.models.dialects import Dialect
from harness.models.dialects.asking import settle, template_switch, template_words, turned_off, unsaid
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    asked = settle(thinking, profile, template_words("vLLM", profile))
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    fields = template_switch(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, fields, "the template ends it")
    if asked.effort is not None:
        fields["reasoning_effort"] = asked.effort
    if asked.budget is None:
        return asked.plan(fields, "soft", "no budget is asked for")
    fields["thinking_token_budget"] = asked.budget
    return asked.plan(fields, "hard", "thinking_token_budget, where the server has a reasoning parser")


DIALECT = Dialect(
    provider="vllm",
    plan=_plan,
    reasoning_field="reasoning",
    sampling=("temperature", "top_p", "top_k"),
    tags_in_content=True,
    continuation={"continue_final_message": True, "add_generation_prompt": False},
)

"""SGLang (https://docs.sglang.ai/advanced_features/separate_reasoning.html).

The template turns thinking on and off. A budget goes to the template too, and one that has no use for it says
nothing, so nobody can count on it.
"""

from __future__ import annotations

from harness.models.dialects import Dialect
from harness.models.dialects.asking import settle, template_switch, template_words, turned_off, unsaid
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan, merged


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    asked = settle(thinking, profile, template_words("SGLang", profile))
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    fields = template_switch(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, fields, "the template ends it")
    if asked.effort is not None:
        fields["reasoning_effort"] = asked.effort
    if asked.budget is None:
        return asked.plan(fields, "soft", "no budget is asked for")
    fields = merged(fields, {"chat_template_kwargs": {"thinking_budget": asked.budget}})
    return asked.plan(fields, "soft", "a template without thinking_budget does not hear it")


DIALECT = Dialect(
    provider="sglang",
    plan=_plan,
    reasoning_field="reasoning_content",
    sampling=("temperature", "top_p", "top_k"),
    tags_in_content=True,
    continuation={"continue_final_message": True},
)

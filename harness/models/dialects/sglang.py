"""SGLang (https://docs.sglang.ai/advanced_features/separate_reasoning.html).

The template turns thinking on and off. A budget goes to the template too, and one that has no use for it says
nothing, so nobody can count on it.
"""

from __future__ import annotations

from harness.models.dialects import Dialect
from harness.models.dialects.asking import by_template
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    return by_template(
        thinking,
        profile,
        lambda budget: {"chat_template_kwargs": {"thinking_budget": budget}},
        server="SGLang",
        enforcement="soft",
        why="a template without thinking_budget does not hear it",
    )


DIALECT = Dialect(
    provider="sglang",
    plan=_plan,
    reasoning_field="reasoning_content",
    sampling=("temperature", "top_p", "top_k"),
    tags_in_content=True,
    continuation={"continue_final_message": True},
)

"""vLLM (https://docs.vllm.ai/en/latest/features/reasoning_outputs.html).

The template turns thinking on and off; `thinking_token_budget` is a cap of the server's own, which holds where
it was started with a `--reasoning-parser`. Without one, thinking comes as tags in the content.
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
        lambda budget: {"thinking_token_budget": budget},
        server="vLLM",
        enforcement="hard",
        why="thinking_token_budget, where the server has a reasoning parser",
    )


DIALECT = Dialect(
    provider="vllm",
    plan=_plan,
    reasoning_field="reasoning",
    sampling=("temperature", "top_p", "top_k"),
    tags_in_content=True,
    continuation={"continue_final_message": True, "add_generation_prompt": False},
)

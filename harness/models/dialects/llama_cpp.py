"""llama.cpp's server (https://github.com/ggml-org/llama.cpp/tree/master/tools/server).

The template turns thinking on and off. The budget is a cap of the server's own; releases differ in the field
they read it from, and leave alone what they do not know. An assistant message at the end is gone on with, but
refused while the template's thinking is on.
"""

from __future__ import annotations

from harness.models.dialects import Dialect
from harness.models.dialects.asking import by_template
from harness.models.profiles import Profile
from harness.models.thinking import EARLY_STOP, Thinking, ThinkingPlan

_LAST_WORDS = EARLY_STOP.partition("</think>")[0]


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    return by_template(
        thinking,
        profile,
        lambda budget: {
            "reasoning_budget_tokens": budget,
            "thinking_budget_tokens": budget,
            "reasoning_budget_message": _LAST_WORDS,
        },
        server="llama.cpp",
        enforcement="hard",
        why="a cap of the server's own, which releases before 2026 do not know",
    )


DIALECT = Dialect(
    provider="llama.cpp",
    plan=_plan,
    reasoning_field="reasoning_content",
    sampling=("temperature", "top_p", "top_k"),
    tags_in_content=True,
    continuation={"chat_template_kwargs": {"enable_thinking": False}},
)

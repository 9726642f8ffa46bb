"""`transformers serve` (https://huggingface.co/docs/transformers/serve-cli/serving).

The template turns thinking on and off, and that is all: an effort is taken and not heard, and a field that the
server does not know is refused with 422.
"""

from __future__ import annotations

from harness.models.dialects import Dialect
from harness.models.dialects.asking import Words, settle, template_switch, turned_off, unsaid
from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    asked = settle(thinking, profile, Words(server="transformers serve"))
    if asked.mode == "unsaid":
        return unsaid(asked, profile)
    fields = template_switch(asked, profile)
    if asked.mode == "off":
        return turned_off(asked, profile, fields, "the template ends it")
    return asked.plan(fields, "soft", "no budget is asked for")


DIALECT = Dialect(
    provider="transformers", plan=_plan, reasoning_field="reasoning_content", tags_in_content=True
)

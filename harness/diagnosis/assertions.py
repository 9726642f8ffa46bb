"""What an agent asserts without having been told or shown it."""

from __future__ import annotations

import re

from harness.diagnosis.case import AgentCase
from harness.record import Call, Entry
from harness.record.values import is_made_of

_QUANTITY = re.compile(r"[\d.,-]+")


def is_asserted_only(case: AgentCase, value: str, source: Entry, *, before: Call | None = None) -> bool:
    """Return whether only the agent itself said a value, and did not make it of what it had observed.

    Args:
        source: The entry that first held it.
        before: Look only at what was observed before this call was made.
    """
    if source.message.role != "assistant" or is_derived(case, value, before.turn if before else source.turn):
        return False
    if any(value.encode() in tool.encoded for tool in case.agent.tools or ()):
        return False
    observed = case.uses.observed(value)
    return not any(before is None or (entry.first and entry.first <= before.turn) for entry in observed)


def is_derived(case: AgentCase, value: str, turn: int) -> bool:
    """Return whether a value is short enough to be counted or computed, or made of what was shown by a turn."""
    if _QUANTITY.fullmatch(value):
        return len(value.replace(".", "").replace("-", "")) < 6
    return is_made_of(value, lambda piece: case.uses.shown(piece, turn))

"""What an agent asserts without having been told or shown it."""

from __future__ import annotations

import re

from harness.diagnosis.case import AgentCase
from harness.record import Call, Entry
from harness.record.values import is_distinctive, is_made_of

_FREE_TEXT = re.compile(
    r"(content|text|query|message|body|command|code|thought|reason|summary|description|answer|prompt|objective"
    r"|expected|boundaries|sources|title|note|new_str|old_str|patch|expression)",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"-?[\d,]+\.\d{1,2}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}.*|\d{1,2}:\d{2}.*")


def is_identifier(path: str, value: str) -> bool:
    """Return whether an argument is an identifier that has to come from somewhere, and no text, date or quantity."""
    leaf = path.rpartition(".")[2] if not path.rpartition(".")[2].isdigit() else path
    is_id = is_distinctive(value) and any(map(str.isdigit, value)) and " " not in value
    return (
        is_id and not _FREE_TEXT.search(leaf) and not _DATE.fullmatch(value) and not _AMOUNT.fullmatch(value)
    )


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
    if re.fullmatch(r"[\d.,-]+", value):
        return len(value.replace(".", "").replace("-", "")) < 6
    return is_made_of(value, lambda piece: case.uses.shown(piece, turn))

"""What an agent asserts without having been told or shown it."""

from __future__ import annotations

import re

from harness.diagnosis.case import AgentCase
from harness.record import Call, Entry
from harness.record.values import is_distinctive

_FREE_TEXT = re.compile(
    r"(content|text|query|message|body|command|code|thought|reason|summary|description|answer|prompt|objective"
    r"|expected|boundaries|sources|title|note|new_str|old_str|patch|expression)",
    re.IGNORECASE,
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}.*|\d{1,2}:\d{2}.*")


def is_identifier(path: str, value: str) -> bool:
    """Return whether an argument is an identifier that has to come from somewhere, and no text or date."""
    leaf = path.rpartition(".")[2] if not path.rpartition(".")[2].isdigit() else path
    is_id = is_distinctive(value) and any(map(str.isdigit, value)) and " " not in value
    return is_id and not _FREE_TEXT.search(leaf) and not _DATE.fullmatch(value) and "/" not in value


def is_asserted_only(case: AgentCase, value: str, source: Entry, *, before: Call | None = None) -> bool:
    """Return whether only the agent itself said a value, and did not make it of what it had observed.

    Args:
        source: The entry that first held it.
        before: Look only at what was observed before this call was made.
    """
    if source.message.role != "assistant" or _is_computed(case, value, source):
        return False
    if any(value.encode() in tool.encoded for tool in case.agent.tools or ()):
        return False
    observed = case.uses.observed(value)
    return not any(before is None or (entry.first and entry.first <= before.turn) for entry in observed)


def _is_computed(case: AgentCase, value: str, source: Entry) -> bool:
    """Return whether a value is made of parts that were observed before."""
    known = case.uses.introduced
    if re.fullmatch(r"[\d.,-]+", value):
        return len(value.replace(".", "").replace("-", "")) < 6
    parts = [part for part in re.split(r"[-_.:@#]", value) if len(part) > 2]
    earlier = [known.get(part) for part in parts]
    if len(parts) > 1 and all(one is not None and one.number < source.number for one in earlier):
        return True
    others = {value.lower(), value.upper()} - {value}
    return any(other in known and known[other].number < source.number for other in others)

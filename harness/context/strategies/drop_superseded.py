"""Drop what an agent has read again since: an older result of the very same read.

Only of tools that change nothing: the same call of another tool is another deed, and its result a fact.
"""

from __future__ import annotations

from harness.context.draft import Draft
from harness.context.placeholders import cleared
from harness.context.window import Entry
from harness.messages import ToolResult, canonical_arguments

NAME = "drop_superseded"

_OWN_READS = frozenset({"read_result"})
"""Tools of the harness itself that only read."""


def apply(draft: Draft) -> None:
    """Clear every result that a newer one of the same read has replaced, all at once: they may be outdated."""
    newest: dict[str, Entry] = {}
    for entry in draft.entries.values():
        read = _read(draft, entry)
        if read is not None and not _is_error(entry):
            newest[read] = entry
    for entry in draft.results():
        read = _read(draft, entry)
        later = None if read is None else newest.get(read)
        if later is not None and later.number > entry.number:
            why = "This result was replaced by a later one of the same call, below"
            names = draft.only_in([entry])
            draft.shorten(entry, cleared(entry.message.text, entry.call, why=why, names=names), NAME)


def _read(draft: Draft, entry: Entry) -> str | None:
    """Return what a result is the reading of: the tool and its arguments, however they were written."""
    call = draft.calls.get(entry.call) if entry.call else None
    if call is None or not (call.name in _OWN_READS or draft.effects.get(call.name) == "read"):
        return None
    return f"{call.name}\0{canonical_arguments(call.arguments)}"


def _is_error(entry: Entry) -> bool:
    return any(isinstance(part, ToolResult) and part.is_error for part in entry.message.parts)

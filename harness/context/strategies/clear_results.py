"""Clear old tool results: in their place stands how to read them again, and what only they named."""

from __future__ import annotations

from harness.context.draft import Draft
from harness.context.placeholders import cleared

NAME = "clear_results"


def apply(draft: Draft, *, keep: int) -> None:
    """Clear results, the oldest first, until it is enough; the newest `keep` stay, as does the turn under way."""
    results = draft.results()
    for entry in results[: max(0, len(results) - keep)]:
        if draft.is_small_enough:
            return
        why = f"The result of {entry.origin.removeprefix('tool:')} was cleared to make room"
        names = draft.only_in([entry])
        draft.shorten(entry, cleared(entry.message.text, entry.call, why=why, names=names), NAME)

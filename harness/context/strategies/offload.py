"""Offload large results: the window keeps their beginning, the run keeps the rest.

Most of this happens when a result comes in and is shown shortened at once, which breaks no prefix.
"""

from __future__ import annotations

from harness.context.draft import Draft
from harness.context.placeholders import beginning
from harness.context.window import Entry

NAME = "offload"

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb that does not depend on a vocabulary, so that every machine cuts at the same place."""

HEAD_CHARACTERS = 1_200

_SHORTEST_HEAD = 120
_NOTE_TOKENS = 60


def apply(draft: Draft, *, above: int) -> None:
    """Cut results of more than `above` tokens to their beginning, the oldest first, until it is enough."""
    for entry in draft.results():
        if draft.is_small_enough:
            return
        if entry.tokens > above:
            _cut(draft, entry, min(HEAD_CHARACTERS, above * CHARACTERS_PER_TOKEN))


def fit_newest(draft: Draft, most: int) -> None:
    """Cut the results that the model has not seen yet, the largest first, to what fits into `most` tokens at all."""
    results = sorted(draft.newest_results(), key=lambda entry: entry.tokens, reverse=True)
    for position, entry in enumerate(results):
        excess = draft.tokens - most
        if excess <= 0:
            return
        # All the larger ones have been cut already; the rest of the excess is shared by the rest.
        share = -(-excess // (len(results) - position)) if position else excess
        wanted = max(0, entry.tokens - share - _NOTE_TOKENS)
        text = entry.message.text
        _cut(draft, entry, max(_SHORTEST_HEAD, int(len(text) * wanted / max(1, entry.tokens) * 0.9)))


def _cut(draft: Draft, entry: Entry, length: int) -> None:
    text = entry.message.text
    if entry.call and len(text) > length:
        draft.shorten(entry, beginning(text, entry.call, length, names=draft.only_in([entry])), NAME)

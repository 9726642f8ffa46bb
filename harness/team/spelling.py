"""Small wordings that several messages share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 1_000
_LISTED = 40


def did_you_mean(word: str, known: Iterable[str], *, what: str = "") -> str:
    """Return a hint: the closest known word, else the list of all of them."""
    names = sorted(set(known))[:_MOST]
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    close = close or get_close_matches(word.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    for name in names:
        if close and name.lower() == close[0].lower():
            return f"did you mean '{name}'?"
    more = ", …" if len(names) > _LISTED else ""
    return f"{what or 'known'}: {', '.join(names[:_LISTED])}{more}" if names else ""


def one_of(words: Iterable[object]) -> str:
    """Return the words as `'a', 'b' or 'c'`."""
    quoted = [f"'{word}'" if isinstance(word, str) else str(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def shortened(text: str, limit: int = 40) -> str:
    """Return the text on one line, cut to about `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"

"""Search queries made from an objective."""

from __future__ import annotations

import re

from harness.models.offline.phrases import key_phrases
from harness.models.offline.synonyms import other_words
from harness.models.offline.terms import content_words, is_name, variants, words

_MOST_WORDS = 12


def first_queries(objective: str) -> list[str]:
    """Return up to three different queries: the key terms, the key phrase, and inflections."""
    objective = objective[:4000]
    keys = content_words(objective)[:_MOST_WORDS] or words(objective)[:_MOST_WORDS]
    phrases = key_phrases(objective)
    phrase = phrases[0] if phrases else ""
    expanded = [form for word in keys[:6] for form in [word, *variants(word)[:2], *other_words(word)[:2]]]
    candidates = [" ".join(keys), phrase, " ".join(dict.fromkeys(expanded))]
    pieces = _pieces(keys)
    if pieces != keys:
        candidates.insert(1, " ".join(pieces))
    candidates.append(" ".join(words(objective)[:_MOST_WORDS]))
    return _different(candidates)[:3]


def other_queries(objective: str) -> list[str]:
    """Return queries in other words, for a first search that gave little."""
    objective = objective[:4000]
    keys = content_words(objective)[:_MOST_WORDS]
    names = [word for word in keys if is_name(word) or word[:1].isupper()]
    pieces = _pieces(keys)
    longest = sorted(keys, key=lambda word: -len(word))[:3]
    inflected = [form for word in keys for form in variants(word)]
    return _different([" ".join(names), " ".join(longest), " ".join(pieces), " ".join(inflected[:10])])[:3]


def _pieces(keys: list[str]) -> list[str]:
    """Return the words with dotted, joined and camel-case names taken apart."""
    apart = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[._-]+", " ", word).split() for word in keys]
    return [piece for pieces in apart for piece in pieces]


def _different(candidates: list[str]) -> list[str]:
    seen: dict[str, str] = {}
    for candidate in candidates:
        key = " ".join(sorted(set(candidate.lower().split())))
        if key:
            seen.setdefault(key, candidate)
    return list(seen.values())

"""The phrases a question is about, most telling first."""

from __future__ import annotations

import re

from harness.models.offline.terms import STOPWORDS, WEAK_WORDS, is_content, is_name, words

_QUOTED = re.compile(r"[\"“«`]([^\"”»`\n]{2,80})[\"”»`]")
_PIECE = re.compile(r"[^\s,;:!?()\[\]{}\"“”«»`]+")
_LONGEST_RUN = 5


def key_phrases(text: str) -> list[str]:
    """Return quoted words, names, capitalised runs and runs of topic words, each once, best first."""
    text = text[:4000]
    found = [match.group(1).strip() for match in _QUOTED.finditer(text)]
    found += [word for word in words(text) if is_name(word) and word.lower() not in STOPWORDS]
    runs = _runs(text)
    found += [run for run in runs if " " in run and any(word[:1].isupper() for word in run.split())]
    found += sorted(runs, key=lambda run: -min(len(run.split()), 4))
    return list({phrase.lower(): phrase for phrase in reversed(found) if phrase}.values())[::-1]


def topic_of(text: str) -> str:
    """Return what a question is about in a few words, or an empty string."""
    text = re.sub(r"^(?:who|what)\s+\w+\s+(?=(?:the|an?)\s)", "", text[:4000], flags=re.IGNORECASE)
    acting = re.match(
        r"(?:how|when|why|where)\s+(?:is|are|was|were)\s|(?:how|when|why|where|what)\s+(?:do|does|did|can|could|should|will)\s",
        text,
        re.IGNORECASE,
    )
    named = [word for word in words(text) if is_name(word) and word.lower() not in STOPWORDS]
    for run in _runs(text):
        if named and named[0] in run.split():
            return _without_verb(run, text) if acting else run
    owner = re.search(r"\b(?:of|about)\s+(?:the\s+|an?\s+)?([^\s,;:?!.]+[^,;:?!.]*)[^,;:?!]*[?!.]*$", text)
    if owner and (owned := _runs(owner.group(1))):
        return owned[0]
    phrases = key_phrases(text)
    if not phrases:
        return ""
    return _without_verb(phrases[0], text) if acting else phrases[0]


def _without_verb(run: str, text: str) -> str:
    """Return the subject of "how does SUBJECT VERB …": the verb ends a short run or stands in a long one."""
    found = run.split()
    following = words(text.partition(run)[2])[:1]
    verb_follows = bool(following) and following[0].lower() in WEAK_WORDS
    kept = 2 if len(found) > 2 or verb_follows else 1
    named = next((at for at, word in enumerate(found, 1) if is_name(word)), 0)
    return " ".join(found[: max(kept, named)])


def _runs(text: str) -> list[str]:
    """Return the unbroken runs of topic words."""
    runs: list[list[str]] = [[]]
    previous = 0
    for match in _PIECE.finditer(text):
        word = match.group().rstrip(".'’-")
        broken = text[previous : match.start()].strip() != ""
        if broken:
            runs.append([])
        if is_content(word) and len(runs[-1]) < _LONGEST_RUN:
            runs[-1].append(word)
        else:
            runs.append([])
        previous = match.end()
        if match.group().endswith("."):
            runs.append([])
    return [" ".join(run) for run in runs if run]

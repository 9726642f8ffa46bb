"""Questions split into parts that can be researched apart from each other.

Every part stands alone: pronouns are replaced by the topic, bare "and why?" gets its subject back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.models.offline.phrases import topic_of
from harness.models.offline.terms import STOPWORDS, content_words, shingles, words

_MOST = 5
_LONGEST = 600
_ASKING = re.compile(
    r"^(?:please\s+)?(?:and\s+)?(?:how|what|why|when|where|which|who|whom|whose|is|are|was|were|do|does|did|can|could|should|will"
    r"|compare|contrast|explain|describe|list|find|tell|summari[sz]e|give|name|show|define|identify|determine|outline)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r",\s+(?=(?:how|why|when|where|which|who|what)\s+(?:is|are|was|were|do|does|did|can|should|will|has|have)\b)|\s*(?:;|,)?\s+(?:and|or|but|then)\s+(?=(?:how|why|when|where|which|who|whom|whose|what)\b)|\s*;\s+",
    re.IGNORECASE,
)
_ASPECT = r"(?:\s*,?\s+(?:in terms of|with respect to|with regard to|regarding|concerning|as to|on|for|by)\s+(?P<aspect>.+?))?"
_COMPARISONS = (
    re.compile(
        r"^(?:please\s+)?(?:compare|contrast)\s+(?P<left>.+?)\s+(?:and|with|to|against|versus|vs\.?)\s+(?P<right>.+?)"
        + _ASPECT
        + r"[.?!]*$",
        re.IGNORECASE,
    ),
    re.compile(
        r"^.*?\bdifferences?\s+between\s+(?P<left>.+?)\s+and\s+(?P<right>.+?)" + _ASPECT + r"[.?!]*$",
        re.IGNORECASE,
    ),
    re.compile(
        r"^how\s+(?:do|does)\s+(?P<left>.+?)\s+(?:differ from|compare (?:to|with))\s+(?P<right>.+?)"
        + _ASPECT
        + r"[.?!]*$",
        re.IGNORECASE,
    ),
    re.compile(
        r"^how\s+(?:do|does)\s+(?P<left>.+?)\s+and\s+(?P<right>.+?)\s+(?:differ|compare)"
        + _ASPECT
        + r"[.?!]*$",
        re.IGNORECASE,
    ),
    re.compile(
        r"^(?:is|are|was|were)\s+(?P<left>\S+(?:\s\S+){0,2}?)\s+(?:\w+er|more \w+|less \w+|worse)\s+than\s+"
        r"(?P<right>[^?]+?)(?P<aspect>(?!))?[.?!]*$",
        re.IGNORECASE,
    ),
    re.compile(
        r"^(?P<left>[^,?]{2,60}?)\s+(?:versus|vs\.?)\s+(?P<right>[^?]{2,60}?)" + _ASPECT + r"[.?!]*$",
        re.IGNORECASE,
    ),
)
_PAIR = re.compile(
    r"^(?P<head>.*?\b(?:the|about|are|is)\s+)(?P<left>\w+(?:\s\w+)?)\s+and\s+(?:the\s+)?(?P<right>\w+(?:\s\w+)?)\s+"
    r"(?P<rest>(?:of|for)\s+.+)$",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"\b(its|their)\b|\b(it|they|them|this|these|those)\b(?!\s+\w+s\b)", re.IGNORECASE)
_ENGLISH = re.compile(
    r"\b(?:the|a|an|is|are|do|does|what|how|why|when|which|who|of|in|to|for|explain|describe)\b", re.I
)
_WORD_ALONE = re.compile(r"^(how|why|when|where)\b", re.IGNORECASE)
_SUFFIX = re.compile(
    r"\s+(?=(?:of|in|for|when|that|with|to|by|on|at|during|from|does|do|is|are)\b)", re.IGNORECASE
)
_BEFORE_ITEMS = "the a an of in for between are is about with list on to and or describe explain"
_DETERMINERS = frozenset(_BEFORE_ITEMS.split())


@dataclass(frozen=True, slots=True)
class SubQuestion:
    """One part of a question, understandable without the others."""

    text: str
    asked: bool = True
    """False for background that the question does not ask for but needs."""


def split_question(text: str) -> tuple[SubQuestion, ...]:
    """Return two to five parts, or none if the text says nothing that could be researched."""
    parts: list[str] = []
    topic = ""
    for sentence in _asking_sentences(text):
        for clause in _clauses(sentence, topic):
            parts += _comparison(clause) or _enumeration(clause) or _pair(clause) or [clause]
            topic = topic_of(clause) or topic
    parts = _different(part for part in parts if content_words(part))[:_MOST]
    found = [SubQuestion(part) for part in parts]
    if len(found) == 1:
        found += [SubQuestion(part, asked=False) for part in _background(found[0].text)]
    return tuple(found)


def _asking_sentences(text: str) -> list[str]:
    """Return the sentences that ask for something, or all of them if none visibly does."""
    text = text if len(text) <= 8000 else f"{text[:4000]}\n{text[-4000:]}"
    text, items = re.subn(r"(?:^|\s)\(?[1-9][.)]\s+(?=\w)", "\n", text)
    lines = [re.sub(r"^\s*(?:[-*+•]|\(?\d{1,2}[.)]|[a-z]\))\s+", "", line) for line in text.splitlines()]
    pieces = [piece.strip() for line in lines for piece in re.split(r"(?<=[?!？])\s*|(?<=[.。])(?=\s)", line)]
    pieces = [piece for piece in pieces if piece.strip(" .?!*#>-_`")]
    asking = [piece for piece in pieces if piece.rstrip().endswith(("?", "？")) or _ASKING.match(piece)]
    if items > 1:
        asking = [piece for piece in pieces if content_words(piece)]
    return [_shorten(piece) for piece in (asking or pieces)[: 2 * _MOST]]


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0]


def _clauses(sentence: str, topic: str) -> list[str]:
    """Split joined questions and give each its subject back."""
    pieces = [piece.strip() for piece in _CLAUSE.split(sentence) if piece and piece.strip(" ?.!")]
    if not pieces:
        return []
    found: list[str] = []
    for piece in pieces:
        clause = _stand_alone(piece, found[0] if found else "", topic)
        topic = topic or topic_of(clause)
        found.append(_as_question(clause))
    return found


def _stand_alone(clause: str, first: str, topic: str) -> str:
    if not topic:
        return clause
    bare = clause.strip(" ?.!,")
    if first and not content_words(bare):
        return _resume(bare, first, topic)
    if _PRONOUN.search(clause):
        return _PRONOUN.sub(lambda match: _for_pronoun(match, topic), clause, count=1)
    shared = shingles(topic, size=1) & shingles(clause, size=1)
    return clause if shared or not first or len(content_words(bare)) > 2 else f"{bare} (about {topic})"


def _for_pronoun(match: re.Match[str], topic: str) -> str:
    """A plural pronoun stands for the first plural of the topic."""
    owner = match.group(1)
    if (owner or match.group(2)).lower() in ("their", "they", "them", "these", "those"):
        found = topic.split()
        plural = next((at for at, word in enumerate(found, 1) if re.search(r"[^su]s$", word)), len(found))
        topic = " ".join(found[:plural])
    return f"{topic}'s" if owner else topic


def _resume(bare: str, first: str, topic: str) -> str:
    """Return what a bare "why", "when" or "since when" asks after the first clause."""
    word = bare.split()[0].capitalize()
    rest = _WORD_ALONE.sub("", first, count=1).strip(" ?.!")
    if word in ("Why", "When", "Where", "How") and rest != first.strip(" ?.!") and _ASKING.match(rest):
        return f"{word} {rest}"
    if word == "Why":
        return f"{first.strip(' ?.!')}, and for what reasons?"
    return f"{bare.capitalize()}: {topic}"


def _as_question(clause: str) -> str:
    clause = clause.strip().rstrip(",;")
    clause = re.sub(r"^(?:and|or|but|then|please|also)\s+", "", clause, flags=re.IGNORECASE)
    if not clause.endswith(("?", ".", "!", "？", "。")):
        clause += (
            "?"
            if re.match(r"(?:how|what|why|when|where|which|who|is|are|do|does|can)\b", clause, re.IGNORECASE)
            else "."
        )
    return clause[:1].upper() + clause[1:]


def _comparison(clause: str) -> list[str]:
    """Each side is researched for itself, and then what is said of both."""
    for pattern in _COMPARISONS:
        match = pattern.match(clause)
        if not match or len(clause) > 300:
            continue
        sides = [side for side in [*_listed(match["left"]), *_listed(match["right"])] if _is_thing(side)]
        if len(sides) < 2:
            continue
        aspect = (match["aspect"] or "").strip(" .?!")
        tail = f" in terms of {aspect}" if aspect else ""
        each = [f"What is {side} like{tail}?" if aspect else _introduction(side) for side in sides]
        return [*each[: _MOST - 1], clause]
    return []


def _is_thing(side: str) -> bool:
    return any(word.lower() not in STOPWORDS for word in words(side))


def _introduction(side: str) -> str:
    if re.search(r"[^su]s$", side) and side.islower():
        return f"What are {side} and how do they work?"
    return f"What is {side} and how does it work?"


def _listed(text: str) -> list[str]:
    return [
        piece.strip(" .?!")
        for piece in re.split(r",\s*(?:and\s+|or\s+)?|\s+and\s+", text)
        if piece.strip(" .?!")
    ]


def _enumeration(clause: str) -> list[str]:
    """Split "What are the a, b and c of X?" into one part for each of three or more items."""
    match = re.search(
        r"^(?P<head>[^,]+?)(?P<middle>(?:,\s*[^,?]{2,40}?)+),?\s+(?:and|or|as well as)\s+(?P<last>[^,?]+)",
        clause,
    )
    if not match:
        return []
    last, *suffix = _SUFFIX.split(match["last"].strip(" .?!"), maxsplit=1)
    middle = [item.strip() for item in match["middle"].split(",") if item.strip()]
    prefix, first = _first_item(match["head"], max(len(item.split()) for item in middle))
    items = [first, *middle, last]
    if not first or any(len(item.split()) > 4 or not content_words(item) for item in items):
        return []
    ending = f" {suffix[0]}" if suffix else ""
    if not content_words(f"{prefix} {ending}"):
        return []
    return [
        _as_question(f"{prefix} {item}{ending}".strip() + clause[-1:] * (clause[-1:] in "?."))
        for item in items
    ][:_MOST]


def _pair(clause: str) -> list[str]:
    """Split "the a and b of X" in two."""
    match = _PAIR.match(clause)
    if not match or not all(content_words(match[name]) for name in ("left", "right", "rest")):
        return []
    return [_as_question(f"{match['head']}{match[name]} {match['rest']}") for name in ("left", "right")]


def _first_item(head: str, length: int) -> tuple[str, str]:
    """Cut the first item of a list off the words before the first comma."""
    found = head.split()
    for size in range(1, length + 2):
        if size < len(found) and found[-size - 1].lower() in _DETERMINERS:
            return " ".join(found[:-size]), " ".join(found[-size:])
    return " ".join(found[:-length]), " ".join(found[-length:])


def _background(question: str) -> list[str]:
    """Return what else is worth knowing where only one thing is asked."""
    topic = topic_of(question) or " ".join(content_words(question)[:4])
    if not topic:
        return []
    if not _ENGLISH.search(question):
        return [topic]
    if (
        re.match(r"^\W*(?:what|who)\s+(?:is|are)\b", question, re.IGNORECASE)
        and len(content_words(question)) <= 4
    ):
        return [f"How does {topic} work, and what can it not do?"]
    return [f"What is meant by {topic}, and what can it not do?"]


def _different(parts: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if all(shingles(part, size=1) != shingles(other, size=1) for other in kept):
            kept.append(part)
    return kept

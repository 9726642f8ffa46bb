"""Words of a text reduced to the terms by which texts are compared."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(r"[^\W_](?:[\w]|[.\-'’](?=\w))*|_\w+(?:\.\w+)*")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_INNER = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")

_GRAMMAR = """
    a about above across after again against all almost along already also although always am among an and
    another any anything are around as at be became because been before being below between both but by can
    cannot could did do does doing done down during each either else enough etc even ever every everything few
    for from further had has have having he hence her here hers him his how however i if in indeed instead into
    is it its itself just least less let like lot made mainly many may me might more most much must my near
    neither never next no nor not nothing now of off often on once one only onto or other others our ours out
    over own per perhaps quite rather really regarding same several shall she should since so some something
    still such than that the their theirs them themselves then there therefore these they this those though
    through thus to together too toward under until up upon us very via was we well were what whatever when
    where whether which while who whole whom whose why will with within without would yet you your yours
    vs versus
    der die das den dem des ein eine einer und oder ist sind wie was warum wann wo welche mit von für auf
    le la les un une des du et ou est sont comment pourquoi quand où quel quelle quels avec dans pour sur
    el los las una unos y o es son cómo por qué cuándo dónde cuál con en para del"""
STOPWORDS = frozenset(_GRAMMAR.split())
"""Words that carry grammar rather than topic."""

_ASKING = """
    answer ask briefly compare compared comparison concerning define describe detail detailed details
    difference differences differ discuss document documents exactly explain file files find folder give
    happen happens identify important include information kind kinds know list look main mean means meant mention
    mentioned name need needs outline overview please point provide question reason reasons relate relation
    relevant report said say says section see show source sources sort summarise summarize summary tell term
    terms text thing things topic type understand use used using want way ways work working works write
    exist exists get gets take takes come comes go goes"""
WEAK_WORDS = frozenset(_ASKING.split())
"""Words that name the asking rather than what is asked about."""


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return a crude English stem in lower case, the same for most inflections of one word."""
    word = word.lower().replace("’", "'")
    word = word.removesuffix("'s").strip("'")
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix, least in (("ing", 3), ("ed", 3), ("ion", 4), ("er", 4), ("or", 4), ("ly", 4)):
        if word.endswith(suffix) and len(word) - len(suffix) >= least:
            word = word[: -len(suffix)]
            if suffix in ("ing", "ed") and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    if word.endswith("e") and len(word) > 4:
        word = word[:-1]
    return word[:-2] if word.endswith("at") and len(word) > 6 else word


def words(text: str) -> list[str]:
    """Return the words as written; dotted, hyphenated and underscored names stay whole."""
    return [match.group().rstrip(".-'’") for match in _TOKEN.finditer(text)]


@lru_cache(maxsize=65536)
def _terms_of_word(word: str) -> tuple[str, ...]:
    if _WIDE.search(word):
        return _wide_terms(word)
    whole = stem(word)
    pieces = [stem(piece) for piece in _INNER.findall(word)]
    if len(pieces) < 2:
        return (whole,)
    return (whole, *(piece for piece in pieces if len(piece) > 1 or piece.isdigit()))


def _wide_terms(word: str) -> tuple[str, ...]:
    """Scripts written without spaces are compared by pairs of characters."""
    found: list[str] = []
    for run in _WIDE.findall(word):
        found += [run[at : at + 2] for at in range(max(1, len(run) - 1))]
    return tuple(found)


def terms(text: str) -> list[str]:
    """Return every term in order: stems of words, of compound names and of their pieces."""
    return [term for word in words(text) for term in _terms_of_word(word)]


def is_content(word: str) -> bool:
    """Return whether a word says something about the topic."""
    lowered = word.lower()
    return (
        lowered not in STOPWORDS
        and lowered not in WEAK_WORDS
        and (len(lowered) > 1 or word.isupper() or word.isdigit())
    )


def is_name(word: str) -> bool:
    """Return whether a word looks like an identifier, a version or an acronym."""
    inner = word[1:]
    return (
        "_" in word
        or "." in word
        or (word[:1].isalpha() and any(letter.isdigit() for letter in inner))
        or any(letter.isupper() for letter in inner)
    )


def content_words(text: str) -> list[str]:
    """Return the topic words as written, each once, in order."""
    seen: dict[str, str] = {}
    for position, word in enumerate(words(text)):
        titled = position > 0 and word[:1].isupper() and word.lower() in WEAK_WORDS
        if is_content(word) or titled:
            seen.setdefault(stem(word), word)
    return list(seen.values())


def variants(word: str) -> list[str]:
    """Return simple inflections of a plain English word, without the word itself."""
    if not word.isascii() or not word.isalpha() or is_name(word) or len(word) < 4:
        return []
    lowered = word.lower()
    forms = [lowered[:-1] if lowered.endswith("s") else lowered + "s"]
    root = stem(lowered)
    if lowered.endswith(("ing", "ed", "ion", "er", "or")):
        forms += [root, root + "e", root + "ing", root + "ed"]
    return [form for form in dict.fromkeys(forms) if form != lowered and len(form) > 3]


def shingles(text: str, *, size: int = 4) -> frozenset[tuple[str, ...]]:
    """Return the runs of `size` terms, the fingerprint for near-duplicates."""
    found = [stem(word) for word in words(text)]
    if len(found) <= size:
        return frozenset([tuple(found)]) if found else frozenset()
    return frozenset(tuple(found[at : at + size]) for at in range(len(found) - size + 1))


def overlap(left: frozenset[tuple[str, ...]], right: frozenset[tuple[str, ...]]) -> float:
    """Return how much of the smaller fingerprint the larger one holds, 0 to 1."""
    smaller = min(len(left), len(right))
    return len(left & right) / smaller if smaller else 0.0

"""Words: what a query asks for and by which other spellings a compound name should be found."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

_HUMPS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_COMPOUND = re.compile(r"[^\W_]+(?:(?:[._/\\-]|::|->)+[^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_LONGEST_NAME = 80
_MOST_WORDS = 80
_MOST_PHRASES = 6

# Searching text reduced to the shape of its letters is many times faster than a pattern over the letters.
_SHAPE = bytes(
    97
    if chr(code) in f"{string.ascii_lowercase}{string.digits}"
    else 65
    if chr(code) in string.ascii_uppercase
    else 32
    for code in range(256)
)

_STOP_WORDS = (
    "a about after all also am an and any are as at be because been before being but by can could d did do does "
    "doing don done for from get gets got had has have having he her here hers him his how i if in into is isn it "
    "its just ll m may me might more most must my no nor not of off on once only or other our out over own please "
    "re s same shall she should show so some such t tell than that the their them then there these they this "
    "those through to too under until up us used uses using ve very was we were what when where which while who "
    "whom whose why will with would you your explain describe find give"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query looks for: single words, and runs of words that belong together as one name."""

    words: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()


def humps(name: str) -> list[str]:
    """The parts of a name in camel case: `fooBar` gives `foo` and `Bar`; other names give themselves."""
    if name.islower() or name.isupper() or name.isdigit() or not name.isascii():
        return [name]
    return _HUMPS.findall(name)


def split_names(text: bytes) -> list[str]:
    """The parts of every camel-case name in UTF-8 text, each name once, parts side by side."""
    shape = text.translate(_SHAPE)
    names: dict[bytes, None] = {}
    for change in (b"aA", b"AAa"):
        at = shape.find(change)
        while at >= 0:
            first, end = shape.rfind(b" ", 0, at) + 1, shape.find(b" ", at)
            end = end if end >= 0 else len(shape)
            if end - first <= _LONGEST_NAME:
                names[text[first:end]] = None
            at = shape.find(change, end)
    return [part for name in names for part in humps(name.decode("ascii"))]


def wanted(query: str) -> Wanted:
    """Reads a query of any characters; stop words count only when there is nothing else."""
    words: dict[str, None] = {}
    phrases: dict[tuple[str, ...], None] = {}
    for compound in _COMPOUND.findall(query[:20_000]):
        parts = [part for part in _PART.findall(compound) if part]
        spelled = [hump.lower() for part in parts for hump in humps(part)]
        words.update(dict.fromkeys((*(part.lower() for part in parts), *spelled)))
        if 1 < len(spelled) <= 8:
            phrases[tuple(spelled)] = None
    telling = [word for word in words if word not in STOP_WORDS] or list(words)
    return Wanted(tuple(telling[:_MOST_WORDS]), tuple(phrases)[:_MOST_PHRASES])

"""What is distinctive in a text: identifiers, paths, numbers, addresses; and the longer words.

A distinctive value that stands in one tool's result and later in a call's arguments shows that the one
fed the other, whatever the model says about it. Values are kept as they stand, numbers without their
thousands separators; words are lower case.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import orjson

SHORTEST_WORD = 5
_LONGEST = 200

_TOKEN = re.compile(
    r"""\d{1,3}(?:,\d{3})+(?:\.\d+)?      # 1,234,567.5
      | [\w@#~][\w@#.:/~+%=&?-]*\w        # words, identifiers, paths, addresses, numbers
    """,
    re.VERBOSE,
)
_KEY = re.compile(r'"(?![^"\\\d]*\d[^"\\\d]*\d)[^"\\]{0,100}"\s*:')
"""The key of a JSON object; with two digits in it, it is rather the id of what it leads to."""
_DISTINCTIVE = re.compile(r"\d|[_@/]|[a-z][A-Z]|\w\.\w+\.\w")
_NUMBER = re.compile(r"[\d.,:%-]+")
_DIGITS = re.compile(r"\d")


def is_distinctive(token: str) -> bool:
    """Return whether a token would hardly stand in two unrelated texts by chance."""
    if len(token) < 3 or len(token) > _LONGEST or not _DISTINCTIVE.search(token):
        return False
    if _NUMBER.fullmatch(token):
        return len(_DIGITS.findall(token)) >= 3 and not _is_round(token)
    return len(token) >= 4


def _is_round(number: str) -> bool:
    """Return whether a number is one that people write without having read it, such as 100 or 2000."""
    digits = number.replace(",", "")
    return digits.isdigit() and len(digits.rstrip("0")) <= 1


def tokens(text: str) -> list[str]:
    """Return the tokens of a text, in order; keys of JSON objects are left out."""
    if '"' in text and ":" in text:
        text = _KEY.sub(" ", text)
    found: list[str] = _TOKEN.findall(text)
    return [token.replace(",", "") for token in found] if "," in text else found


_SEGMENT = re.compile(r"[^/\\:=?&#@,;|]+")
_PART = re.compile(r"[^\W_]+")
_TELLING = re.compile(r"\d.*\d|[^\W\d_]\d[^\W\d_]")
_YEAR = re.compile(r"(19|20)\d\d")


def pieces(value: str) -> set[str]:
    """Return what a value is made of, in lower case: itself, the segments of paths and addresses, and their parts."""
    lower = value.lower()
    return {lower, *_SEGMENT.findall(lower), *(part for part in _PART.findall(lower) if is_telling(part))}


def is_made_of(value: str, known: Callable[[str], bool]) -> bool:
    """Return whether every piece of a value that nobody would guess is known, whatever it was put together with."""
    lower = value.lower()
    if known(lower):
        return True
    for segment in _SEGMENT.findall(lower):
        parts = [part for part in _PART.findall(segment) if is_telling(part)]
        guessed = _YEAR.fullmatch(segment) or not (parts or is_telling(segment))
        if not guessed and not known(segment) and not (parts and all(map(known, parts))):
            return False
    return True


def is_telling(part: str) -> bool:
    """Return whether nobody would guess a part of a value: it mixes letters and digits, or holds several digits."""
    return len(part) >= 3 and bool(_TELLING.search(part))


def values_and_words(text: str) -> tuple[set[str], set[str]]:
    """Return the distinctive values of a text, and its words of five letters or more in lower case."""
    values: set[str] = set()
    words: set[str] = set()
    for token in set(tokens(text)):
        if token.isalpha() and (token.islower() or token.istitle()):
            if len(token) >= SHORTEST_WORD:
                words.add(token.lower())
        elif is_distinctive(token):
            values.add(token)
        elif len(token) >= SHORTEST_WORD and token.isalpha():
            words.add(token.lower())
    return values, words


def argument_values(arguments: str) -> dict[str, str]:
    """Return the scalar values of a call's arguments by their path, such as `items.0.id`; `{}` if they are no JSON."""
    try:
        parsed = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return {}
    leaves: dict[str, str] = {}
    _walk(parsed, "", leaves)
    return leaves


def _walk(value: Any, path: str, leaves: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            _walk(item, f"{path}.{key}" if path else key, leaves)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            _walk(item, f"{path}.{index}" if path else str(index), leaves)
    elif isinstance(value, bool) or value is None:
        return
    else:
        leaves[path] = str(value)

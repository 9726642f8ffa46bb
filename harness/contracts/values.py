"""Values inside arguments and results: how they are found, spelled and compared.

A model writes `5`, `5.0` or `"5"` for the same number, and a path in several ways; what is said about a
value has to hold however it is written.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, cast

import orjson

MISSING: Final = object()
"""Stands for a value that is not there."""

_WINDING = re.compile(r"(?:^|[/\\])\.\.?(?:[/\\]|$)|(?<!:)//")
_WORD = re.compile(r"[^\s\"'`,;(){}\[\]<>=|]+")
_AROUND_WORDS = ".:!?#*"


def readings(values: Mapping[str, Any], path: str) -> Iterator[Any]:
    """Yield everything that may be meant by `path`, at least one thing.

    A list stands for each of its items, and a text with `..` in it also for the path it leads to.
    """
    for value in _found(values, path.split(".")):
        if value is None or isinstance(value, Mapping):
            yield MISSING
            continue
        yield value
        if isinstance(value, str) and _WINDING.search(value):
            yield _straightened(value)


def spellings(values: Any, path: str) -> list[str]:
    """Return the values at `path`, each in the one spelling that equal values share; none if there is none.

    Args:
        path: Names and indexes joined by dots; empty for everything there is.
    """
    found = _found(values, path.split(".") if path else ())
    return [spelled(value) for value in found if value is not MISSING and value is not None]


def words_in(text: str, path: str) -> set[str]:
    """Return what a result names: its JSON values at or below `path`, its lines and its words.

    Text that is not JSON has nothing at a path.
    """
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return set() if path else _words(text)
    words: set[str] = set()
    for value in _found(parsed, path.split(".") if path else ()):
        for leaf in _leaves(value):
            words.add(spelled(leaf))
            if isinstance(leaf, str):
                words |= _words(leaf)
    return words


def is_like(value: Any, wanted: str | bool | float) -> bool:
    """Return whether a value is what is wanted: text fits a glob, numbers and truth values are equal."""
    if value is MISSING:
        return False
    if isinstance(wanted, str):
        return fnmatchcase(_plain(value), wanted)
    if isinstance(wanted, bool):
        return _plain(value) == _plain(wanted)
    return number_in(value) == wanted


def number_in(value: Any) -> float | None:
    """Return the number, also of text that is one: models write both."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def spelled(value: Any) -> str:
    """Return the one spelling that equal values share: of numbers, truth values, paths and structures."""
    if isinstance(value, str):
        return _straightened(value) if _WINDING.search(value) else value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool | int | float):
        return _plain(value)
    return canonical(value)


def canonical(value: Any) -> str:
    """Return JSON in one spelling, whatever the order of its keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str).decode()


def _found(values: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yield what is at a path; a list on the way stands for its items."""
    pending: list[tuple[Any, Sequence[str]]] = [(values, path)]
    while pending:
        value, rest = pending.pop()
        if isinstance(value, list):
            pending += _items(cast("list[Any]", value), rest)
        elif isinstance(value, Mapping) and rest:
            pending.append((cast("Mapping[str, Any]", value).get(rest[0], MISSING), rest[1:]))
        else:
            yield MISSING if rest else value


def _items(items: list[Any], rest: Sequence[str]) -> list[tuple[Any, Sequence[str]]]:
    if rest and rest[0].isdecimal():
        index = int(rest[0]) if len(rest[0]) < 10 else len(items)
        return [(items[index] if index < len(items) else MISSING, rest[1:])]
    return [(item, rest) for item in items] or [(MISSING, rest)]


def _leaves(value: Any) -> Iterator[Any]:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, Mapping):
            pending += cast("Mapping[str, Any]", one).values()
        elif isinstance(one, list):
            pending += cast("list[Any]", one)
        elif one is not None and one is not MISSING:
            yield one


def _words(text: str) -> set[str]:
    words = set(_WORD.findall(text))
    words |= {word.strip(_AROUND_WORDS) for word in words}
    return words | {line.strip() for line in text.splitlines()}


def _straightened(path: str) -> str:
    """Return where a path with `.`, `..` or `//` in it leads to; the scheme of a URL stays."""
    scheme, colon, rest = path.replace("\\", "/").rpartition("://")
    straight = posixpath.normpath(re.sub("^//+", "/", rest))
    slash = "/" if rest.endswith("/") and straight != "/" else ""
    return scheme + colon + straight + slash


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

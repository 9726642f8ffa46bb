"""A fast yes: whether a value plainly fits a JSON Schema.

Checking the arguments of a call takes `jsonschema` up to a millisecond, and nearly all of them are
right. What is built here says yes within microseconds for schemas of the usual words; where it does
not say yes, `jsonschema` decides, and says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

Fits = Callable[[Any], bool]

_SAYS_NOTHING = frozenset(
    ("$schema", "title", "description", "default", "examples", "deprecated", "$comment")
)
_TYPES: Mapping[str, Fits] = {
    "object": lambda value: type(value) is dict,
    "array": lambda value: type(value) is list,
    "string": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
    "null": lambda value: value is None,
}


class _Beyond(Exception):
    """The schema says something that is not understood here."""


def plain_fit(schema: Mapping[str, Any]) -> Fits | None:
    """Return a test that is true only of values that fit; None for a schema that needs more than it knows."""
    try:
        return _test(schema)
    except (_Beyond, re.error, TypeError, ValueError):
        return None


def _test(schema: object) -> Fits:
    if not isinstance(schema, dict):
        raise _Beyond
    words = {
        name: value for name, value in cast("dict[str, Any]", schema).items() if name not in _SAYS_NOTHING
    }
    if set(words) == {"enum"}:
        return _one_of(words["enum"])
    build = _BUILDERS.get(words.pop("type", None))
    if build is None:
        raise _Beyond
    return build(words)


def _one_of(values: list[Any]) -> Fits:
    texts = frozenset(value for value in values if isinstance(value, str))
    return lambda value: type(value) is str and value in texts


def _object(words: dict[str, Any]) -> Fits:
    tests = {name: _test(schema) for name, schema in words.pop("properties", {}).items()}
    required = frozenset(words.pop("required", ()))
    others = words.pop("additionalProperties", True)
    if words or not isinstance(others, bool):
        raise _Beyond

    def fits(value: Any) -> bool:
        if type(value) is not dict:
            return False
        given = cast("dict[str, Any]", value)
        if not required <= given.keys():
            return False
        for name, item in given.items():
            test = tests.get(name)
            if not (others if test is None else test(item)):
                return False
        return True

    return fits


def _array(words: dict[str, Any]) -> Fits:
    items = words.pop("items", True)
    test: Fits = (lambda value: True) if items is True else _test(items)
    least, most = words.pop("minItems", 0), words.pop("maxItems", float("inf"))
    if words:
        raise _Beyond

    def fits(value: Any) -> bool:
        if type(value) is not list:
            return False
        given = cast("list[Any]", value)
        return least <= len(given) <= most and all(map(test, given))

    return fits


def _string(words: dict[str, Any]) -> Fits:
    least, most = words.pop("minLength", 0), words.pop("maxLength", float("inf"))
    pattern = re.compile(words.pop("pattern", ""))
    allowed = _one_of(words.pop("enum")) if "enum" in words else None
    if words:
        raise _Beyond

    def fits(value: Any) -> bool:
        if type(value) is not str or not least <= len(value) <= most:
            return False
        return pattern.search(value) is not None and (allowed is None or allowed(value))

    return fits


def _number(kind: str) -> Callable[[dict[str, Any]], Fits]:
    is_kind = _TYPES[kind]

    def build(words: dict[str, Any]) -> Fits:
        least, most = words.pop("minimum", float("-inf")), words.pop("maximum", float("inf"))
        if words:
            raise _Beyond
        return lambda value: is_kind(value) and least <= value <= most

    return build


def _bare(kind: str) -> Callable[[dict[str, Any]], Fits]:
    def build(words: dict[str, Any]) -> Fits:
        if words:
            raise _Beyond
        return _TYPES[kind]

    return build


_BUILDERS: Mapping[Any, Callable[[dict[str, Any]], Fits]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _number("integer"),
    "number": _number("number"),
    "boolean": _bare("boolean"),
    "null": _bare("null"),
}

"""What the YAML scanner complains about, in words for the person who wrote the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from harness.errors import Problem
from harness.team.nodes import Mark

MarkAt = Callable[[int, int], Mark]

_QUOTES = "put the text in quotes"
_UNCLOSED = "stream end|document separator|unexpected end of stream|document indicator"


class _Rule(NamedTuple):
    pattern: str
    """Over `context | problem`, as the scanner says them."""
    message: str
    hint: str
    place: Literal["here", "where it began"] = "here"


_RULES = (
    _Rule(
        "scanning an? alias",
        "aliases are not allowed",
        "text that begins with * needs quotes",
        "where it began",
    ),
    _Rule(
        "scanning an? anchor",
        "anchors are not allowed",
        "text that begins with & needs quotes",
        "where it began",
    ),
    _Rule("tag", "tags are not allowed", "text that begins with ! needs quotes"),
    _Rule("directive", "'%' directives are not allowed", "text that begins with % needs quotes"),
    _Rule(
        "mapping values are not allowed",
        "unexpected ':'",
        f"check the indentation; if this is text, {_QUOTES}",
    ),
    _Rule(r"character '\\t'", "a tab cannot be used for indentation", "use spaces"),
    _Rule("character '([@`%|>])'", r"text cannot begin with \1", _QUOTES),
    _Rule("character '(.*?)' that cannot", r"unexpected \1", _QUOTES),
    _Rule(
        f"quoted scalar.*({_UNCLOSED})",
        "this quote is never closed",
        "add the closing quote",
        "where it began",
    ),
    _Rule(
        "unknown escape character '(.+?)'",
        r"unknown escape \\\1 in double quotes",
        r"write \\ or use single quotes",
    ),
    _Rule(
        "quoted scalar",
        "this text in quotes cannot be read",
        r"write \\ for a backslash, or use single quotes",
    ),
    _Rule(
        f"flow sequence.*({_UNCLOSED})",
        "this '[' is never closed",
        "add the closing ']'",
        "where it began",
    ),
    _Rule(
        f"flow mapping.*({_UNCLOSED})",
        "this '{' is never closed",
        "add the closing '}'",
        "where it began",
    ),
    _Rule(
        "flow sequence",
        "expected ',' or ']'",
        "separate the items with commas; quote text that holds , [ ] or ': '",
    ),
    _Rule(
        "flow mapping",
        "expected ',' or '}'",
        "separate the entries with commas; quote text that holds , { } or ': '",
    ),
    _Rule("expected ':'", "expected ':' after this key", "a key is written 'key: value'", "where it began"),
    _Rule(
        "block scalar",
        "this block of text cannot be read",
        "write | or > alone, and the text indented below it",
    ),
    _Rule("sequence entries are not allowed", "unexpected '-'", "put the list on the lines below its key"),
    _Rule(
        "block collection|block end",
        "this does not fit the indentation of the lines above",
        "line it up with its siblings",
    ),
    _Rule("simple key|mapping keys", "unexpected key", "check the indentation of this line"),
)
"""The first rule that matches decides."""


def explain_syntax(error: Any, mark_at: MarkAt) -> Problem:
    """Return one clear problem for a scanner or parser error of ruamel.yaml."""
    said = f"{error.context or ''} | {error.problem or ''}"
    for rule in _RULES:
        match = re.search(rule.pattern, said)
        if match is None:
            continue
        began = rule.place == "where it began" and error.context_mark
        mark = _at(error.context_mark if began else error.problem_mark, mark_at)
        hint = rule.hint
        if "flow" in said and "${" in mark.source:
            hint = 'inside { } and [ ] a variable needs quotes: "${NAME}"'
        return mark.problem(match.expand(rule.message), hint)
    mark = _at(error.problem_mark or error.context_mark, mark_at)
    return mark.problem("this is not valid YAML", "check quotes, brackets and indentation here")


def explain_unreadable(error: Any, text: str, mark_at: MarkAt) -> Problem:
    """Return the problem for a character that YAML does not allow anywhere."""
    before = re.split(r"\r\n|\n|\r", text[: error.position])
    code = error.character if isinstance(error.character, int) else ord(error.character)
    mark = mark_at(len(before) - 1, len(before[-1]))
    return mark.problem(f"the character U+{code:04X} is not allowed", "delete it")


def _at(mark: Any, mark_at: MarkAt) -> Mark:
    return mark_at(mark.line, mark.column) if mark else mark_at(0, 0)

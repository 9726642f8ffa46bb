"""A strict reader of YAML 1.2: what it accepts means the same to every reader.

Scalars follow the core schema (YAML 1.2.2, section 10.3): `NO` and `12:30` are text, `1.10` is
a number. Anchors, aliases, tags, merge keys, duplicate keys, several documents and deep nesting
are refused: each lets a file say something other than what a person reads in it.

ruamel.yaml scans the text; the tree is built here from its events, so every key and value
keeps its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import Problem, TeamError
from harness.team.nodes import Entry, Mapping, Mark, Node, Scalar, Sequence
from harness.team.yaml_errors import explain_syntax, explain_unreadable

MAX_DEPTH = 64
MAX_BYTES = 1_000_000
MAX_PROBLEMS = 100
_MAX_DIGITS = 300
_TOO_LONG = f"the file has more than {MAX_BYTES:,} bytes"
_TRUTH = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def decoded(raw: bytes, *, file: str) -> str:
    """Return the bytes as text.

    Raises `TeamError` for more than `MAX_BYTES` bytes and for bytes that are not UTF-8.
    """
    if len(raw) > MAX_BYTES:
        raise TeamError([Problem(_TOO_LONG, file)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = _LINE_BREAK.split(raw[: error.start].decode("utf-8-sig"))
        mark = Mark(file, len(lines), len(lines[-1]) + 1, _showable(lines[-1]))
        raise TeamError(
            [mark.problem("this is not UTF-8 text", "save the file with the encoding UTF-8")]
        ) from None


def parse_yaml(text: str, *, file: str, at: Mark | None = None) -> Node:
    """Return the one document in `text`.

    `at`, if given, is the place of everything in it, for text that comes from no file.
    Raises `TeamError` with every fault found up to the first one that stops the reading.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise TeamError([Problem(_TOO_LONG, file)])
    reader = _Reader(file, [_showable(line) for line in _LINE_BREAK.split(text)], at)
    node = reader.read(text)
    if reader.problems or node is None:
        raise TeamError(reader.problems)
    return node


def resolved(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar stands for under the YAML 1.2 core schema.

    Raises `ValueError` for numbers that are infinite, no number, or absurdly long.
    """
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if text[0] in "0123456789+-.":
        if len(text) > _MAX_DIGITS and _FLOAT.fullmatch(text):
            raise ValueError("this number is too long")
        if _NOT_FINITE.fullmatch(text):
            raise ValueError(f"{text} is not a finite number")
        if _INTEGER.fullmatch(text):
            return int(text)
        if re.fullmatch("0o[0-7]{1,60}", text):
            return int(text[2:], 8)
        if re.fullmatch("0x[0-9a-fA-F]{1,60}", text):
            return int(text[2:], 16)
        if _FLOAT.fullmatch(text):
            return _finite(float(text), text)
    return text


def _finite(number: float, text: str) -> float:
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large a number")
    return number


def _showable(line: str) -> str:
    return _UNSHOWABLE.sub(lambda match: " " if match[0] == "\t" else "\ufffd", line)


@dataclass
class _Reader:
    """Builds the tree from parser events, collecting what is refused on the way."""

    file: str
    lines: list[str]
    at: Mark | None
    problems: list[Problem] = field(default_factory=list[Problem])
    depth: int = 0

    def read(self, text: str) -> Node | None:
        """Return the document, or None where `problems` say why there is none."""
        # Costs 30 ms, and importing the package must not pay for a file that is never read.
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError
        from ruamel.yaml.reader import ReaderError

        yaml: Any = YAML(typ="safe", pure=True)
        try:
            return self._document(yaml.parse(text))
        except MarkedYAMLError as error:
            self.problems.append(explain_syntax(error, self._mark))
        except ReaderError as error:
            self.problems.append(explain_unreadable(error, text, self._mark))
        except _StopReading:
            pass
        except (ValueError, OverflowError, AttributeError, IndexError, AssertionError, NotImplementedError):
            # The scanner trips over some malformed escapes and directives instead of reporting them.
            self.problems.append(Problem("this is not valid YAML", self.file))
        return None

    def _mark(self, line: int, column: int) -> Mark:
        """Return the place for ruamel's counting from 0."""
        if self.at is not None:
            return self.at
        source = self.lines[line] if line < len(self.lines) else ""
        return Mark(self.file, line + 1, column + 1, source)

    def _here(self, event: Any) -> Mark:
        return self._mark(event.start_mark.line, event.start_mark.column)

    def _refuse(self, mark: Mark, message: str, hint: str = "") -> None:
        self.problems.append(mark.problem(message, hint))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _StopReading

    def _document(self, events: Iterator[Any]) -> Node | None:
        next(events)
        start = next(events)
        if not _is(start, "DocumentStart"):
            self._refuse(
                Mark(self.file) if self.at is None else self.at, "the file is empty", "try: harness init"
            )
            return None
        if start.version or start.tags:
            self._refuse(
                self._here(start), "'%' directives are not allowed", "delete the line that begins with %"
            )
            return None
        node = self._node(next(events), events)
        next(events)
        after = next(events)
        if _is(after, "DocumentStart"):
            self._refuse(self._here(after), "a second document begins here", "keep one document in the file")
        return node

    def _node(self, event: Any, events: Iterator[Any]) -> Node:
        mark = self._here(event)
        if _is(event, "Alias"):
            hint = "write the value out again; text that begins with * needs quotes"
            self._refuse(mark, f"aliases are not allowed: *{event.anchor}", hint)
            return Scalar(f"*{event.anchor}", f"*{event.anchor}", mark)
        if event.anchor:
            self._refuse(
                mark, f"anchors are not allowed: &{event.anchor}", "text that begins with & needs quotes"
            )
        if event.tag:
            self._refuse(
                mark, "tags are not allowed", "delete the word that begins with '!', or quote the text"
            )
        if _is(event, "Scalar"):
            return self._scalar(event, mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._refuse(mark, f"nested more than {MAX_DEPTH} levels deep")
            raise _StopReading
        node = self._mapping(events, mark) if _is(event, "MappingStart") else self._sequence(events, mark)
        self.depth -= 1
        return node

    def _scalar(self, event: Any, mark: Mark) -> Scalar:
        text = _with_whole_characters(event.value)
        if text is None:
            self._refuse(
                mark, "this text holds half of a character", r"write both halves of \uD83D\uDE00, or neither"
            )
            return Scalar("", "", mark)
        if event.style in ("'", '"', "|", ">"):
            return Scalar(text, text, mark)
        try:
            return Scalar(resolved(text), text, mark)
        except ValueError as error:
            self._refuse(mark, str(error), "write it in quotes if it is text")
            return Scalar(text, text, mark)

    def _sequence(self, events: Iterator[Any], mark: Mark) -> Sequence:
        items: list[Node] = []
        while not _is(event := next(events), "SequenceEnd"):
            items.append(self._node(event, events))
        return Sequence(tuple(items), mark)

    def _mapping(self, events: Iterator[Any], mark: Mark) -> Mapping:
        entries: dict[str, Entry] = {}
        while not _is(event := next(events), "MappingEnd"):
            plain_key = _is(event, "Scalar") and event.style in (None, "")
            key = self._node(event, events)
            value = self._node(next(events), events)
            if isinstance(value, Scalar) and value.value is None and not value.text:
                # The parser puts an absent value wherever the next thing begins.
                value = replace(value, mark=key.mark)
            if plain_key and isinstance(key, Scalar) and key.text == "<<":
                self._refuse(key.mark, "merge keys ('<<') are not allowed", "write the keys out")
            elif not isinstance(key, Scalar) or not isinstance(key.value, str):
                self._refuse(key.mark, *_not_a_key(key))
            elif first := entries.get(key.text):
                place = first.key.mark
                self._refuse(
                    key.mark, f"duplicate key '{key.text}'", f"the first one is in line {place.line}"
                )
            else:
                entries[key.text] = Entry(key, value)
        return Mapping(entries, mark)


class _StopReading(Exception):
    """The rest of the file cannot be read; `problems` say why."""


def _is(event: Any, kind: str) -> bool:
    return type(event).__name__ == f"{kind}Event"


def _not_a_key(key: Node) -> tuple[str, str]:
    if not isinstance(key, Scalar):
        return "a key must be text", "if this begins with { or [, put it in quotes"
    if key.value is None and not key.text:
        return "a key is missing before ':'", ""
    return f"the key {key.text} is not text here", f'write "{key.text}"'


def _with_whole_characters(text: str) -> str | None:
    """Join the surrogate pairs that JSON escapes leave; None if one stands alone."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None

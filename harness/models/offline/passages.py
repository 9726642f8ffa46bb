"""Passages of text out of tool results.

Our own servers mark a passage `<<< source:12-20 | title` … `>>>`, so that every quote has a line
range. Anything else is one passage whose source is what the result or the arguments name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.models.offline.conversation import Exchange, mapping, parse, sequence, string
from harness.models.offline.offers import LookupTool
from harness.models.offline.sentences import Unit

_HEADER = re.compile(
    r"^<<< (?P<source>[^|\n]+?)(?::(?P<first>\d+)(?:-\d+)?)?(?:[ \t]+\|[ \t]*(?P<title>.*))?$", re.MULTILINE
)
_CLOSING = re.compile(r"^>>>$", re.MULTILINE)
_LEFT_OUT = re.compile(r"^\[\.\.\. [\d,]+ of [\d,]+ characters left out;.*\]$", re.MULTILINE)
"""What the harness puts where it left out the middle of a large result."""
_SCORE = re.compile(r"\s*\|?\s*score\s+-?[\d.]+\s*$")
_NOTHING = re.compile(r"^\W*(?:no|none|nothing|0|not found)\b.{0,200}$", re.IGNORECASE | re.DOTALL)
_NAMES = (
    "locator",
    "source",
    "path",
    "file",
    "filename",
    "uri",
    "url",
    "link",
    "href",
    "id",
    "name",
    "title",
)
_LONGEST = 60_000


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of one source, as a tool showed it."""

    source: str
    text: str
    first_line: int = 0
    """0 where the tool told no lines."""
    title: str = ""
    rank: int = 0
    """Place in the result that showed it, from 0."""
    read: bool = False
    """True if it came from a reader rather than a search."""

    @property
    def last_line(self) -> int:
        """The number of its last line."""
        return self.first_line + self.text.count("\n")

    @property
    def locator(self) -> str:
        """Where the whole passage stands."""
        if not self.first_line:
            return self.source
        return f"{self.source}:{self.first_line}-{self.last_line}"

    def locator_of(self, unit: Unit) -> str:
        """Return the exact line range of a unit of this passage, or its source where lines are unknown."""
        if not self.first_line:
            return self.source
        first = self.first_line + self.text.count("\n", 0, unit.start)
        return f"{self.source}:{first}-{first + unit.text.count(chr(10))}"

    def contains(self, other: Passage) -> bool:
        """Return whether it shows every line of the other one."""
        if not self.first_line:
            return self.source == other.source and not other.first_line
        return (
            self.source == other.source
            and self.first_line <= other.first_line
            and self.last_line >= other.last_line
        )


def read_passages(exchanges: Sequence[Exchange], tools: Sequence[LookupTool], *, read: bool) -> list[Passage]:
    """Return the passages in the results of the given tools, without those that others contain."""
    parameters = {tool.name: tool.parameter for tool in tools}
    found: list[Passage] = []
    for exchange in exchanges:
        if exchange.name in parameters and not exchange.is_error:
            found.extend(_passages(exchange, read=read))
    return without_contained(found)


def without_contained(passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages without those whose lines another one shows, in order."""
    kept: list[Passage] = []
    for passage in sorted(passages, key=lambda passage: -len(passage.text)):
        if not any(other.contains(passage) and passage.text in other.text for other in kept):
            kept.append(passage)
    chosen = set(map(id, kept))
    return [passage for passage in passages if id(passage) in chosen]


def _passages(exchange: Exchange, *, read: bool) -> Iterator[Passage]:
    text = exchange.result
    headers = list(_HEADER.finditer(text))
    if headers:
        for rank, header in enumerate(headers):
            until = headers[rank + 1].start() if rank + 1 < len(headers) else len(text)
            body = _body(text[header.end() + 1 : until])
            title = _SCORE.sub("", header["title"] or "").strip()
            yield Passage(header["source"], body, int(header["first"] or 0), title, rank, read)
        return
    if not text.strip() or (len(text) < 240 and _NOTHING.match(text.strip())):
        return
    structured = parse(text) if text.lstrip()[:1] in "[{" else None
    if structured is not None:
        yield from _from_json(structured, exchange, read)
    else:
        yield Passage(_source(exchange), _body(text)[:_LONGEST], read=read)


def _body(text: str) -> str:
    """Return the text up to its closing mark, or up to the last whole line before something left out."""
    closing = _CLOSING.search(text)
    text = text[: closing.start()] if closing else text
    gap = _LEFT_OUT.search(text)
    if gap:
        text = text[: gap.start()].rstrip("\n").rpartition("\n")[0]
    return text.rstrip("\n")


def _source(exchange: Exchange) -> str:
    for name in _NAMES[:8]:
        if value := string(exchange.arguments.get(name)):
            return value
    return exchange.name


def _from_json(value: Any, exchange: Exchange, read: bool) -> Iterator[Passage]:
    """Strings that stand in the result as they are become passages, named by their object."""
    for rank, (source, text) in enumerate(_strings(value, _source(exchange), 0)):
        if rank < 200 and len(text) >= 20 and text in exchange.result:
            yield Passage(source, text[:_LONGEST], rank=rank, read=read)


def _strings(value: Any, source: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield source, value
    elif isinstance(value, dict) and depth < 40:
        entries = mapping(value)
        name = next((string(entries.get(key)) for key in _NAMES if string(entries.get(key))), source)
        for key, entry in entries.items():
            if key not in _NAMES:
                yield from _strings(entry, name, depth + 1)
    elif isinstance(value, list) and depth < 40:
        for entry in sequence(value):
            yield from _strings(entry, source, depth + 1)

"""Grounded citations: a quote counts only if it stands in something this run really read.

Tool servers mark passages in their results by a line `<<< LOCATOR | TITLE`, closed by `>>>`, where
LOCATOR is `source` or `source:FIRST-LAST` in lines. A quote must then stand under a line that names
its source, and its own lines are computed, not believed. In a result without such lines, the
arguments or the text must name the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.events import Citation, Evidence
from harness.loop.state import Reading

MIN_QUOTE_CHARACTERS = 12
"""A shorter quote proves nothing: it would stand almost anywhere."""

_HEADER = re.compile(r"^<<< (?P<locator>[^|\n]+?)(?: \|[^\n]*)?$", re.MULTILINE)
_LINES = re.compile(r"^(?P<source>.*?):(?P<first>\d+)(?:-(?P<last>\d+))?$")
_END = re.compile(r"^>>>$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of text that was read, and what names it."""

    names: str
    """Text that must contain the source's name."""
    text: str
    source: str = ""
    first_line: int = 0
    """Line of the source at which `text` begins; 0 where unknown."""


def passages(readings: Iterable[Reading]) -> list[Passage]:
    """Return all passages of the readings."""
    return [passage for reading in readings for passage in _passages_of(reading)]


def verify(evidence: Evidence, read: Iterable[Passage]) -> Citation | str:
    """Return the citation with the quote and place as they stand in what was read, or why there is none."""
    words = evidence.quote.split()
    if sum(map(len, words)) < MIN_QUOTE_CHARACTERS:
        return f"the quote {evidence.quote!r} is too short to prove anything"
    pattern = re.compile(r"\s+".join(map(re.escape, words)))
    source = _without_lines(evidence.source)
    found_elsewhere = ""
    for passage in read:
        match = pattern.search(passage.text)
        if match is None:
            continue
        if not source or not _names(passage, source):
            found_elsewhere = passage.source
            continue
        return Citation(
            source=passage.source or source,
            locator=_locator(passage, match) or evidence.locator,
            quote=match.group(),
            claim=evidence.claim,
        )
    if found_elsewhere:
        return f"the quote stands in {found_elsewhere}, not in {evidence.source}"
    return f"the quote {_brief(evidence.quote)!r} does not stand in anything this run has read of {evidence.source}"


def _passages_of(reading: Reading) -> Iterator[Passage]:
    headers = list(_HEADER.finditer(reading.text))
    if not headers:
        yield Passage(f"{reading.arguments}\n{reading.text}", reading.text)
        return
    for position, header in enumerate(headers):
        limit = headers[position + 1].start() if position + 1 < len(headers) else len(reading.text)
        end = _END.search(reading.text, header.end(), limit)
        body = reading.text[header.end() + 1 : end.start() if end else limit]
        locator = header["locator"].strip()
        lines = _LINES.match(locator)
        source = lines["source"] if lines else locator
        yield Passage(locator, body, source, int(lines["first"]) if lines else 0)


def _names(passage: Passage, source: str) -> bool:
    return passage.source == source if passage.source else source in passage.names


def _without_lines(source: str) -> str:
    match = _LINES.match(source.strip())
    return (match["source"] if match else source.strip()).removeprefix("./")


def _locator(passage: Passage, match: re.Match[str]) -> str:
    if not passage.first_line:
        return passage.source
    first = passage.first_line + passage.text.count("\n", 0, match.start())
    last = first + match.group().count("\n")
    return f"{passage.source}:{first}-{last}" if last > first else f"{passage.source}:{first}"


def _brief(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."

"""Cutting a file into passages: pieces small enough to quote and whole enough to understand.

The lines of a file fall into atoms (a paragraph, a fenced block, the opening of a definition). Atoms are packed
into passages of about 600 to 1,200 characters; a new section is a better place to cut than a blank line, and a
short section stays with its neighbour instead of becoming a crumb.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from toolservers.corpus.kinds import Kind
from toolservers.corpus.marks import (
    Mark,
    Sections,
    markdown_sections,
    rst_sections,
    source_sections,
    tidy_title,
)
from toolservers.corpus.markup import readable_lines
from toolservers.corpus.words import split_names

_LARGEST = 1200
_ENOUGH = 600
_ENOUGH_BEFORE_SECTION = 250
_LONGEST_LINE = 2 * _LARGEST


@dataclass(frozen=True, slots=True)
class Passage:
    """A quotable stretch of a file."""

    start: int
    """First line, counted from 1."""
    stop: int
    """Last line, included."""
    title: str
    """The nearest heading or definition, or the file's name."""
    names: str
    """Words that should find it though they do not stand in it: outer headings, parts of compound names."""
    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Atom:
    first: int
    last: int
    size: int
    cut: int
    """How good a place its beginning is to cut: 0 a blank line, 1 an inner section, 2 an outer one."""


def lines_of(data: bytes) -> list[str]:
    """The lines of a file as people count them: ended by LF or CRLF, undecodable bytes replaced."""
    text = data.decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").split("\n")


def readable(lines: list[str], *, path: str, kind: Kind) -> tuple[list[str], Sections]:
    """The lines as they are searched and read, one for each line of the file, and their sections.

    They are the file's own lines, but for HTML, where only its text remains.
    """
    if kind == "html":
        return readable_lines("\n".join(lines))
    if kind == "markdown":
        return lines, markdown_sections(lines)
    if kind == "rst":
        return lines, rst_sections(lines)
    if kind == "text":
        return lines, Sections()
    return lines, source_sections(lines, posixpath.basename(path).rpartition(".")[2].lower())


def cut(lines: list[str], sections: Sections, *, path: str, kind: Kind) -> list[Passage]:
    """The passages of a file, in order; together they hold every line that is not blank."""
    titles = _Titles(lines, sections.marks, by_indent=kind in ("source", "data"))
    passages: list[Passage] = []
    for first, last in _packed(_atoms(lines, sections)):
        trail = titles.over(first, last) or [posixpath.basename(path)]
        whole = "\n".join(lines[first : last + 1])
        title = tidy_title(".".join(trail) if titles.by_indent else trail[-1])
        for text in _slices(whole) if first == last else (whole,):
            data = text.encode()
            names = " ".join((*trail[:-1], *split_names(title.encode()), *split_names(data)))
            digest = hashlib.blake2b(data, digest_size=12).hexdigest()
            passages.append(Passage(first + 1, last + 1, title, names, text, digest))
    return passages


def _atoms(lines: list[str], sections: Sections) -> Iterator[_Atom]:
    """Stretches with no good place to cut inside; blank lines around them belong to none."""
    outermost = min((mark.level for mark in sections.marks), default=0)
    cuts = {mark.line: 2 if mark.level <= max(outermost, 2) else 1 for mark in sections.marks}
    inside = {number for stretch in sections.whole for number in stretch[1:]}
    first, last, size = -1, -1, 0
    for number, line in enumerate(lines):
        if not line or line.isspace():
            continue
        if first >= 0 and (last != number - 1 or number in cuts) and number not in inside:
            yield from _parts(lines, _Atom(first, last, size, cuts.get(first, 0)))
            first = -1
        if first < 0:
            first, size = number, 0
        last = number
        size += len(line) + 1
    if first >= 0:
        yield from _parts(lines, _Atom(first, last, size, cuts.get(first, 0)))


def _parts(lines: list[str], atom: _Atom) -> Iterator[_Atom]:
    """The atom itself, or about equal parts of one too large for a passage."""
    if atom.size <= _LARGEST or atom.first == atom.last:
        yield atom
        return
    aim = atom.size / -(-atom.size // _LARGEST)
    first, size, best = atom.first, 0, atom.cut
    for number in range(atom.first, atom.last + 1):
        length = len(lines[number]) + 1
        if size and (size >= aim or size + length > _LARGEST):
            yield _Atom(first, number - 1, size, best)
            first, size, best = number, 0, 0
        size += length
    yield _Atom(first, atom.last, size, best)


def _packed(atoms: Iterator[_Atom]) -> Iterator[tuple[int, int]]:
    first, last, size = 0, 0, 0
    for atom in atoms:
        enough = (_LARGEST, _ENOUGH, _ENOUGH_BEFORE_SECTION)[atom.cut]
        if size and (size >= enough or size + atom.size > _LARGEST):
            yield first, last
            size = 0
        if not size:
            first = atom.first
        last = atom.last
        size += atom.size
    if size:
        yield first, last


_SLICE = re.compile(rf".{{1,{_LARGEST}}}(?:\s|$)|.{{1,{_LARGEST}}}", re.DOTALL)


def _slices(line: str) -> list[str]:
    """One line, or the pieces of a line too long to be one passage."""
    if len(line) <= _LONGEST_LINE:
        return [line]
    return [piece for found in _SLICE.findall(line) if (piece := found.strip())]


class _Titles:
    """Answers under which headings or definitions a stretch of lines stands."""

    def __init__(self, lines: list[str], marks: tuple[Mark, ...], *, by_indent: bool) -> None:
        self.by_indent = by_indent
        self._lines = lines
        self._marks = marks
        self._starts = [mark.line for mark in marks]
        self._outer = _outer_marks(marks)

    def over(self, first: int, last: int) -> list[str]:
        """Titles from the outermost to the nearest; empty where the stretch stands under none.

        Where several sections share the stretch, the one with most text in it counts.
        """
        before, after = bisect_right(self._starts, first), bisect_right(self._starts, last)
        edges = [first, *self._starts[before:after], last + 1]
        if len(edges) > 2:
            sizes = [sum(map(len, self._lines[start:stop])) for start, stop in pairwise(edges)]
            first = edges[sizes.index(max(sizes))]
        at = self._nearest(first)
        if at is None and after > before:
            at = before
        trail: list[str] = []
        while at is not None:
            trail.append(self._marks[at].title)
            at = self._outer[at]
        return trail[::-1]

    def _nearest(self, line: int) -> int | None:
        last = bisect_right(self._starts, line) - 1
        if last < 0:
            return None
        at: int | None = last
        if self.by_indent and self._starts[last] != line:
            text = self._lines[line].expandtabs(4)
            indent = len(text) - len(text.lstrip())
            while at is not None and self._marks[at].level >= indent:
                at = self._outer[at]
        return at


def _outer_marks(marks: tuple[Mark, ...]) -> list[int | None]:
    """For each mark, the place of the mark that encloses it."""
    outer: list[int | None] = []
    open_marks: list[int] = []
    for at, mark in enumerate(marks):
        while open_marks and marks[open_marks[-1]].level >= mark.level:
            open_marks.pop()
        outer.append(open_marks[-1] if open_marks else None)
        open_marks.append(at)
    return outer

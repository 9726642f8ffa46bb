"""Text cut into the units that may be quoted: sentences, list items, table rows, code lines.

Every unit is a verbatim slice of the text it came from. Headings are never units; they travel with
the units below them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

UnitKind = Literal["sentence", "row", "code", "fragment"]

LONGEST = 320
"""Characters a quote may have."""

_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*$")
_UNDERLINE = re.compile(r"^\s*([=\-~^\"'`*+#])\1{2,}\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\(?\d{1,3}[.)]|>)\s+(?:\[[ xX]\]\s+)?")
_SEPARATOR = re.compile(r"^\s*\|?[\s:|+=-]*-[\s:|+=-]*\|?\s*$")
_COMMENT = re.compile(r"^\s*(?:#+!?|//+|/\*+|\*|--|;+|\"\"\"|''')(?=\s|\w|$)\s*")
_LABEL = re.compile(
    r"^\s*(?:Args|Arguments|Parameters|Params|Returns?|Raises|Yields|Attributes|Notes?|Examples?|Usage|See also):\s*$"
)
_DESCRIBED = re.compile(r"^\s*(?:\*{0,2}\w+(?: \([^)]*\))?: \S|['\"`]?\w+['\"`]? --? \S)")
"""The description of one parameter in a docstring."""
_LINE_COMMENT = re.compile(r"^\s*(?:#+|//+|--|;+)\s")
_CODE = re.compile(
    r"^\s*(?:(?:async\s+)?def |class |import |from \S+ import|return\b|yield\b|raise\b|if .*:$|elif .*:$|else:|for .*:$"
    r"|while .*:$|with .*:$|nonlocal |global |assert |del |await |try:|except.*:$|finally:|pass$|@\w|const |let |var |function |export |public |private "
    r"|static |#include|#define|fn |pub |func |struct |>>> |\.\.\. |\$ |[\w.\[\]\"']+(?:\s*:\s*[\w\[\], .|]+)?\s*[-+*/|]?=[^=]"
    r"|[\w.]+\(.*\)[;:,]?$|[\[\](){}<>,;]+$|self\.|[\w\"']+\s*[=:]\s*\S+,$|[\"'].*[\"']\s*[:,]|.*[{;]\s*$)"
)
_DEFINITION = re.compile(
    r"^\s*(?:(?:export|pub|public|private|static|async|default)\s+)*(?:def|class|function|func|fn|struct|trait|interface)"
    r"\s+(\w+)"
)
_END = re.compile(r"[.!?…]+[\"'”’)\]*_`]*(?=\s|$)|[。！？]+[」』”]?")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|al|approx|resp|Dr|Mr|Mrs|Ms|Prof|St|Fig|Figs|Eq|No|Nos|Sec|Vol|ca|incl|Inc|Ltd|Co)"
    r"|\b[A-Z]|^\s*\d{1,3})\.[)\"']*$"
)

_CODE_SUFFIXES = (
    ".py .pyi .js .ts .tsx .jsx .c .h .cc .cpp .hpp .rs .go .java .kt .rb .php .sh .sql .swift .scala .cs .lua .pl .r .toml"
    " .ini .cfg .yaml .yml .json"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A quotable slice of a text."""

    text: str
    """Exactly as it stands in the text."""
    start: int
    kind: UnitKind
    heading: str = ""
    """The nearest heading above it."""
    label: str = ""
    """What a slice of a table row is about: the row's first cell."""
    defines: str = ""
    """The name that a signature introduces, or whose documentation a sentence opens."""

    @property
    def end(self) -> int:
        """Offset just after the slice."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    start: int


def split_units(text: str, *, code: bool = False) -> list[Unit]:
    """Return the units of a text in order; `code` reads prose only out of comments and docstrings."""
    units = _Splitter(text, code).split()
    return _cut_at_the_edges(text, [unit for unit in units if unit.text.strip()])


class _Splitter:
    """Walks a text line by line, gathering paragraphs until something ends them."""

    def __init__(self, text: str, code: bool) -> None:
        self._text = text
        self._code = code
        self._units: list[Unit] = []
        self._block: list[_Line] = []
        self._heading = ""
        self._defining = ""
        """The name of a definition whose documentation may follow."""
        self._fenced = False

    def split(self) -> list[Unit]:
        """Return all units."""
        lines = _lines(self._text)
        skip_to = 0
        for index, line in enumerate(lines):
            if index < skip_to:
                continue
            following = lines[index + 1].text if index + 1 < len(lines) else ""
            if self._is_code_here(line.text):
                skip_to = index + self._take_code(lines[index : index + 12])
            else:
                self._take(line, following)
        self._close()
        return self._units

    def _take(self, line: _Line, following: str) -> None:
        title = _heading(line.text, following, code=self._code or self._fenced)
        if _FENCE.match(line.text):
            self._close()
            self._fenced = not self._fenced
        elif title is not None:
            self._close()
            self._heading = title or self._heading
        elif (
            self._code
            and _LABEL.match(line.text)
            or not line.text.strip()
            or _UNDERLINE.match(line.text)
            or _is_bare_mark(line.text)
        ):
            self._close()
        elif line.text.lstrip().startswith("|") and not self._code:
            self._close()
            if not _SEPARATOR.match(following):
                self._units.extend(_row(line, self._heading))
        else:
            if _starts_item(line.text, self._block) or (self._code and _DESCRIBED.match(line.text)):
                self._close()
            self._block.append(line)
            if self._code and line.text.rstrip().endswith(('"""', "'''", "*/")):
                self._close()

    def _is_code_here(self, line: str) -> bool:
        if not line.strip() or _FENCE.match(line) or _is_bare_mark(line):
            return False
        return self._fenced or _is_signature(line) or (self._code and _is_code(line, self._block))

    def _take_code(self, lines: list[_Line]) -> int:
        """Add a line of code, with the lines that close its brackets; return how many lines that were."""
        self._close()
        first = lines[0]
        stripped = first.text.strip()
        start = first.start + first.text.find(stripped[:1])
        taken = 1
        if stripped.count("(") > stripped.count(")"):
            for count, line in enumerate(lines[1:], 2):
                whole = self._text[start : line.start + len(line.text.rstrip())]
                if whole.count("(") <= whole.count(")"):
                    stripped, taken = (whole, count) if len(whole) <= LONGEST else (stripped, 1)
                    break
        defined = _DEFINITION.match(first.text) if self._code else None
        if defined:
            self._heading = self._defining = defined.group(1)
        self._units.append(
            Unit(stripped, start, "code", self._heading, defines=defined.group(1) if defined else "")
        )
        return taken

    def _close(self) -> None:
        """End the paragraph; the first one after a definition is its documentation."""
        units = list(_prose(self._text, self._block, self._heading))
        if units and self._defining:
            units[0] = replace(units[0], defines=self._defining)
            self._defining = ""
        self._units.extend(units)
        self._block.clear()


def _cut_at_the_edges(text: str, units: list[Unit]) -> list[Unit]:
    """Mark as fragments what the edges of the passage may have cut in two."""
    if (
        units
        and units[0].kind == "sentence"
        and text.lstrip()[:1].islower()
        and not text[: units[0].start].strip()
    ):
        units[0] = replace(units[0], kind="fragment")
    last = units[-1] if units else None
    if last and last.kind == "sentence" and not text[last.end :].strip() and last.text[-1:].isalpha():
        begin = text.rfind("\n", 0, last.start) + 1
        whole_item = _BULLET.match(text[begin:]) and "\n" not in last.text
        if not whole_item and "\n" in text.strip():
            units[-1] = replace(last, kind="fragment")
    return units


def is_code_source(source: str) -> bool:
    """Return whether a source's name says that it holds code."""
    return source.lower().endswith(tuple(_CODE_SUFFIXES.split()))


def _lines(text: str) -> list[_Line]:
    found: list[_Line] = []
    start = 0
    for line in text.split("\n"):
        found.append(_Line(line, start))
        start += len(line) + 1
    return found


def _heading(line: str, following: str, *, code: bool) -> str | None:
    """Return a heading's title, or None if the line is no heading."""
    if code:
        return None
    match = _HEADING.match(line)
    if match:
        return match.group(1).strip("*` ")
    underlined = (
        len(line.strip()) > 2 and _UNDERLINE.match(following) and not line.startswith((" ", "|", "-"))
    )
    if underlined and len(following.strip()) >= min(len(line.strip()), 8):
        return line.strip()
    bold = re.fullmatch(r"\s*\*\*([^*]{2,70}?):?\*\*:?\s*", line)
    return bold.group(1) if bold else None


def _is_bare_mark(line: str) -> bool:
    return line.strip() in ('"""', "'''", "#", "//", "*", "/*", "*/", "/**", 'r"""')


def _is_code(line: str, block: list[_Line]) -> bool:
    """Inside a paragraph of prose a line is only code if it clearly is."""
    if _COMMENT.match(line) and not re.match(r"^\s*#(?:include|define|if|endif)", line):
        return False
    if not _CODE.match(line):
        return False
    return not block or not re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", line)


def _is_signature(line: str) -> bool:
    return bool(re.match(r"^\s*(?:(?:async\s+)?def \w+\(|class \w+[(:]|>>> |\.\. \w+:: )", line))


def _starts_item(line: str, block: list[_Line]) -> bool:
    """A list item begins, a comment follows code-free text, or a field list entry begins."""
    if _BULLET.match(line) or re.match(r"^\s*:\w[\w ]*:", line):
        return True
    return bool(block) and bool(_LINE_COMMENT.match(line)) != bool(_LINE_COMMENT.match(block[-1].text))


def _row(line: _Line, heading: str) -> Iterator[Unit]:
    """A short row is one unit; of a long one each cell's sentences are, labelled by the first cell."""
    if _SEPARATOR.match(line.text):
        return
    stripped = line.text.strip()
    offset = line.start + line.text.find(stripped[:1])
    if len(stripped) <= LONGEST:
        yield Unit(stripped, offset, "row", heading)
        return
    label = ""
    for match in re.finditer(r"(?:\\\||[^|])+", line.text):
        cell = match.group().strip()
        if not cell:
            continue
        start = line.start + match.start() + match.group().find(cell[:1])
        if label:
            yield from _sentences(cell, start, heading, label)
        label = label or cell


def _prose(text: str, block: list[_Line], heading: str) -> Iterator[Unit]:
    if not block:
        return
    first = block[0]
    marker = _BULLET.match(first.text) or _COMMENT.match(first.text)
    start = first.start + (marker.end() if marker else len(first.text) - len(first.text.lstrip()))
    end = block[-1].start + len(block[-1].text.rstrip())
    if end > start:
        yield from _sentences(text[start:end], start, heading, "")


def _sentences(text: str, offset: int, heading: str, label: str) -> Iterator[Unit]:
    begin = 0
    for match in _END.finditer(text):
        if not _is_boundary(text, begin, match):
            continue
        yield _unit(text[begin : match.end()], offset + begin, heading, label, ended=True)
        begin = match.end()
    yield _unit(text[begin:], offset + begin, heading, label, ended=False)


def _is_boundary(text: str, begin: int, match: re.Match[str]) -> bool:
    following = text[match.end() :].lstrip()
    if following[:1].islower():
        return False
    return not _ABBREVIATION.search(text[begin : match.end()])


def _unit(text: str, start: int, heading: str, label: str, *, ended: bool) -> Unit:
    start += len(text) - len(text.lstrip())
    stripped = re.sub(r"\s*(?:\"\"\"|'''|\*/)?\s*$", "", text.strip())
    if stripped.endswith("::"):
        stripped = stripped[:-2].rstrip()
        ended = len(stripped.split()) > 6
    whole = (
        ended or bool(label) or (len(stripped.split()) >= 4 and not stripped.endswith((":", ",", "-", "and")))
    )
    return Unit(stripped, start, "sentence" if whole else "fragment", heading, label)

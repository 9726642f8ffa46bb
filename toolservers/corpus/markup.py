"""The readable text of HTML, each piece on the line of the file it stands on."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

from toolservers.corpus.marks import Mark, Sections, tidy_title

_SILENT = frozenset(("script", "style", "template", "svg", "noscript"))
_INLINE_TAGS = "a abbr b bdi bdo cite code data dfn em font i kbd mark q s samp small span strong sub sup time tt u var wbr"
_INLINE = frozenset(_INLINE_TAGS.split())
_HEADINGS = {"title": 0, **{f"h{level}": level for level in range(1, 7)}}


def readable_lines(text: str) -> tuple[list[str], Sections]:
    """The text of the page without tags, scripts and styles, entities decoded; and its headings.

    Gives exactly as many lines as the file has, blank where the file has only markup.
    """
    page = _Page(text.count("\n") + 1)
    try:
        page.feed(_bounded(text))
        page.close()
    except (AssertionError, ValueError):
        # The standard parser gives up on some malformed declarations; what a page says outweighs its form.
        return [
            html.unescape(re.sub(r"<[^<>]*>", " ", line)).strip() for line in text.split("\n")
        ], Sections()
    return page.lines(), Sections(tuple(page.marks))


def _bounded(text: str) -> str:
    """The page without comments, and without openings that nothing closes.

    For each of those the standard parser would search the rest of the page again, in quadratic time.
    """
    pieces: list[str] = []
    at = 0
    while (start := text.find("<!--", at)) >= 0 and (stop := text.find("-->", start + 4)) >= 0:
        pieces += text[at:start], "\n" * text.count("\n", start, stop)
        at = stop + 3
    rest = text[at:].replace("<!--", " ")
    last = rest.rfind(">") + 1
    return "".join((*pieces, rest[:last], rest[last:].replace("<", " ")))


class _Page(HTMLParser):
    """Collects text by line while the parser walks the page."""

    def __init__(self, line_count: int) -> None:
        # Entities are decoded here, one by one: decoded inside longer text, `&#10;` would count as a line.
        super().__init__(convert_charrefs=False)
        self._pieces: list[list[str]] = [[] for _ in range(line_count)]
        self._preformatted: set[int] = set()
        self._silent: str | None = None
        self._pre_depth = 0
        self._heading: tuple[int, int, list[str]] | None = None
        self.marks: list[Mark] = []

    def lines(self) -> list[str]:
        """The collected text; blanks are kept as written only where the page preformats them."""
        joined = ("".join(pieces).replace("\xa0", " ") for pieces in self._pieces)
        return [
            line.rstrip() if number in self._preformatted else " ".join(line.split())
            for number, line in enumerate(joined)
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._silent:
            return
        if tag in _SILENT:
            self._silent = tag
        elif tag == "pre":
            self._pre_depth += 1
        elif tag in _HEADINGS:
            self._heading = (self.getpos()[0] - 1, _HEADINGS[tag], [])
        if tag not in _INLINE:
            self._add(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._silent and tag not in _INLINE:
            self._add(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag == self._silent:
                self._silent = None
            return
        if tag == "pre":
            self._pre_depth = max(0, self._pre_depth - 1)
        elif tag in _HEADINGS and self._heading:
            line, level, pieces = self._heading
            self._heading = None
            if title := tidy_title("".join(pieces).replace("¶", "")):
                self.marks.append(Mark(line, level, title))
        if tag not in _INLINE:
            self._add(" ")

    def handle_data(self, data: str) -> None:
        self._add(data)

    def handle_entityref(self, name: str) -> None:
        self._add(html.unescape(f"&{name};").replace("\n", " "))

    def handle_charref(self, name: str) -> None:
        self._add(html.unescape(f"&#{name};").replace("\n", " "))

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        # Older parsers fail on `<![` with unknown words behind it; HTML treats it as a comment up to `>`.
        return self.rawdata.find(">", i) + 1 or len(self.rawdata)

    def _add(self, text: str) -> None:
        if self._silent:
            return
        first = self.getpos()[0] - 1
        if self._heading:
            self._heading[2].append(text)
        for number, piece in enumerate(text.split("\n"), start=first):
            self._pieces[number].append(piece)
            if self._pre_depth:
                self._preformatted.add(number)

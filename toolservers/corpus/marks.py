"""Where the sections of a file begin: headings in prose, definitions in source.

Patterns are tried on one line at a time or bounded in length, so hostile files cost no more than honest ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LONGEST_TITLE = 120


@dataclass(frozen=True, slots=True)
class Mark:
    """The first line of a section."""

    line: int
    """Counted from 0. For a definition, the first of the decorators and comments right above it."""
    level: int
    """Smaller is further out: 1 to 6 for headings, the indentation for definitions."""
    title: str


@dataclass(frozen=True, slots=True)
class Sections:
    """The marks of a file in order, and the stretches of lines that must stay whole."""

    marks: tuple[Mark, ...] = ()
    whole: tuple[range, ...] = ()


def tidy_title(text: str) -> str:
    """One line, no runs of blanks, at most 120 characters."""
    title = " ".join(text.split())
    return title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1].rstrip() + "…"


_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")


def markdown_sections(lines: list[str]) -> Sections:
    """Headings of CommonMark, outside of fenced code and front matter; those two stay whole."""
    marks: list[Mark] = []
    whole: list[range] = []
    fence, opened = "", 0
    start = _after_front_matter(lines)
    if start:
        whole.append(range(start))
    for number in range(start, len(lines)):
        line = lines[number]
        found = _FENCE.match(line) if "`" in line or "~" in line else None
        if fence:
            if found and found[1].startswith(fence) and not line[found.end() :].strip():
                whole.append(range(opened, number + 1))
                fence = ""
        elif found:
            fence, opened = found[1], number
        elif heading := _HEADING.match(line):
            marks.append(Mark(number, len(heading[1]), tidy_title(line[heading.end() :].rstrip("# \t"))))
        elif number > start and (under := _UNDERLINE.match(line)) and _is_prose(lines[number - 1]):
            marks.append(Mark(number - 1, 1 if under[1][0] == "=" else 2, tidy_title(lines[number - 1])))
    return Sections(tuple(mark for mark in marks if mark.title), tuple(whole))


def _after_front_matter(lines: list[str]) -> int:
    if lines and lines[0].rstrip() == "---":
        for number in range(1, min(len(lines), 200)):
            if lines[number].rstrip() in ("---", "..."):
                return number + 1
    return 0


def _is_prose(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("    ", "\t", "#", ">", "- ", "* ", "|"))


_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*$")


def rst_sections(lines: list[str]) -> Sections:
    """Titles of reStructuredText: a line underlined at full length, levels by first use of the adornment."""
    marks: list[Mark] = []
    styles: list[str] = []
    for number in range(1, len(lines)):
        under = lines[number]
        if not (under and _ADORNMENT.match(under)):
            continue
        title = lines[number - 1].strip()
        if not title or len(under.rstrip()) < len(title) or _ADORNMENT.match(title):
            continue
        over = number > 1 and bool(_ADORNMENT.match(lines[number - 2])) and lines[number - 2][0] == under[0]
        style = under[0] * (2 if over else 1)
        if style not in styles:
            styles.append(style)
        marks.append(
            Mark(number - 2 if over else number - 1, min(styles.index(style) + 1, 6), tidy_title(title))
        )
    return Sections(tuple(marks))


_PYTHON = re.compile(r"\n([ \t]*+)(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)[ \t]*[(:\[]")
_KEYWORDS = re.compile(
    r"\n([ \t]*+)(?:(?:export|default|declare|public|private|protected|internal|static|abstract|final|sealed|async|"
    r"pub(?:\([^)\n]{1,40}\))?|unsafe|const|extern|inline|virtual|override|open|data|partial|local)[ \t]+){0,6}"
    r"(?:class|interface|struct|enum|trait|impl|mod|module|namespace|object|record|protocol|extension|"
    r"function\*?|func|fun|fn|def|defp|defmodule|sub|proc|macro|type)[ \t]+"
    r"(?:\([^)\n]{0,100}\)[ \t]*|<[^>\n]{0,60}>[ \t]*)?([A-Za-z_$][\w$.:]{0,80})(?=[^\n]{0,300}[{(=:;,]|[ \t]*(?:\n|\Z))",
)
_ARROW = re.compile(
    r"\n([ \t]*+)(?:export[ \t]+)?(?:default[ \t]+)?(?:const|let|var)[ \t]+([A-Za-z_$][\w$]{0,80})[^=\n]{0,120}="
    r"[ \t]*(?:async[ \t]*)?(?:function|\(|[\w$]{1,80}[ \t]*=>)",
)
_BRACED = re.compile(r"\n()[A-Za-z_][^\n;=(){}#]{0,120}?\b([A-Za-z_~]\w{0,80})[ \t]*\([^\n;]{0,200}(?=\n|\Z)")
_SHELL = re.compile(r"\n([ \t]*+)(?:function[ \t]+)?([\w:.-]{1,80})[ \t]*\(\)")
_SQL = re.compile(
    r"\n([ \t]*+)create[ \t]+(?:or[ \t]+replace[ \t]+|temp(?:orary)?[ \t]+|unique[ \t]+|virtual[ \t]+){0,3}"
    r"(?:table|view|index|function|procedure|trigger|type)[ \t]+(?:if[ \t]+not[ \t]+exists[ \t]+)?([\w.\"`]{1,80})",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"\n()\[{1,2}([^\]\n]{1,100})\]")
_KEYS = re.compile(r"\n()([A-Za-z_][\w.-]{0,80}):(?=\s)")

_FAMILIES: tuple[tuple[str, tuple[re.Pattern[str], ...]], ...] = (
    ("py pyi pyx pxd", (_PYTHON,)),
    ("js jsx mjs cjs ts tsx mts cts vue svelte", (_KEYWORDS, _ARROW)),
    ("c h cc cpp cxx hh hpp hxx inl ipp m mm cs java cu cuh d", (_KEYWORDS, _BRACED)),
    ("sh bash zsh fish", (_SHELL,)),
    ("sql", (_SQL,)),
    ("toml ini cfg conf", (_BRACKETS,)),
    ("yaml yml", (_KEYS,)),
    ("css scss sass less json jsonl csv tsv xml svg patch diff", ()),
)
_PATTERNS = {suffix: patterns for suffixes, patterns in _FAMILIES for suffix in suffixes.split()}
_NO_DEFINITION = {
    "if",
    "for",
    "while",
    "switch",
    "return",
    "else",
    "do",
    "catch",
    "sizeof",
    "defined",
    "and",
    "or",
    "not",
}
_LEADS_IN = re.compile(r"[ \t]*(?:@|//|#(?!include|if|e|define|pragma)|/?\*|--|\[\w)")


def source_sections(lines: list[str], suffix: str) -> Sections:
    """Definitions in source and data files, by the habits of the language that the suffix names."""
    # Patterns begin with the line break before the definition: a literal start is found several times faster.
    text = "\n" + "\n".join(lines)
    titles: dict[int, tuple[int, str]] = {}
    for pattern in _PATTERNS.get(suffix, (_KEYWORDS,)):
        number = counted = 0
        for found in pattern.finditer(text):
            if found[2] not in _NO_DEFINITION:
                number += text.count("\n", counted, found.start())
                counted = found.start()
                titles.setdefault(number, (len(found[1].expandtabs(4)), found[2]))
    marks: list[Mark] = []
    last = -1
    for number in sorted(titles):
        indent, name = titles[number]
        first = number
        while first - 1 > last and _LEADS_IN.match(lines[first - 1]):
            first -= 1
        marks.append(Mark(first, indent, tidy_title(name)))
        last = number
    return Sections(tuple(marks))

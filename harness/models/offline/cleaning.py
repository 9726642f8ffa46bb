"""Quotes turned into readable sentences: no markup, bullets or line wraps."""

from __future__ import annotations

import re

_LINK = re.compile(r"!?\[([^\]]*)\]\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)")
_ROLE = re.compile(r":[a-z:]+:`~?([^`<]+?)(?:\s*<[^>]*>)?`")
_EMPHASIS = re.compile(r"(\*{1,3}|(?<!\w)_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)")
_DUNDER = re.compile(r"__\w+__")
_TAG = re.compile(
    r"</?(?:b|i|em|strong|code|br|p|a|span|div|sub|sup|img|kbd|h\d)(?:\s[^>]*)?/?>", re.IGNORECASE
)
_CONTINUATION = re.compile(r"\n[ \t]*(?:(?:#+|//+|\*|>)(?=\s)[ \t]*)?")
_EDGES = re.compile(r"^(?:[-*+•>#]\s+|\d{1,3}[.)]\s+)+")


def clean(quote: str, *, kind: str = "", label: str = "") -> str:
    """Return a quote as a sentence to be read in running text."""
    if kind == "code" or _looks_like_code(quote):
        return f"`{' '.join(quote.split())}`"
    if quote.lstrip().startswith("|"):
        return _clean_row(quote)
    text = _CONTINUATION.sub(" ", quote)
    text = _plain(text)
    text = _EDGES.sub("", text).strip()
    if label:
        text = f"{_plain(label).strip(' .:')}: {text}"
    return _finish(text)


def _plain(text: str) -> str:
    text = _LINK.sub(r"\1", text)
    text = _ROLE.sub(r"`\1`", text)
    text = _TAG.sub("", text)
    text = text.replace("``", "`")
    text = _EMPHASIS.sub(lambda match: match[0] if _DUNDER.fullmatch(match[0]) else match[2], text)
    text = text.replace("**", "")
    return " ".join(text.split())


def _clean_row(row: str) -> str:
    cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]
    cells = [cell for cell in cells if cell and cell.strip("-–—·. ")]
    if len(cells) > 2 and re.fullmatch(r"[#\d.]+", cells[0]):
        cells = cells[1:]
    if not cells:
        return ""
    if len(cells) == 1:
        return _finish(cells[0])
    return _finish(f"{cells[0]}: {'; '.join(cells[1:])}")


def _finish(text: str) -> str:
    """Start with a capital where the first word is plain, and end with a full stop."""
    text = text.rstrip(" ,;:")
    first = re.match(r"[^\W\d_]+(?=[\s,]|$)", text)
    if first and first.group().islower() and first.group().isascii():
        text = text[0].upper() + text[1:]
    if text and text[-1] not in ".!?…。！？" and not text.endswith((".)", '."', ".”", "?)", "!)")):
        text += "."
    return text


def _looks_like_code(quote: str) -> bool:
    return bool(
        re.match(
            r"\s*(?:(?:async\s+)?def \w+\(|class \w+[(:]|import \w|from [\w.]+ import |@\w+|>>> )", quote
        )
    )

"""Text for terminals: what comes from models and tools must not control them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
"""C0 but tab and newline, DEL, C1, bidirectional marks, zero-width and tag characters."""


def plain(text: str) -> str:
    """Return `text` with control characters, and so all terminal sequences, spelled out."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", text.replace("\r\n", "\n"))


def one_line(text: str, width: int) -> str:
    """Return `text` on one line, cut to `width` characters."""
    flat = plain(" ".join(text.split()))
    return flat if len(flat) <= width else flat[: max(0, width - 1)] + "…"


def table(rows: Sequence[Sequence[str]], headings: Sequence[str], *, right: Collection[int] = ()) -> str:
    """Return the rows as aligned columns under their headings; those of numbers in `right` at the right."""
    every = [list(headings), *map(list, rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(headings))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    ]
    return "\n".join(lines)


def when(at: float) -> str:
    """Return a time, UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def count(number: float, noun: str) -> str:
    """Return `1 turn`, `2 turns`, `1,234 tokens`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def dollars(cost: float | None) -> str:
    """Return a cost in USD, or that it is unknown."""
    if cost is None:
        return "cost unknown"
    return f"${cost:.2f}" if cost >= 0.01 or cost == 0 else f"${cost:.4f}"

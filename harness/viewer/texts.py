"""Texts of a page, each kept once and named by its number."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK = 2_000_000
"""Characters after which another block of texts begins; the page parses a block when it is first needed."""


class Texts:
    """A table of texts."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def add(self, text: str) -> int:
        """Return the number of a text; lone surrogates, which no file can hold, are spelled out."""
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers.setdefault(storable(text), len(self._numbers))
        return number

    def chunks(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the texts in blocks, each with the number of its first."""
        block: list[str] = []
        first = size = 0
        for number, text in enumerate(self._numbers):
            block.append(text)
            size += len(text)
            if size >= CHUNK:
                yield first, block
                first, block, size = number + 1, [], 0
        if block:
            yield first, block


def storable(text: str) -> str:
    """Return `text` with lone surrogates spelled out."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text

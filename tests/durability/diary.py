"""The world outside: a file that says what really happened, whatever any journal says.

Each line is one write to the end of the file, so it survives the process that wrote it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path


class Diary:
    """What happened, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)

    def tell(self, *words: object) -> None:
        """Say that something happened."""
        os.write(self._file, " ".join(map(str, words)).encode() + b"\n")

    @property
    def told(self) -> list[list[str]]:
        """Everything that was told, in words."""
        return [line.split(" ") for line in self.path.read_text().splitlines()]

    @property
    def lines(self) -> Counter[tuple[int, int]]:
        """How often each line was written, by writer and number."""
        return Counter((int(words[1]), int(words[2])) for words in self.told if words[0] == "line")

    def of(self, word: str) -> list[list[str]]:
        """What else was told with this word, without it."""
        return [words[1:] for words in self.told if words[0] == word]

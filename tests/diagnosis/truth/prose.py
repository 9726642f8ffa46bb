"""What scripted runs are written with: texts, code, rows and log lines, and values that stand nowhere else."""

from __future__ import annotations

import json
import random
import string
from functools import cache
from pathlib import Path

_TEXTS = Path(__file__).parent / "texts"

_THINGS = (
    "harbour", "orchard", "glacier", "lantern", "quarry", "meadow", "viaduct", "granary", "estuary",
    "terrace", "causeway", "cistern", "bakery", "observatory", "lighthouse", "reservoir", "vineyard",
    "tannery", "foundry", "aqueduct", "cloister", "windmill", "ferry", "pasture", "cavern", "boulder",
    "thicket", "pavilion", "courtyard", "turret",
)  # fmt: skip
_QUALITIES = (
    "weathered", "northern", "abandoned", "copper", "restored", "narrow", "flooded", "limestone",
    "seasonal", "ancient", "coastal", "wooden", "remote", "shaded", "terraced", "volcanic", "medieval",
    "drained", "fertile", "silent",
)  # fmt: skip
_DOINGS = (
    "supplied", "overlooked", "replaced", "sheltered", "outlasted", "crossed", "bordered", "drained", "fed",
    "joined", "guarded", "irrigated", "surrounded", "divided", "served", "preceded",
)  # fmt: skip
_WHENS = (
    "before the drought", "during the long winter", "after the second survey", "for three generations",
    "until the road was moved", "while the valley was farmed", "once the mill closed", "in the wettest years",
)  # fmt: skip


@cache
def paragraphs(kind: str) -> tuple[str, ...]:
    """Return the paragraphs of the stored texts: `prose` or `code`."""
    found: list[str] = []
    for path in sorted(_TEXTS.glob("*.txt")):
        if (path.stem == "code") == (kind == "code"):
            blocks = path.read_text(encoding="utf-8").split("\n\n")
            found += [block.strip("\n") for block in blocks if len(block) > 120]
    return tuple(found)


class Mint(random.Random):
    """Draws texts and values from a seed, none of them twice.

    Args:
        pool: Half of the stored texts that are drawn from: 0 is for clean runs, 1 for defects.
    """

    def __init__(self, seed: str, *, pool: int = 0) -> None:
        super().__init__(seed)
        self._pool = pool
        self._left: dict[str, list[str]] = {}
        self._used: set[str] = set()

    # --- values ---

    def code_of(self, prefix: str, length: int = 6) -> str:
        """Return an identifier such as `RSV-4K7Q2D`."""
        while True:
            body = "".join(self.choices(string.ascii_uppercase + string.digits, k=length - 2))
            body += str(self.randint(10, 99))
            value = f"{prefix}-{body}"
            if value not in self._used:
                self._used.add(value)
                return value

    def call(self) -> str:
        return "call_" + "".join(self.choices(string.ascii_letters + string.digits, k=16))

    def mark(self, word: str = "turn") -> str:
        return f"{word}:{self.getrandbits(48):012x}"

    def amount(self, low: int = 120, high: int = 9000) -> float:
        """Return an amount of money that nobody would guess."""
        return round(self.randint(low, high) + self.choice((0.13, 0.27, 0.49, 0.58, 0.71, 0.94)), 2)

    def number(self, digits: int = 6) -> int:
        """Return a number that is not round; from five digits on it has not been drawn before."""
        while True:
            value = self.randint(10 ** (digits - 1) + 1, 10**digits - 1)
            if value % 10 and (digits < 5 or str(value) not in self._used):
                self._used.add(str(value))
                return value

    def day(self) -> str:
        return f"2026-{self.randint(1, 12):02}-{self.randint(1, 28):02}"

    def time(self) -> str:
        return f"{self.randint(0, 23):02}:{self.randint(0, 59):02}:{self.randint(0, 59):02}"

    # --- texts ---

    def prose(self, tokens: int) -> str:
        """Return about so many tokens of running text, paragraphs whole where they fit."""
        parts: list[str] = []
        size = 0
        while size < tokens * 4:
            part = self._draw("prose") if self._pool == 0 or self.random() < 0.3 else self.invented(60)
            parts.append(part)
            size += len(part)
        return _cut("\n\n".join(parts), tokens * 4)

    def code(self, tokens: int) -> str:
        """Return about so many tokens of program text."""
        parts: list[str] = []
        size = 0
        while size < tokens * 4:
            parts.append(self._draw("code"))
            size += len(parts[-1])
        return _cut("\n\n".join(parts), tokens * 4)

    def invented(self, tokens: int) -> str:
        """Return sentences about matters that no clean run speaks of, with numbers and identifiers of their own."""
        sentences: list[str] = []
        size = 0
        while size < tokens * 4:
            one, other = self.sample(_THINGS, 2)
            quality, another = self.sample(_QUALITIES, 2)
            sentence = (
                f"The {quality} {one} {self.choice(_DOINGS)} the {another} {other}"
                f" {self.choice(_WHENS)}, by {self.number(5)} measures in {self.code_of('PLOT', 4)}."
            )
            sentences.append(sentence)
            size += len(sentence)
        return " ".join(sentences)

    def rows(self, tokens: int, *, key: str = "ITEM") -> str:
        """Return a JSON list of records."""
        rows: list[dict[str, object]] = []
        size = 0
        while size < tokens * 3:
            row = {
                "id": self.code_of(key),
                "title": f"{self.choice(_QUALITIES)} {self.choice(_THINGS)}",
                "units": self.number(4),
                "value": self.amount(),
                "updated": f"{self.day()}T{self.time()}Z",
            }
            rows.append(row)
            size += len(json.dumps(row))
        return json.dumps(rows)

    def log_lines(self, tokens: int) -> str:
        """Return lines as services write them."""
        lines: list[str] = []
        size = 0
        while size < tokens * 3:
            word = self.choice(_THINGS)
            lines.append(
                f"2026-10-{self.randint(1, 28):02}T{self.time()}.{self.number(3)}Z INFO {word}-worker"
                f" pid={self.number(5)} request={self.getrandbits(40):010x} took={self.number(3)}ms"
            )
            size += len(lines[-1])
        return "\n".join(lines)

    def traceback(self, tokens: int, error: str) -> str:
        """Return a traceback as Python prints it."""
        lines = ["Traceback (most recent call last):"]
        size = 0
        while size < tokens * 3.5:
            module = f"{self.choice(_THINGS)}_{self.choice(_QUALITIES)}"
            lines += [
                f'  File "/srv/app/{module}/{self.choice(_THINGS)}.py", line {self.number(3)}, in {self.choice(_DOINGS)}_{self.choice(_THINGS)}',
                f"    return self._{self.choice(_THINGS)}.{self.choice(_DOINGS)}({self.choice(_QUALITIES)}, retries={self.randint(2, 9)})",
            ]
            size = sum(map(len, lines))
        return "\n".join([*lines, error])

    def _draw(self, kind: str) -> str:
        left = self._left.setdefault(kind, [])
        if not left:
            blocks = list(paragraphs(kind)[self._pool :: 2])
            self.shuffle(blocks)
            left += blocks
        return left.pop()


def sentence_of(text: str, *, longest: int = 160) -> str:
    """Return the first sentence or line of a text that is long enough to be a quote."""
    for line in text.replace(". ", ".\n").splitlines():
        if len(line.strip()) > 40:
            return line.strip()[:longest]
    return text.strip()[:longest]


def _cut(text: str, length: int) -> str:
    if len(text) <= length * 1.15:
        return text
    end = text.rfind("\n", 0, length)
    return text[: end if end > length // 2 else length]

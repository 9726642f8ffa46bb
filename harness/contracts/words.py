"""The words of a contract's text, each with its place, and the calls they name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, cast

from harness.contracts.patterns import CallPattern, Condition, Operator, Pattern, Wanted
from harness.contracts.values import number_in
from harness.errors import UsageError

_WORD = re.compile(r"(?P<word>[^\s()]+)(?P<conditions>\((?:\"(?:\\.|[^\"\\])*\"|[^()\"])*\))?|(?P<odd>\S)")
_TOOL = re.compile(r"[A-Za-z0-9_*?\[][A-Za-z0-9_.*?\[\]!:/-]*")
_CONDITION = re.compile(
    r"\s*(?P<path>[^\s=<>!,]+)\s*(?P<operator>!=|>=|<=|=|>|<)\s*(?P<values>.*?)\s*", re.DOTALL
)
_VALUE = re.compile(r"\s*(?:\"(?P<quoted>(?:\\.|[^\"\\])*)\"|(?P<plain>[^|\"]*?))\s*(?:\||$)")

GRAMMAR = frozenset(
    {
        "after", "also", "any", "at", "before", "by", "call", "calls", "each", "exactly", "excludes", "fails",
        "first", "followed", "from", "identical", "immediately", "last", "least", "most", "never", "of", "once",
        "or", "per", "requires", "same", "succeeds", "then", "times", "together", "turn", "twice", "where",
        "with",
    }
)  # fmt: skip
"""Words that cannot be names of tools."""


class ContractError(UsageError):
    """A contract cannot be read.

    Args:
        at: Where in its text, in characters from 0.
    """

    def __init__(self, message: str, at: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.hint = hint

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"at character {self.at + 1}: {self.message}{hint}"


@dataclass(frozen=True, slots=True)
class Word:
    """One word, and what stands in parentheses right behind it."""

    text: str
    at: int
    conditions: str | None = None
    """With their parentheses."""

    @property
    def whole(self) -> str:
        """The word as it was written."""
        return self.text + (self.conditions or "")


class Words:
    """The words of a contract from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._words: list[Word] = []
        self._next = 0
        for found in _WORD.finditer(text):
            if found["odd"] or found["word"].endswith(",") and found["word"] != ",":
                at = found.start() if found["odd"] else found.end("word") - 1
                hint = "conditions follow the tool's name, as in: files.write(path=src/*)"
                raise ContractError(f"'{text[at]}' is not expected here", at, hint)
            self._words.append(Word(found["word"], found.start(), found["conditions"]))

    @property
    def end(self) -> int:
        """The place after the last word."""
        return len(self.text.rstrip())

    def peek(self, ahead: int = 0) -> Word | None:
        """Return a word that is still to be read."""
        place = self._next + ahead
        return self._words[place] if place < len(self._words) else None

    def takes(self, *texts: str) -> bool:
        """Read these words if they come next; return whether they did."""
        for ahead, text in enumerate(texts):
            word = self.peek(ahead)
            if word is None or word.text.lower() != text or word.conditions is not None:
                return False
        self._next += len(texts)
        return True

    def take(self, wanted: str) -> Word:
        """Read the next word.

        Raises:
            ContractError: There is none.
        """
        word = self.peek()
        if word is None:
            raise ContractError(f"{wanted} is missing at the end", self.end)
        self._next += 1
        return word

    def expect(self, *texts: str) -> None:
        """Read these words.

        Raises:
            ContractError: Something else comes next.
        """
        for text in texts:
            if not self.takes(text):
                word = self.peek()
                got = f"got '{word.text}'" if word else "the text ends"
                raise ContractError(f"expected '{text}', {got}", word.at if word else self.end)

    def unknown(self, known: Iterable[str], example: str) -> ContractError:
        """Return the error that the next word is none of `known`."""
        word = self.peek()
        if word is None:
            return ContractError("this contract is not complete", self.end, f"as in: {example}")
        close = get_close_matches(word.text.lower(), list(known), n=1, cutoff=0.6)
        hint = f"did you mean '{close[0]}'?" if close else f"as in: {example}"
        return ContractError(f"'{word.text}' is not expected here", word.at, hint)

    def pattern(self) -> Pattern:
        """Read calls: one tool, or several joined by `or`."""
        alternatives = [self._one()]
        while self.takes("or"):
            alternatives.append(self._one())
        return Pattern(tuple(alternatives))

    def _one(self) -> CallPattern:
        if self.takes("any", "call"):
            tool, conditions, words = "*", (), "any call"
        else:
            word = self.take("the name of a tool")
            if word.text.lower() in GRAMMAR or not _TOOL.fullmatch(word.text):
                message = f"expected the name of a tool, got '{word.text}'"
                raise ContractError(message, word.at, "a tool is written server.tool, or server.glob_*")
            tool, words = word.text, word.whole
            conditions = _conditions(word) if word.conditions is not None else ()
        outcome: Literal["succeeds", "fails"] | None = None
        if self.takes("succeeds"):
            outcome = "succeeds"
        elif self.takes("fails"):
            outcome = "fails"
        by = self.take("the name of an agent").text if self.takes("by") else ""
        return CallPattern(tool, conditions, outcome, by, words)


def _conditions(word: Word) -> tuple[Condition, ...]:
    assert word.conditions is not None
    inner, at = word.conditions[1:-1], word.at + len(word.text) + 1
    return tuple(_condition(part, at + start) for part, start in _split(inner))


def _split(text: str) -> list[tuple[str, int]]:
    """Return what stands between commas outside quotes, with the place of each."""
    parts: list[tuple[str, int]] = []
    start, quoted = 0, False
    for place, char in enumerate(text):
        if char == '"' and (not place or text[place - 1] != "\\"):
            quoted = not quoted
        elif char == "," and not quoted:
            parts.append((text[start:place], start))
            start = place + 1
    return [*parts, (text[start:], start)]


def _condition(text: str, at: int) -> Condition:
    found = _CONDITION.fullmatch(text)
    at += len(text) - len(text.lstrip())
    if found is None:
        hint = "write argument=value, argument!=value, argument>number or result.name=value"
        raise ContractError(f"'{text.strip()}' is not a condition", at, hint)
    operator = cast("Operator", found["operator"])
    wanted = tuple(_value(one, operator) for one in _VALUE.finditer(found["values"]) if one[0])
    if not wanted:
        raise ContractError(f"a value is missing after '{found['path']}{operator}'", at)
    if operator not in ("=", "!=") and (len(wanted) > 1 or any(isinstance(one, str) for one in wanted)):
        raise ContractError(f"'{operator}' wants one number, got '{found['values']}'", at)
    head, _, path = found["path"].partition(".")
    if head == "result":
        return Condition(path, operator, wanted, of_result=True)
    return Condition(found["path"], operator, wanted)


def _value(found: re.Match[str], operator: str) -> Wanted:
    if found["quoted"] is not None:
        return re.sub(r"\\(.)", r"\1", found["quoted"])
    plain = found["plain"]
    if plain in ("true", "false"):
        return plain == "true"
    number = number_in(plain)
    return plain if number is None else number

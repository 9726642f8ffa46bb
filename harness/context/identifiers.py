"""What an agent may need word for word later: addresses, paths, ids, hashes, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.messages import Message, Text, ToolCall, ToolResult

_TOKEN = re.compile(r"[\w@#~/][\w@#.:/~+%=&?-]*\w")
_MARKS = re.compile(r"\d|[@/]|\w_\w")
_NUMBER = re.compile(r"[\d.,:%-]+")
_HANDLE = re.compile(r"(result|turn|agent):")
"""Handles say where they are from; nobody needs to keep them."""
_SHORTEST, _LONGEST = 4, 200
_DIGITS = 4

MOST_LISTED = 12
LONGEST_LIST = 240
"""Characters."""


def identifiers(text: str) -> Iterator[str]:
    """Yield every identifier in a text, as often as it stands there."""
    for match in _TOKEN.finditer(text):
        token = match.group()
        if _SHORTEST <= len(token) <= _LONGEST and _MARKS.search(token) and is_telling(token):
            yield token


def identifiers_in(message: Message) -> set[str]:
    """Return the identifiers of a message, those in its calls included and those in its thinking not."""
    found: set[str] = set()
    for part in message.parts:
        if isinstance(part, Text | ToolResult):
            found.update(identifiers(part.text))
        elif isinstance(part, ToolCall):
            found.update(identifiers(part.arguments))
    return found


def listed(names: Iterable[str], *, most: int = MOST_LISTED, longest: int = LONGEST_LIST) -> list[str]:
    """Return the names that fit into the room there is, in their order."""
    kept: list[str] = []
    for name in names:
        longest -= len(name) + 2
        if longest < 0 or len(kept) == most:
            break
        kept.append(name)
    return kept


def kind_of(name: str) -> int:
    """Return 0 for addresses and paths, 1 for other identifiers, 2 for bare numbers."""
    return 0 if "/" in name or "@" in name else 2 if _NUMBER.fullmatch(name) else 1


def is_telling(token: str) -> bool:
    """Return whether a token with a mark of an identifier is one worth keeping."""
    if _HANDLE.match(token):
        return False
    if not _NUMBER.fullmatch(token):
        return True
    digits = [sign for sign in token if sign.isdigit()]
    return len(digits) >= _DIGITS and len("".join(digits).rstrip("0")) > 1

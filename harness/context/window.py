"""One agent's context window: the entries its next request will hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.messages import Message


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a window and where it came from."""

    origin: str
    """`system`, `session`, `task`, `brief`, `assistant`, `nudge`, `tool:NAME` or `report:PATH`."""
    message: Message
    tokens: int
    number: int = 0
    """Its place among all entries the window ever had, from 0; it stays when others are dropped."""


class Window:
    """Grows by entries and keeps the sum of their tokens; no turn ever walks it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.tokens = 0
        self.appended = 0
        """How many entries were ever appended; the number of the next one."""

    def append(self, entry: Entry) -> None:
        """Add an entry at the end."""
        self.entries.append(entry)
        self.tokens += entry.tokens
        self.appended += 1

    def replace(self, number: int, message: Message | None, tokens: int) -> None:
        """Put another message in the place of an entry, or drop it.

        Raises:
            KeyError: There is no entry of this number any more.
        """
        for position, entry in enumerate(self.entries):
            if entry.number == number:
                changed = [] if message is None else [replace(entry, message=message, tokens=tokens)]
                self.entries[position : position + 1] = changed
                self.tokens += (tokens if message is not None else 0) - entry.tokens
                return
        raise KeyError(number)

    @property
    def origins(self) -> list[str]:
        """The origins of all entries, in order."""
        return [entry.origin for entry in self.entries]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Window) and self.entries == other.entries and self.tokens == other.tokens

    __hash__ = None  # type: ignore[assignment]

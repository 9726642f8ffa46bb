"""One agent's context window: the entries its next request will hold."""

from __future__ import annotations

from dataclasses import dataclass

from harness.messages import Message


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a window and where it came from."""

    origin: str
    """`system`, `task`, `brief`, `assistant`, `nudge`, `tool:NAME` or `report:PATH`."""
    message: Message
    tokens: int


class Window:
    """Grows by entries and keeps the sum of their tokens; nothing ever walks it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.tokens = 0

    def append(self, entry: Entry) -> None:
        """Add an entry at the end."""
        self.entries.append(entry)
        self.tokens += entry.tokens

    @property
    def origins(self) -> list[str]:
        """The origins of all entries, in order."""
        return [entry.origin for entry in self.entries]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Window) and self.entries == other.entries and self.tokens == other.tokens

    __hash__ = None  # type: ignore[assignment]

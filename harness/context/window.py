"""One agent's context window: the entries its next request will hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.events import EntryChange
from harness.messages import Message


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a window and where it came from."""

    origin: str
    """`system`, `session`, `task`, `brief`, `assistant`, `nudge`, `summary`, `tool:NAME` or `report:PATH`."""
    message: Message
    tokens: int
    number: int = 0
    """Its place among all entries the window ever had, from 0; it stays when others are dropped."""
    turn: int = 0
    """The turn it came in; 0 for what was there before the first."""
    call: str = ""
    """Key of the tool call whose result it is."""


class Window:
    """Grows by entries and keeps the sum of their tokens; no turn ever walks it, only a compaction does."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.tokens = 0
        self.appended = 0
        """How many entries were ever appended; the number of the next one."""
        self.repeated = 0
        """Tokens of the entries it begins with that the last request began with as well."""
        self.originals: dict[int, Entry] = {}
        """What compactions have replaced or dropped, by number, as it first was."""
        self.left: Counter[str] = Counter()
        """How often each tool was called in turns that compactions have dropped."""

    def append(self, entry: Entry) -> None:
        """Add an entry at the end."""
        self.entries.append(entry)
        self.tokens += entry.tokens
        self.appended += 1

    def replace(self, number: int, message: Message | None, tokens: int) -> None:
        """Put another message in the place of an entry, or drop it, as if it had always been so.

        Raises:
            KeyError: There is no entry of this number any more.
        """
        self._apply([EntryChange(entry=number, strategy="", message=message, tokens=tokens)])

    def compact(self, changes: Sequence[EntryChange]) -> None:
        """Make room; what is replaced or dropped can still be read.

        Raises:
            KeyError: There is no entry of one of the numbers any more.
        """
        for entry in self._apply(changes):
            self.originals.setdefault(entry.number, entry)
            # A reply is never changed, so this one has left.
            self.left.update(call.name for call in entry.message.tool_calls)

    def was_sent(self) -> None:
        """Note that a request holds all that is here."""
        self.repeated = self.tokens

    def history(self) -> list[Entry]:
        """Return all entries in order, with what compactions have taken out."""
        everything = {entry.number: entry for entry in self.entries} | self.originals
        return [everything[number] for number in sorted(everything)]

    def _apply(self, changes: Sequence[EntryChange]) -> list[Entry]:
        """Change entries and return what they were."""
        wanted = {change.entry: change for change in changes}
        kept: list[Entry] = []
        before: list[Entry] = []
        prefix = 0
        for entry in self.entries:
            change = wanted.pop(entry.number, None)
            if change is None:
                kept.append(entry)
                prefix += 0 if before else entry.tokens
                continue
            before.append(entry)
            if change.message is not None:
                origin = change.origin or entry.origin
                kept.append(replace(entry, message=change.message, tokens=change.tokens, origin=origin))
        if wanted:
            raise KeyError(next(iter(wanted)))
        self.entries = kept
        self.tokens = sum(entry.tokens for entry in kept)
        self.repeated = min(self.repeated, prefix) if before else self.repeated
        return before

    @property
    def origins(self) -> list[str]:
        """The origins of all entries, in order."""
        return [entry.origin for entry in self.entries]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Window) and (self.entries, self.tokens, self.originals) == (
            other.entries,
            other.tokens,
            other.originals,
        )

    __hash__ = None  # type: ignore[assignment]

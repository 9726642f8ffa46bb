"""What an agent did with what stood in its window.

An entry is used by a later reply if the reply holds a distinctive value that the entry brought into the
window, or several of the longer words that it brought. That is evidence of use, not proof; an entry without
any of it was read for nothing as far as anybody can see.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from harness.record.run import AgentRecord, Entry
from harness.record.values import pieces, values_and_words

ENOUGH_WORDS = 3
"""Words of an entry that a reply must share to count as having used it, if it shares no distinctive value."""


@dataclass(frozen=True, slots=True)
class Use:
    """A reply used what an entry had brought."""

    entry: Entry
    by: Entry
    """The reply."""
    values: tuple[str, ...]
    """Distinctive values it took over; empty if only words."""
    words: int = 0


class Uses:
    """All uses within one agent run, from one pass over its entries in the order in which they came."""

    def __init__(self, agent: AgentRecord) -> None:
        self.by_entry: dict[int, list[Use]] = defaultdict(list)
        """By number of the entry that was used."""
        self.introduced: dict[str, Entry] = {}
        """The entry that first brought each distinctive value into the window; it may be a reply."""
        self._standing: dict[str, list[Entry]] = defaultdict(list)
        """The entries in which each distinctive value stands, in order."""
        self._last: dict[str, list[int]] = {}
        """For each of them the last turn that held it or one before it."""
        self._words: dict[str, Entry] = {}
        self._said: dict[str, int] = {}
        """Number of the last reply that holds a value or a word."""
        self._shown: dict[str, int] = {}
        for entry in agent.entries:
            self._take(entry)

    def of(self, entry: Entry) -> list[Use]:
        """Return by whom an entry was used."""
        return self.by_entry.get(entry.number, [])

    def observed(self, value: str) -> Iterator[Entry]:
        """Yield the entries that showed a distinctive value to the agent, in order; its own replies do not."""
        return (entry for entry in self._standing.get(value, ()) if not _is_reply(entry))

    def shown(self, piece: str, turn: int) -> bool:
        """Return whether a value, or a piece of one, was shown to the agent by a turn's request."""
        if not self._shown:
            for value in self._standing:
                turns = [entry.first for entry in self.observed(value) if entry.first]
                for one in pieces(value) if turns else ():
                    self._shown[one] = min(turns[0], self._shown.get(one, turns[0]))
        return self._shown.get(piece, turn + 1) <= turn

    def in_sight(self, value: str, turn: int) -> bool:
        """Return whether a distinctive value stood in the request of a turn."""
        standing = self._standing.get(value, ())
        count = self._before(standing, turn)
        if value not in self._last:
            self._last[value] = list(accumulate((entry.last for entry in standing), max))
        return bool(count) and self._last[value][count - 1] >= turn

    def last_seen(self, value: str, turn: int) -> Entry | None:
        """Return the newest entry that was sent by a turn and holds a distinctive value, in sight or not."""
        standing = self._standing.get(value, ())
        for entry in reversed(standing[: self._before(standing, turn)]):
            if entry.first:
                return entry
        return None

    @staticmethod
    def _before(standing: Sequence[Entry], turn: int) -> int:
        """Return how many of some entries were made before a turn's reply."""
        return bisect_right(standing, turn, key=lambda entry: entry.first or entry.turn + 1)

    def word_source(self, word: str) -> Entry | None:
        """Return the entry that first brought a longer word, in lower case, into the window."""
        return self._words.get(word)

    def taken_over(self, entry: Entry) -> tuple[int, int]:
        """Return how many distinctive values and words of an entry later replies hold.

        What was in the window before any tool had been asked does not count. Other results may have shown
        the same, so this is more than `of` tells: nobody can say from which of them it was taken.
        """
        values, words = values_and_words(entry.text)
        counts = [0, 0]
        for index, (found, known) in enumerate(((values, self.introduced), (words, self._words))):
            for token in found:
                source = known.get(token)
                observed = source is not None and source.origin.startswith(("tool:", "report:"))
                if observed and self._said.get(token, -1) > entry.number:
                    counts[index] += 1
        return counts[0], counts[1]

    def is_used(self, entry: Entry) -> bool:
        """Return whether a later reply shows anything of an entry."""
        values, words = self.taken_over(entry)
        return values > 0 or words >= ENOUGH_WORDS

    def _take(self, entry: Entry) -> None:
        is_reply = _is_reply(entry)
        values, words = values_and_words(entry.text)
        if is_reply:
            self._use(entry, values, words)
            self._said.update(dict.fromkeys((*values, *words), entry.number))
        for value in values:
            self.introduced.setdefault(value, entry)
            self._standing[value].append(entry)
        for word in words:
            self._words.setdefault(word, entry)

    def _use(self, reply: Entry, values: set[str], words: set[str]) -> None:
        taken: dict[int, list[str]] = defaultdict(list)
        shared: dict[int, int] = defaultdict(int)
        sources: dict[int, Entry] = {}
        for value in values:
            source = self.introduced.get(value)
            if source is not None:
                sources[source.number] = source
                taken[source.number].append(value)
        for word in words:
            source = self._words.get(word)
            if source is not None:
                sources[source.number] = source
                shared[source.number] += 1
        for number, source in sources.items():
            found = tuple(sorted(taken.get(number, ())))
            if found or shared[number] >= ENOUGH_WORDS:
                self.by_entry[number].append(Use(source, reply, found, shared[number]))


def _is_reply(entry: Entry) -> bool:
    return entry.message.role == "assistant" and entry.origin != "summary"

"""What an agent did with what stood in its window.

A reply uses an entry if it holds a distinctive value that the entry brought into the window, or several
longer words that it brought. Words prove little: many results hold the same ones, and a reply about one of
them would seem to use all. So each word of a reply is put down to one result only, the one that explains
most of the reply, and words count for nothing that were known before, or that stand in many results. What is
quoted word for word was used, however common its words.
That is evidence of use, not proof; an entry without any of it was read for nothing as far as anybody can see.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from harness.record.run import AgentRecord, Entry
from harness.record.values import pieces, values_and_words

ENOUGH_WORDS = 3
"""Words that a reply must have from an entry to count as having used it, if it has no distinctive value of it."""

QUOTE_WORDS = 8
"""Words in a row that are a quote."""

COMMON = 8
"""Results that may hold a word before it says nothing about any one of them."""


_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Use:
    """A reply used what an entry had brought."""

    entry: Entry
    by: Entry
    """The reply."""
    values: tuple[str, ...]
    """Distinctive values it took over; empty if only words."""
    words: frozenset[str] = frozenset()
    """Longer words, in lower case, that it has from there."""


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
        self._shown: dict[str, list[Entry]] = defaultdict(list)
        """The results and reports that hold a word, as long as they are not too many to tell apart."""
        self._richness: dict[int, int] = {}
        """How many words each of them holds."""
        self._said: dict[str, int] = {}
        """Number of the last reply that holds a value."""
        self._pieces: dict[str, int] = {}
        """The first turn whose request showed each piece of a value; made when first asked for."""
        self._rows: dict[tuple[str, ...], int] | None = None
        """The last reply that holds each row of words; made when first asked for."""
        self._spoken = ""
        """The words of all entries but replies; made when first asked for."""
        self._entries = agent.entries
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
        if not self._pieces:
            for value in self._standing:
                first = next((entry.first for entry in self.observed(value) if entry.first), 0)
                for one in pieces(value) if first else ():
                    self._pieces[one] = min(first, self._pieces.get(one, first))
        return self._pieces.get(piece, turn + 1) <= turn

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

    def taken_over(self, entry: Entry) -> tuple[set[str], set[str]]:
        """Return the distinctive values and the words of an entry that later replies took over.

        A value that several results show counts for each of them, for nobody can say from which it was
        taken; one that stood in the window before any tool had been asked counts for none.
        """
        values, _ = values_and_words(entry.text)
        said = {value for value in values if self._said.get(value, -1) > entry.number}
        words = set[str]().union(*(use.words for use in self.of(entry)))
        return {value for value in said if _is_observed(self.introduced[value])}, words

    def is_used(self, entry: Entry) -> bool:
        """Return whether a later reply shows anything of an entry, or quotes it."""
        return any(self.taken_over(entry)) or self._is_quoted(entry)

    def _is_quoted(self, entry: Entry) -> bool:
        """Return whether a later reply holds a row of words of an entry that stands in no other one."""
        if self._rows is None:
            self._rows = {
                row: one.number for one in self._entries if _is_reply(one) for row in _rows_of(one.text)
            }
        quoted = [row for row in _rows_of(entry.text) if self._rows.get(row, -1) > entry.number]
        if not quoted:
            return False
        if not self._spoken:
            self._spoken = "\n".join(_spoken(one.text) for one in self._entries if not _is_reply(one))
        own = _spoken(entry.text)
        phrases = map(" ".join, quoted)
        return any(self._spoken.count(phrase) == own.count(phrase) for phrase in phrases)

    def _take(self, entry: Entry) -> None:
        values, words = values_and_words(entry.text)
        if _is_reply(entry):
            self._use(entry, values, words)
            self._said.update(dict.fromkeys(values, entry.number))
        for value in values:
            self.introduced.setdefault(value, entry)
            self._standing[value].append(entry)
        for word in words:
            self._words.setdefault(word, entry)
        if _is_observed(entry):
            self._richness[entry.number] = len(words)
            for word in words:
                shown = self._shown[word]
                if len(shown) <= COMMON:
                    shown.append(entry)

    def _use(self, reply: Entry, values: set[str], words: set[str]) -> None:
        """Put what a reply says down to the entries that explain most of it, each word to one of them."""
        taken: dict[int, set[str]] = defaultdict(set)
        shared: dict[int, list[str]] = defaultdict(list)
        sources: dict[int, Entry] = {}
        for value in values:
            source = self.introduced.get(value)
            if source is not None:
                sources[source.number] = source
                taken[source.number].add(value)
        for word in words:
            shown = self._shown.get(word, ())
            if len(shown) <= COMMON and shown and _is_observed(self._words[word]):
                for source in shown:
                    sources[source.number] = source
                    shared[source.number].append(word)

        def explains(number: int) -> tuple[int, int, int]:
            return len(taken[number]), len(shared[number]), -self._richness.get(number, 0)

        unexplained = set(words)
        enough = [one for one in sources if one in taken or len(shared[one]) >= ENOUGH_WORDS]
        for number in sorted(enough, key=explains, reverse=True):
            own = unexplained.intersection(shared[number])
            if taken[number] or len(own) >= ENOUGH_WORDS:
                unexplained -= own
                found = tuple(sorted(taken[number]))
                self.by_entry[number].append(Use(sources[number], reply, found, frozenset(own)))


def _rows_of(text: str) -> Iterator[tuple[str, ...]]:
    """Yield every row of words that would be a quote."""
    words: list[str] = _WORD.findall(text.lower())
    return zip(*(words[at:] for at in range(QUOTE_WORDS)), strict=False)


def _spoken(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def _is_observed(entry: Entry) -> bool:
    return entry.origin.startswith(("tool:", "report:"))


def _is_reply(entry: Entry) -> bool:
    return entry.message.role == "assistant" and entry.origin != "summary"

"""Sizes of entries, calibrated turn by turn to what the provider reported; what the cache gave of them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import median

from harness.record.building import definition_tokens
from harness.record.run import AgentRecord, Entry, Turn

_PLAUSIBLE = (1 / 3, 3.0)
"""How far new entries may be from what is usual for the agent run before the rest is called a residual."""

_SMALL = 24
"""Tokens below which a difference is taken as it is: formats cost a few tokens whatever the text."""


@dataclass(slots=True)
class TurnLine:
    """One request."""

    turn: Turn
    total: int
    """What the provider reported, or our count where it reported nothing."""
    definitions: int
    """Tokens of tool definitions."""
    entries: int
    """Tokens of all entries of the window."""
    residual: int
    """What is left: total = definitions + entries + residual."""
    prefix: int
    """Tokens, from the front, that the request before it had as well."""
    breaks: str
    """Why it does not begin with all of the request before it; empty if it does."""

    @property
    def rate(self) -> float:
        """USD that each token of the call cost, input and output alike; 0 where nobody knows."""
        tokens = self.total + (self.turn.output or 0)
        return (self.turn.cost or 0.0) / tokens if tokens else 0.0

    @property
    def repeated(self) -> float:
        """Share of the request that repeats the beginning of the one before, 0 to 1."""
        return min(1.0, self.prefix / self.total) if self.total else 0.0


def counted_definitions(agent: AgentRecord, count: Callable[[str], int]) -> dict[str, int]:
    """Return our count of each definition; together what the first request had beyond its entries, if we know."""
    sizes = {tool.name: definition_tokens(tool, count) for tool in agent.tools or ()}
    first = agent.turns[0] if agent.turns else None
    if first is None or not first.counted:
        return sizes
    whole = max(0, first.counted - sum(entry.counted for entry in first.new))
    return dict(zip(sizes, divide(whole, list(sizes.values())), strict=True))


class Calibration:
    """Walks the turns of one agent and gives every entry its size."""

    def __init__(self, agent: AgentRecord, definitions: dict[str, int]) -> None:
        self.agent = agent
        self.counted_definitions = definitions
        self.definitions = 0
        self.held = 0
        """Sizes of all entries that the request holds."""
        self.window: list[Entry] = []
        """These entries, in order."""
        self.reads = CacheReads()
        self.residual = 0
        """That of the last request with a known size."""
        self.usual = _usual_ratio(agent)
        self.counted = self.known = 0
        """Our count and the true one of all that has been calibrated; their ratio is what is usual."""

    def run(self) -> list[TurnLine]:
        lines: list[TurnLine] = []
        reads: list[int] = []
        for turn in self.agent.turns:
            before = self.definitions + self.held
            moved = self._moved(turn)
            lost, why = self._lost(turn, moved)
            if turn.gone or moved:
                self.reads.take(reads, self.definitions, self.window)
                reads = []
            self._leave(turn.gone)
            self._enter(turn)
            self._stand(turn, moved)
            parts = self.definitions + self.held
            residual = 0
            if turn.reported is not None:
                residual = self.residual = turn.reported - parts
            reads.append(min(turn.cached or 0, parts))
            prefix = 0 if turn.number == 1 else max(0, before - lost)
            sums = parts + residual, self.definitions, self.held, residual
            lines.append(TurnLine(turn, *sums, prefix, why))
        self.reads.take(reads, self.definitions, self.window)
        for entry in self.agent.entries:
            if not entry.first:
                entry.size = self._usual(entry.counted)
        return lines

    def _moved(self, turn: Turn) -> list[Entry]:
        """Return what is new in a turn but does not stand at the end of the window."""
        if not self.window:
            return []
        return [entry for entry in turn.new if entry.place <= self.window[-1].place]

    def _lost(self, turn: Turn, moved: Sequence[Entry]) -> tuple[int, str]:
        """Return how many tokens of the last request do not stand at the same place any more, and why."""
        if not turn.gone and not moved:
            return 0, ""
        first = min(entry.place for entry in (*turn.gone, *moved))
        behind = sum(entry.size for entry in self.window if entry.place >= first)
        reasons = dict.fromkeys(entry.gone for entry in turn.gone if entry.gone)
        return behind, "; ".join(reasons) or "something was put between what stood there"

    def _stand(self, turn: Turn, moved: Sequence[Entry]) -> None:
        """Keep the window in order; only a turn that changed it anywhere but at its end walks it."""
        if turn.gone:
            gone = set(map(id, turn.gone))
            self.window = [entry for entry in self.window if id(entry) not in gone]
        self.window += turn.new
        if moved:
            self.window.sort(key=lambda entry: entry.place)

    def _leave(self, entries: Iterable[Entry]) -> None:
        self.held -= sum(entry.size for entry in entries)

    def _enter(self, turn: Turn) -> None:
        """Give what is new its size."""
        new: list[tuple[int, Entry | str]] = [(entry.counted, entry) for entry in turn.new]
        if turn.number == 1:
            new += [(counted, tool) for tool, counted in self.counted_definitions.items()]
        counted = sum(size for size, _ in new)
        total = self._total(turn, counted)
        sizes: dict[str, int] = {}
        for (_, what), size in zip(new, divide(total, [size for size, _ in new]), strict=True):
            if isinstance(what, Entry):
                what.size = size
                self.held += size
            else:
                sizes[what] = size
                self.definitions += size
        if sizes:
            self.agent.tool_sizes = sizes

    def _total(self, turn: Turn, counted: int) -> int:
        """Return the tokens of all that is new in a turn."""
        if turn.reported is None:
            return self._usual(counted)
        known = turn.reported - self.definitions - self.held - self.residual
        usual = self._usual(counted)
        low, high = _PLAUSIBLE
        fits = abs(known - usual) <= _SMALL or low * usual <= known <= high * usual
        if known < 0 or (counted == 0 and known > 0) or not fits:
            return usual
        self.counted += counted
        self.known += known
        return known

    def _usual(self, counted: int) -> int:
        return round(counted * (self.known / self.counted if self.counted and self.known else self.usual))


def _usual_ratio(agent: AgentRecord) -> float:
    """Return how many tokens a provider reports for one of ours, as the turns after the first tell; 1 if none do."""
    ratios: list[float] = []
    for before, turn in pairwise(agent.turns):
        counted = sum(entry.counted for entry in turn.new)
        if before.reported is None or turn.reported is None or turn.gone or counted < _SMALL:
            continue
        ratios.append(max(0, turn.reported - before.reported) / counted)
    return median(ratios) if ratios else 1.0


class CacheReads:
    """How much of each entry came from a cache, which gives the beginning of a request."""

    def __init__(self) -> None:
        self._whole: dict[int, int] = defaultdict(int)
        """In how many requests all of it came from there, by number; the definitions are -1."""
        self._partly: dict[int, list[int]] = defaultdict(list)
        """How many tokens of it in each other request."""

    def take(self, reads: Sequence[int], definitions: int, window: Sequence[Entry]) -> None:
        """Take requests into account between which the window only grew at its end, to what it is now."""
        if not any(reads):
            return
        numbers = [-1, *(entry.number for entry in window)]
        ends = list(accumulate((entry.size for entry in window), initial=definitions))
        covered = [0] * (len(ends) + 1)
        for read in reads:
            position = bisect_right(ends, read)
            covered[position] += 1
            if position < len(ends):
                begin = ends[position - 1] if position else 0
                self._partly[numbers[position]].append(read - begin)
        times = len(reads)
        for position, number in enumerate(numbers):
            times -= covered[position]
            self._whole[number] += times

    def of(self, number: int, sizes: Sequence[int]) -> list[int]:
        """Return the token-turns that came from a cache of each piece of an entry."""
        whole = self._whole.get(number, 0)
        cached = [size * whole for size in sizes]
        for read in self._partly.get(number, ()):
            for index, size in enumerate(sizes):
                part = min(size, read)
                cached[index] += part
                read -= part
        return cached


def divide(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to `weights`, to the last token.

    What rounding leaves goes to the largest remainders. Weights that are all 0 count as equal.
    """
    if len(weights) < 2:
        return [total] * len(weights)
    whole = sum(weights)
    if whole == 0:
        weights, whole = [1] * len(weights), len(weights)
    exact = [total * weight / whole for weight in weights]
    shares = [math.floor(share) for share in exact]
    left = total - sum(shares)
    if left:
        by_remainder = sorted(range(len(weights)), key=lambda index: shares[index] - exact[index])
        for index in by_remainder[:left]:
            shares[index] += 1
    return shares

"""The ledger: every token of every request, by where it came from.

Providers report one number for a whole request. What entered the window between two requests is the
difference of two such numbers, so that sum is known and only its division among the new entries is ours,
in proportion to our count of each. Where a difference is out of all proportion to what came in (a cache
that is not counted, thinking that was dropped, definitions that the trace does not show), new entries get
what is usual for the agent run, and the rest is the turn's residual: shown, and carried until another
difference takes it back. Parts and residual of a turn always add up to the number reported; where none was,
to our count.

A record holds what a call cost, not what a token costs, so a turn's cost is divided by tokens, input and
output alike. What the cache gave is counted from the front, where caches begin.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from statistics import median

from harness.models.tokens import estimate
from harness.record.building import definition_tokens
from harness.record.run import AgentRecord, Aside, Entry, Kind, RunRecord, Turn
from harness.record.uses import Uses

_PLAUSIBLE = (1 / 3, 3.0)
"""How far new entries may be from what is usual for the agent run before the rest is called a residual."""

_SMALL = 24
"""Tokens below which a difference is taken as it is: formats cost a few tokens whatever the text."""


@dataclass(slots=True)
class DefinitionLine:
    """A tool's definition in the requests of one agent run."""

    agent: str
    tool: str
    server: str
    size: int
    """Tokens in each request."""
    sent: int
    calls: int
    """How often the agent called it."""
    cost: float | None
    """USD of sending it, over all requests; None where prices or usage are unknown."""
    cached: int
    """Token-turns of it that the provider read from its cache."""

    @property
    def token_turns(self) -> int:
        """Its tokens, over all requests."""
        return self.size * self.sent


@dataclass(slots=True)
class Line:
    """One piece of one entry: what it was, how large, how often it was sent."""

    entry: Entry
    kind: Kind
    label: str
    size: int
    """Tokens, calibrated."""
    cost: float | None
    """USD of sending it, over all requests; None where prices or usage are unknown."""
    cached: int
    """Token-turns of it that the provider read from its cache, counted from the front of each request."""

    @property
    def token_turns(self) -> int:
        """Its tokens, over all requests."""
        return self.size * self.entry.sent


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


@dataclass
class Ledger:
    """All requests of one run, attributed."""

    record: RunRecord
    lines: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    """By agent path, in the order in which entries came."""
    definitions: dict[str, list[DefinitionLine]] = field(default_factory=dict[str, list[DefinitionLine]])
    turns: dict[str, list[TurnLine]] = field(default_factory=dict[str, list[TurnLine]])

    def parts(self, agent: str, turn: int) -> dict[tuple[Kind, str], int]:
        """Return the tokens of one request by kind and label; with the residual they add up to its total."""
        parts: dict[tuple[Kind, str], int] = defaultdict(int)
        for definition in self.definitions[agent]:
            parts["tool_definition", definition.tool] += definition.size
        for line in self.lines[agent]:
            if line.entry.first and line.entry.first <= turn <= line.entry.last:
                parts[line.kind, line.label] += line.size
        return dict(parts)

    def by_kind(self) -> dict[Kind, int]:
        """Return the token-turns of the whole run by kind."""
        sums: dict[Kind, int] = defaultdict(int)
        for kind, _, tokens in self._token_turns():
            sums[kind] += tokens
        return dict(sums)

    def by_server(self) -> dict[str, int]:
        """Return the token-turns that each MCP server took: its definitions, the calls to it and their results."""
        sums: dict[str, int] = defaultdict(int)
        for kind, label, tokens in self._token_turns():
            if kind in ("tool_definition", "call", "result") and server_of(label):
                sums[server_of(label)] += tokens
        return dict(sums)

    def _token_turns(self) -> Iterable[tuple[Kind, str, int]]:
        for lines in self.lines.values():
            yield from ((line.kind, line.label, line.token_turns) for line in lines)
        for definitions in self.definitions.values():
            yield from (("tool_definition", line.tool, line.token_turns) for line in definitions)

    def used_in(self, entry: Entry) -> tuple[int, ...]:
        """Return the turns whose replies hold something that an entry was the first to bring into its window."""
        if entry.agent not in self._uses:
            self._uses[entry.agent] = Uses(self.record.agents[entry.agent])
        return tuple(dict.fromkeys(use.by.turn for use in self._uses[entry.agent].of(entry)))

    @cached_property
    def _uses(self) -> dict[str, Uses]:
        return {}

    @property
    def asides(self) -> list[Aside]:
        """Requests beside the turns: what summaries and lost calls took."""
        return [aside for agent in self.record.agents.values() for aside in agent.asides]

    @property
    def cost(self) -> float | None:
        """USD of the run; None where the price of a call is not known."""
        costs = [turn.cost for turn in self.record.turns() if turn.reply or turn.cost is not None]
        costs += [aside.cost for aside in self.asides]
        known = [cost for cost in costs if cost is not None]
        return math.fsum(known) if len(known) == len(costs) else None

    @cached_property
    def sent(self) -> int:
        """Tokens of all requests together."""
        return sum(line.total for lines in self.turns.values() for line in lines)

    @property
    def residual(self) -> int:
        """Token-turns that no part accounts for, whatever their sign."""
        return sum(abs(line.residual) for lines in self.turns.values() for line in lines)

    @property
    def resend_factor(self) -> float:
        """How often a token was sent on average: tokens of all requests over tokens that were ever new."""
        new = sum(
            entry.size for agent in self.record.agents.values() for entry in agent.entries if entry.sent
        )
        new += sum(line.size for lines in self.definitions.values() for line in lines)
        return self.sent / new if new else 0.0


def keep_ledger(record: RunRecord, *, count: Callable[[str], int] = estimate) -> Ledger:
    """Attribute every request of a run; sets `size` of its entries.

    Time is linear in the number of entries and turns, not in the sizes of the windows.
    """
    ledger = Ledger(record)
    for path, agent in record.agents.items():
        calibration = _Calibration(agent, _counted_definitions(agent, count))
        turns = ledger.turns[path] = calibration.run()
        prices = _Prices(agent, turns)
        ledger.definitions[path] = _definition_lines(agent, prices, calibration.reads)
        ledger.lines[path] = _lines(agent, prices, calibration.reads)
    return ledger


def _counted_definitions(agent: AgentRecord, count: Callable[[str], int]) -> dict[str, int]:
    """Return our count of each definition; together what the first request had beyond its entries, if we know."""
    sizes = {tool.name: definition_tokens(tool, count) for tool in agent.tools or ()}
    first = agent.turns[0] if agent.turns else None
    if first is None or not first.counted:
        return sizes
    whole = max(0, first.counted - sum(entry.counted for entry in first.new))
    return dict(zip(sizes, divide(whole, list(sizes.values())), strict=True))


class _Calibration:
    """Walks the turns of one agent and gives every entry its size."""

    def __init__(self, agent: AgentRecord, definitions: dict[str, int]) -> None:
        self.agent = agent
        self.counted_definitions = definitions
        self.definitions = 0
        self.held = 0
        """Sizes of all entries that the request holds."""
        self.window: list[Entry] = []
        """These entries, in order."""
        self.reads = _CacheReads()
        self.residual = 0
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
            total = parts if turn.reported is None else turn.reported
            self.residual = total - parts
            reads.append(min(turn.cached or 0, parts))
            prefix = 0 if turn.number == 1 else max(0, before - lost)
            lines.append(TurnLine(turn, total, self.definitions, self.held, self.residual, prefix, why))
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


class _CacheReads:
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
        cached = [size * self._whole[number] for size in sizes]
        for read in self._partly[number]:
            for index, size in enumerate(sizes):
                part = min(size, read)
                cached[index] += part
                read -= part
        return cached


class _Prices:
    """What sending cost, over the turns of an agent run."""

    def __init__(self, agent: AgentRecord, turns: Sequence[TurnLine]) -> None:
        self.priced = all(turn.cost is not None for turn in agent.turns if turn.reply) and bool(agent.turns)
        self._rate = list(accumulate((line.rate for line in turns), initial=0.0))
        """USD per token of input, summed over the turns up to each."""

    def cost(self, size: int, first: int, last: int) -> float | None:
        """Return the USD of sending `size` tokens in every request from the first to the last; 0 is none."""
        if not self.priced:
            return None
        return size * (self._rate[last] - self._rate[first - 1]) if first else 0.0


def _lines(agent: AgentRecord, prices: _Prices, reads: _CacheReads) -> list[Line]:
    lines: list[Line] = []
    for entry in agent.entries:
        sizes = divide(entry.size, [piece.weight for piece in entry.pieces])
        cached = reads.of(entry.number, sizes)
        for piece, size, read in zip(entry.pieces, sizes, cached, strict=True):
            cost = prices.cost(size, entry.first, entry.last)
            lines.append(Line(entry, piece.kind, piece.label, size, cost, read))
    return lines


def _definition_lines(agent: AgentRecord, prices: _Prices, reads: _CacheReads) -> list[DefinitionLine]:
    calls = Counter(call.tool for call in agent.calls())
    sent = len(agent.turns)
    sizes = agent.tool_sizes or dict.fromkeys((tool.name for tool in agent.tools or ()), 0)
    cached = reads.of(-1, list(sizes.values()))
    return [
        DefinitionLine(
            agent.path,
            tool,
            server_of(tool),
            size,
            sent,
            calls[tool],
            prices.cost(size, min(1, sent), sent),
            read,
        )
        for (tool, size), read in zip(sizes.items(), cached, strict=True)
    ]


def server_of(tool: str) -> str:
    """Return the MCP server of a tool; empty for tools of the program itself."""
    return tool.partition(".")[0] if "." in tool else ""


def divide(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to `weights`, to the last token.

    What rounding leaves goes to the largest remainders. Weights that are all 0 count as equal.
    """
    if not weights:
        return []
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

"""The ledger: every token of every request, by where it came from.

Providers report one number for a whole request. What entered the window between two requests is the
difference of two such numbers, so that sum is known and only its division among the new entries is ours,
in proportion to our count of each. Where a difference is out of all proportion to what came in (a cache
that is not counted, thinking that was dropped, something the trace does not show), new entries get what is
usual for the run, and the rest is the turn's residual: shown, and carried until another difference takes
it back. Parts and residual of a turn always add up to the number reported; where none was, to our count.

Costs are divided in the same way: a request's input price by tokens, what the cache gave counted from the
front, where caches begin.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from harness.messages import ToolDefinition
from harness.models.tokens import estimate
from harness.record.building import definition_tokens
from harness.record.run import AgentRecord, Entry, Kind, RunRecord, Turn

_PLAUSIBLE = (1 / 3, 3.0)
"""How far new entries may be from what is usual for the run before the rest is called a residual."""

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
        for lines in self.lines.values():
            for line in lines:
                sums[line.kind] += line.token_turns
        for definitions in self.definitions.values():
            sums["tool_definition"] += sum(line.token_turns for line in definitions)
        return dict(sums)

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
        sizes = {tool.name: definition_tokens(tool, count) for tool in agent.tools or ()}
        ledger.turns[path] = _Calibration(agent, sizes).run()
        ledger.definitions[path] = _definition_lines(agent)
        ledger.lines[path] = _lines(agent, _Prices(agent, ledger.turns[path]))
    return ledger


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
        self.residual = 0
        self.counted = self.known = 0
        """Our count and the true one of all that has been calibrated; their ratio is what is usual."""

    def run(self) -> list[TurnLine]:
        lines: list[TurnLine] = []
        for turn in self.agent.turns:
            before = self.definitions + self.held
            lost, why = self._lost(turn)
            self._leave(turn.gone)
            self._enter(turn)
            self._stand(turn)
            total = turn.reported
            if total is None:
                total = self.definitions + self.held
                self.residual = 0
            else:
                self.residual = total - self.definitions - self.held
            prefix = 0 if turn.number == 1 else max(0, before - lost)
            parts = self.definitions, self.held, self.residual
            lines.append(TurnLine(turn, total, *parts, prefix, why))
        for entry in self.agent.entries:
            if not entry.first:
                entry.size = self._usual(entry.counted)
        return lines

    def _lost(self, turn: Turn) -> tuple[int, str]:
        """Return how many tokens of the last request do not stand at the same place any more, and why."""
        moved = [entry for entry in turn.new if entry.place != entry.number]
        if not turn.gone and not moved:
            return 0, ""
        first = min(entry.place for entry in (*turn.gone, *moved))
        behind = sum(entry.size for entry in self.window if entry.place >= first)
        reasons = dict.fromkeys(entry.gone for entry in turn.gone if entry.gone)
        return behind, "; ".join(reasons) or "something was put between what stood there"

    def _stand(self, turn: Turn) -> None:
        """Keep the window in order; only a turn that changed it anywhere but at its end walks it."""
        if turn.gone:
            gone = set(map(id, turn.gone))
            self.window = [entry for entry in self.window if id(entry) not in gone]
        self.window += turn.new
        if any(entry.place != entry.number for entry in turn.new):
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
        if known < 0 or (counted == 0 and known > 0) or not (fits or turn.number == 1):
            return usual
        self.counted += counted
        self.known += known
        return known

    def _usual(self, counted: int) -> int:
        return round(counted * self.known / self.counted) if self.counted and self.known else counted


class _Prices:
    """What sending cost: USD and cached token-turns of any stretch of a request, over its turns."""

    def __init__(self, agent: AgentRecord, turns: Sequence[TurnLine]) -> None:
        self.priced = all(turn.cost is not None for turn in agent.turns if turn.reply) and bool(agent.turns)
        self._rate: list[float] = [0.0]
        """USD per token of input, summed over the turns up to each."""
        self._cached = [line.turn.cached or 0 for line in turns]
        for line in turns:
            turn = line.turn
            whole = line.total + (turn.output or 0)
            rate = (turn.cost or 0.0) / whole if whole else 0.0
            self._rate.append(self._rate[-1] + rate)

    def cost(self, entry: Entry, size: int) -> float | None:
        if not self.priced:
            return None
        if not entry.first:
            return 0.0
        return size * (self._rate[entry.last] - self._rate[entry.first - 1])

    def cached(self, sizes: Sequence[int]) -> list[int]:
        """Return how many token-turns of each stretch came from a cache, which begins at the front.

        Stretches stand in the order of the window; what is behind a turn's window is behind its reads too.
        """
        ends = list(accumulate(sizes))
        whole = [0] * (len(sizes) + 1)
        partly = [0] * (len(sizes) + 1)
        for read in self._cached:
            position = bisect_right(ends, read)
            whole[0] += 1
            whole[position] -= 1
            if position < len(ends):
                partly[position] += read - (ends[position - 1] if position else 0)
        return [
            size * times + part for size, times, part in zip(sizes, accumulate(whole), partly, strict=False)
        ]


def _lines(agent: AgentRecord, prices: _Prices) -> list[Line]:
    pieces = [
        (entry, piece, size)
        for entry in agent.entries
        for piece, size in zip(
            entry.pieces, divide(entry.size, [piece.weight for piece in entry.pieces]), strict=True
        )
    ]
    cached = prices.cached([sum(agent.tool_sizes.values()), *(size for _, _, size in pieces)])[1:]
    return [
        Line(entry, piece.kind, piece.label, size, prices.cost(entry, size), read)
        for (entry, piece, size), read in zip(pieces, cached, strict=True)
    ]


def _definition_lines(agent: AgentRecord) -> list[DefinitionLine]:
    calls: dict[str, int] = defaultdict(int)
    for call in agent.calls():
        calls[call.tool] += 1
    return [
        DefinitionLine(
            agent.path,
            tool.name,
            _server(tool),
            agent.tool_sizes.get(tool.name, 0),
            len(agent.turns),
            calls[tool.name],
        )
        for tool in agent.tools or ()
    ]


def _server(tool: ToolDefinition) -> str:
    return tool.name.partition(".")[0] if "." in tool.name else ""


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

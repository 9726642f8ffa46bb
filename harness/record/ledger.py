"""The ledger: every token of every request, by where it came from.

Providers report one number for a whole request. What entered the window between two requests is the
difference of two such numbers, so that sum is known and only its division among the new entries is ours,
in proportion to our count of each. Where a difference is out of all proportion to what came in (a cache
that is not counted, thinking that was dropped, definitions that the trace does not show), new entries get
what is usual for the agent run, and the rest is the turn's residual: shown, and carried until another
difference takes it back. Parts and residual of a turn always add up to the number reported; where none was,
to our count.

What the cache gave is counted from the front, where caches begin. Where a price of the team file explains what
every turn of an agent run cost, entries cost what it says; otherwise a turn's cost is divided by tokens, input
and output alike.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

from harness.messages import Usage
from harness.models.port import Price
from harness.models.tokens import estimate
from harness.record.calibration import CacheReads, Calibration, TurnLine, counted_definitions, divide
from harness.record.run import AgentRecord, Aside, Entry, Kind, RunRecord
from harness.record.uses import Uses


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
        for path, lines in self.lines.items():
            for line in lines:
                yield line.kind, line.label, line.token_turns
            for definition in self.definitions[path]:
                yield "tool_definition", definition.tool, definition.token_turns

    def used_in(self, entry: Entry) -> tuple[int, ...]:
        """Return the turns whose replies hold something that an entry was the first to bring into its window."""
        return tuple(dict.fromkeys(use.by.turn for use in self._uses_of(entry).of(entry)))

    def is_used(self, entry: Entry) -> bool:
        """Return whether a later reply holds anything of an entry, even if others had brought it before."""
        return bool(self.used_in(entry)) or self._uses_of(entry).is_used(entry)

    def _uses_of(self, entry: Entry) -> Uses:
        if entry.agent not in self._uses:
            self._uses[entry.agent] = Uses(self.record.agents[entry.agent])
        return self._uses[entry.agent]

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
    known = _known_prices(record.team)
    for path, agent in record.agents.items():
        calibration = Calibration(agent, counted_definitions(agent, count))
        turns = ledger.turns[path] = calibration.run()
        prices = _Prices(agent, turns, known)
        ledger.definitions[path] = _definition_lines(agent, prices, calibration.reads)
        ledger.lines[path] = _lines(agent, prices, calibration.reads)
    return ledger


class _Prices:
    """What sending cost, over the turns of an agent run."""

    def __init__(self, agent: AgentRecord, turns: Sequence[TurnLine], known: Iterable[Price]) -> None:
        self.priced = all(turn.cost is not None for turn in agent.turns if turn.reply) and bool(agent.turns)
        self._price = next((price for price in known if _explains(price, agent)), None)
        self._rate = list(accumulate((line.rate for line in turns), initial=0.0))
        """USD per token of input, summed over the turns up to each."""

    def cost(self, size: int, first: int, last: int, cached: int) -> float | None:
        """Return the USD of sending `size` tokens in every request from the first to the last; 0 is none.

        Args:
            cached: How many of them, over all requests, came from a cache.
        """
        if not self.priced or not first:
            return 0.0 if self.priced else None
        if self._price is not None:
            return self._price.cost(Usage(size * (last - first + 1), cached_tokens=cached))
        return size * (self._rate[last] - self._rate[first - 1])


def _known_prices(team: Mapping[str, Any]) -> list[Price]:
    """Return the prices that stand in a team file."""
    models: Mapping[str, Any] = team.get("models") or {}
    prices: list[Price] = []
    for model in models.values():
        price: Mapping[str, Any] = model.get("price") or {}
        if price and all(isinstance(number, int | float) for number in price.values()):
            prices.append(Price(price.get("input", 0.0), price.get("output", 0.0), price.get("cached")))
    return prices


def _explains(price: Price, agent: AgentRecord) -> bool:
    """Return whether a price is the one by which every turn of an agent was charged."""
    return all(
        turn.reported is not None
        and turn.cost is not None
        and math.isclose(price.cost(Usage(turn.reported, turn.output or 0, turn.cached or 0)), turn.cost)
        for turn in agent.turns
        if turn.reply
    )


def _lines(agent: AgentRecord, prices: _Prices, reads: CacheReads) -> list[Line]:
    lines: list[Line] = []
    for entry in agent.entries:
        sizes = divide(entry.size, [piece.weight for piece in entry.pieces])
        cached = reads.of(entry.number, sizes)
        for piece, size, read in zip(entry.pieces, sizes, cached, strict=True):
            cost = prices.cost(size, entry.first, entry.last, read)
            lines.append(Line(entry, piece.kind, piece.label, size, cost, read))
    return lines


def _definition_lines(agent: AgentRecord, prices: _Prices, reads: CacheReads) -> list[DefinitionLine]:
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
            prices.cost(size, min(1, sent), sent, read),
            read,
        )
        for (tool, size), read in zip(sizes.items(), cached, strict=True)
    ]


def server_of(tool: str) -> str:
    """Return the MCP server of a tool; empty for tools of the program itself."""
    return tool.partition(".")[0] if "." in tool else ""

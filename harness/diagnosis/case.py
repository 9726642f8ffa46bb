"""One run on the doctor's table: the record and what several detectors need of it, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.contracts import Contract
from harness.diagnosis.asked import Asked
from harness.diagnosis.findings import Family, Finding, NotMeasurable
from harness.record import AgentRecord, Call, Entry, Facet, Ledger, Order, RunRecord, Turn, keep_ledger
from harness.record.uses import Uses


class Case:
    """A run and its ledger and causal order."""

    def __init__(
        self, record: RunRecord, *, ledger: Ledger | None = None, contracts: Sequence[Contract] = ()
    ) -> None:
        self.record = record
        self.contracts = tuple(contracts)
        """Contracts on calls to check beside those of the run's own team."""
        self.ledger = ledger or keep_ledger(record)
        self.order = Order(record)

    @cached_property
    def usd_per_token(self) -> float | None:
        """What a token cost on average, sent or written; None where prices are not known."""
        turns = list(self.record.turns())
        costs = [turn.cost for turn in turns if turn.cost is not None]
        tokens = self.ledger.sent + sum(turn.output or 0 for turn in turns)
        return sum(costs) / tokens if len(costs) == len(turns) and tokens else None

    @property
    def calls(self) -> dict[str, Call]:
        """All tool calls by key."""
        return self.record.calls

    def agents(self) -> Iterable[AgentCase]:
        """Yield each agent run with what is known of its window; nothing of it is kept."""
        for agent in self.record.agents.values():
            yield AgentCase(self, agent)


@dataclass(eq=False)
class AgentCase:
    """One agent run of a case."""

    case: Case
    agent: AgentRecord

    @cached_property
    def uses(self) -> Uses:
        """What later replies used of each entry."""
        return Uses(self.agent)

    @cached_property
    def asked(self) -> dict[str, Asked]:
        """What each call asked for, by its key."""
        return {call.key: Asked.by(call) for call in self.agent.calls()}

    @cached_property
    def results(self) -> list[tuple[Call, Entry]]:
        """The calls whose results stood in the window, with these, in order."""
        return [(call, call.entry) for call in self.agent.calls() if call.entry is not None]

    def turn(self, number: int) -> Turn:
        """Return one of its turns, from 1."""
        return self.agent.turns[number - 1]

    def cost(self, entry: Entry, *, since: int = 0) -> int:
        """Return the token-turns of an entry in the requests from turn `since` on."""
        if not entry.first:
            return 0
        return entry.size * max(0, entry.last - max(entry.first, since) + 1)


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of fault and how to find it."""

    name: str
    family: Family
    promise: str
    """What it finds, in one sentence."""
    needs: tuple[Facet, ...]
    """What a source must carry for it to look."""
    in_agent: Callable[[AgentCase], Iterable[Finding]] | None = None
    in_run: Callable[[Case], Iterable[Finding | NotMeasurable]] | None = None
    of_findings: Callable[[Case, Sequence[Finding]], Iterable[Finding]] | None = None
    """Looks at what the others found."""

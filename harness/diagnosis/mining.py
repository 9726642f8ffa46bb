"""Contracts for teams, from the records of their good runs.

Each agent of a team has a scope of its own, all its runs together, and the team one for what different
agents do in order. What came before what is causal, as everywhere here: calls of one turn, and agents
side by side, come in no order, and a contract that depends on one is not proposed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.contracts import NEVER_RAN
from harness.contracts import Call as JudgedCall
from harness.contracts.mining import Mined, Proposal, Scope, Trace, mine
from harness.record import Call, Order, Outcome, RunRecord, judged_call

TEAM = ""
"""The scope of contracts of the whole team."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run that was not mined."""

    run_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Mining:
    """What runs propose, and which runs these were."""

    mined: Mined
    runs: int
    """How many different ones were mined."""
    left_out: tuple[LeftOut, ...]
    """Those that did not end well."""
    repeats: int
    """How many did the same as another one, call for call; they say nothing new."""
    unsaid: int
    """How many of the mined runs do not say how they ended."""

    @property
    def order(self) -> Mapping[str, Sequence[Proposal]]:
        """The proposed contracts by the name of the agent, `TEAM` for the team's own."""
        return self.mined.proposals


def mine_records(
    records: Iterable[RunRecord], *, rate: float = 0.05, least: int = 10, failed_too: bool = False
) -> Mining:
    """Return the contracts that good runs keep and that chance does not explain; see `contracts.mining`.

    Runs, and in good runs the agent runs, that failed or were stopped are left out.

    Args:
        rate: The share of false discoveries to be expected.
        least: In how many runs a contract must have something to say.
        failed_too: Whether runs are taken however they ended.
    """
    traces: dict[str, list[Trace]] = {TEAM: []}
    left_out: list[LeftOut] = []
    seen: set[object] = set()
    given = unsaid = 0
    for record in records:
        if record.outcome in ("failed", "stopped") and not failed_too:
            left_out.append(LeftOut(record.id, record.outcome))
            continue
        given += 1
        of_run = list(_traces(record, failed_too=failed_too))
        likeness = _likeness(record, of_run)
        if likeness in seen:
            continue
        seen.add(likeness)
        unsaid += record.outcome == "unknown"
        for name, trace in of_run:
            traces.setdefault(name, []).append(trace)
    mined = mine(list(_scopes(traces)), rate=rate, least=least)
    return Mining(mined, len(seen), tuple(left_out), given - len(seen), unsaid)


def _traces(record: RunRecord, *, failed_too: bool) -> Iterator[tuple[str, Trace]]:
    """Yield the trace of the team and one for each agent run, with the agent's name."""
    order = Order(record)
    calls = [call for call in order.linear() if call.error_type not in NEVER_RAN]
    yield TEAM, _trace(record, order, calls)
    for path, agent in record.agents.items():
        if agent.status not in ("failed", "partial") or failed_too:
            yield agent.name, _trace(record, order, [call for call in calls if call.agent == path])


def _trace(record: RunRecord, order: Order, calls: Sequence[Call]) -> Trace:
    def before(one: JudgedCall, other: JudgedCall) -> bool:
        return order.before(record.calls[one.key], record.calls[other.key])

    judged = tuple(judged_call(call, ours=record.source == "journal") for call in calls)
    is_linear = all(order.before(one, other) for one, other in zip(calls, calls[1:], strict=False))
    return Trace(record.id, judged, None if is_linear else before)


def _likeness(record: RunRecord, traces: Sequence[tuple[str, Trace]]) -> object:
    """Return what is equal for runs that did the same for the same task, as far as the source tells."""
    (_, team), *_ = traces
    if not record.task and all(call.arguments is None for call in team.calls):
        return record.id
    done = (f"{call.agent}\n{call.tool}\n{call.arguments}" for call in team.calls)
    return record.task, *done


def _scopes(traces: Mapping[str, Sequence[Trace]]) -> Iterator[Scope]:
    agents = {name: of_agent for name, of_agent in traces.items() if name != TEAM}
    for name, of_agent in agents.items():
        yield Scope(name, of_agent)
    if len(agents) > 1:
        callers: dict[str, set[str]] = {}
        for name, of_agent in agents.items():
            for tool in Counter(call.tool for trace in of_agent for call in trace.calls):
                callers.setdefault(tool, set()).add(name)

        def may_pair(one: str, other: str) -> bool:
            return callers.get(one, set()).isdisjoint(callers.get(other, set()))

        yield Scope(TEAM, traces[TEAM], may_pair)

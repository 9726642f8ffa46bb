"""Contracts on the order of tool calls, held against the record of any run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from harness.contracts import NEVER_RAN, Contract, Verdict, check
from harness.contracts import Call as JudgedCall
from harness.record.order import Order
from harness.record.run import Call, RunRecord


@dataclass(frozen=True, slots=True)
class Judged:
    """A contract and what one agent run, or all of them, made of it."""

    contract: Contract
    agent: str
    """Path of the agent run; empty for a contract of the team."""
    verdict: Verdict


def judge_order(
    record: RunRecord,
    team: Sequence[Contract] = (),
    agents: Mapping[str, Sequence[Contract]] | None = None,
    *,
    order: Order | None = None,
) -> Iterator[Judged]:
    """Yield the verdict on each contract, by causes and not by clocks.

    Args:
        team: Contracts over the calls of all agents.
        agents: Contracts over the calls of each run of an agent, by its name.
        order: The causal order of the record, if it was made already.
    """
    order = order or Order(record)
    calls = [call for call in order.linear() if call.error_type not in NEVER_RAN]
    judged = {call.key: judged_call(call, ours=record.ours) for call in calls}

    def before(one: JudgedCall, other: JudgedCall) -> bool:
        return order.before(record.calls[one.key], record.calls[other.key])

    for contract in team:
        verdict = check(contract, [judged[call.key] for call in calls], before)
        yield Judged(contract, "", verdict)
    for path, agent in record.agents.items():
        for contract in (agents or {}).get(agent.name, ()):
            own = [judged[call.key] for call in calls if call.agent == path]
            yield Judged(contract, path, check(contract, own, before))


def judged_call(call: Call, *, ours: bool) -> JudgedCall:
    """Return a call of a record as contracts see it.

    Args:
        ours: Whether bare names are tools of the harness itself, as they are in our own runs.
    """
    result = call.result if call.whole is None else call.whole
    return JudgedCall(
        call.tool,
        _arguments(call.arguments),
        key=call.key,
        agent=call.agent,
        turn=call.turn,
        result=result,
        is_error=call.is_error,
        own=ours and "." not in call.tool,
    )


def _arguments(text: str) -> Mapping[str, Any] | None:
    if not text:
        return None
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else None

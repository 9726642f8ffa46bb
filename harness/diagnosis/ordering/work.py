"""Work given twice, and contracts on the order of calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from harness.contracts import Contract, parse_contract
from harness.diagnosis.case import Case, Detector
from harness.diagnosis.findings import SEVERITIES, Finding, NotMeasurable, Price, Quote, Remedy, Where
from harness.errors import UsageError
from harness.messages import canonical_arguments
from harness.record import AgentRecord, judge_order
from harness.record.values import values_and_words

SAME_BRIEF = 0.6
SAME_CALLS = 0.5


def overlapping_briefs(case: Case) -> Iterable[Finding]:
    """Yield pairs of sub-agents that were told, or did, mostly the same, though neither needs the other."""
    families: dict[str, list[AgentRecord]] = {}
    for agent in case.record.agents.values():
        if agent.parent:
            families.setdefault(agent.parent, []).append(agent)
    for agents in families.values():
        words = _own_words(agents)
        for right in range(1, len(agents)):
            for left in range(max(0, right - 30), right):
                one, other = agents[left], agents[right]
                told = _likeness(words[left], words[right])
                did = _likeness(_requests(one), _requests(other))
                needs = one.path in case.order.preceding(other.path)
                if not needs and (told >= SAME_BRIEF or (did >= SAME_CALLS and len(_requests(one)) >= 3)):
                    yield _overlap(case, one, other, told, did)
                    break


def _own_words(agents: Sequence[AgentRecord]) -> list[set[str]]:
    """Return what each brief says, without what is only the form in which all of them are written."""
    words = [set[str]().union(*values_and_words(agent.brief)) for agent in agents]
    in_how_many = Counter(word for one in words for word in one)
    form = {word for word, briefs in in_how_many.items() if briefs > 2}
    return [one - form for one in words]


def _requests(agent: AgentRecord) -> set[str]:
    return {f"{call.tool} {canonical_arguments(call.arguments)}" for call in agent.calls()}


def _likeness(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0


def _overlap(case: Case, one: AgentRecord, other: AgentRecord, told: float, did: float) -> Finding:
    tokens = sum(line.total for line in case.ledger.turns[other.path])
    return Finding(
        "overlapping-briefs",
        "warning",
        f"{one.path} and {other.path} were told {told:.0%} and did {did:.0%} the same; {other.path} sent {tokens:,} "
        f"tokens",
        Where(
            agent=one.parent,
            calls=tuple(dict.fromkeys(call for call in (other.parent_call, one.parent_call) if call)),
        ),
        evidence=(Quote(one.path, one.brief[:200]), Quote(other.path, other.brief[:200])),
        price=Price(tokens=tokens),
        confidence=round(max(told, did), 2),
        remedy=Remedy(text="give the task once, or say in each brief what the other one does"),
        subject=one.name,
    )


def broken_contracts(case: Case) -> Iterable[Finding | NotMeasurable]:
    """Yield the contracts of the team file, or of whoever asks, that the calls of a run broke.

    A recorded contract that cannot be read, as one that a later version wrote, is said to be not measurable.
    """
    unread: list[NotMeasurable] = []
    team, agents = _contracts(case.record.team, unread)
    yield from unread
    team = [*team, *case.contracts]
    if not team and not any(agents.values()):
        return
    for judged in judge_order(case.record, team, agents, order=case.order):
        contract, verdict = judged.contract, judged.verdict
        for breach in verdict.breaches:
            culprits = [one for one in (breach.call, *breach.others) if one is not None]
            first = case.calls.get(culprits[0].key) if culprits else None
            agent = first.agent if first else judged.agent or next(iter(case.record.agents))
            yield Finding(
                "order-contract",
                contract.severity if breach.certain else "info",
                f"`{contract.text}` is {'broken' if breach.certain else 'possibly broken'}: {breach.missing}",
                Where(
                    agent=agent,
                    turns=(first.turn,) if first else (),
                    calls=tuple(one.key for one in culprits),
                ),
                evidence=tuple(
                    Quote(one.key, f"{one.tool} {case.calls[one.key].arguments[:160]}")
                    for one in culprits[:3]
                    if one.key in case.calls
                ),
                price=Price(action=f"{culprits[0].tool}" if culprits else ""),
                confidence=1.0 if breach.certain else 0.5,
                remedy=Remedy(text=contract.because or contract.meaning),
                subject=contract.text,
            )


def _contracts(
    team: Mapping[str, Any], unread: list[NotMeasurable]
) -> tuple[list[Contract], dict[str, list[Contract]]]:
    """Return the contracts of a recorded team and of its agents; those that cannot be read go to `unread`."""
    named = {
        name: list(_parsed(_mapping(agent).get("order"), f"agents.{name}.order", unread))
        for name, agent in _mapping(team.get("agents")).items()
    }
    return list(_parsed(team.get("order"), "order", unread)), named


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _parsed(rules: object, place: str, unread: list[NotMeasurable]) -> Iterable[Contract]:
    for number, rule in enumerate(cast("Sequence[object]", rules) if isinstance(rules, list) else ()):
        fields = {"rule": rule} if isinstance(rule, str) else _mapping(rule)
        text, severity = str(fields.get("rule", "")), fields.get("severity", "error")
        try:
            if severity not in SEVERITIES:
                raise UsageError(f"there is no severity {severity!r}")
            yield parse_contract(text, because=str(fields.get("because", "")), severity=severity)
        except UsageError as error:
            why = f"`{text[:60]}`, {place}[{number}] of the recorded team, cannot be read: {error}"
            unread.append(NotMeasurable("order-contract", why=why))


WORK = (
    Detector(
        "order-contract",
        "order",
        "Contracts on the order of calls that were broken.",
        (),
        in_run=broken_contracts,
    ),
    Detector(
        "overlapping-briefs",
        "order",
        "Sub-agents that were told, or did, the same.",
        ("agents",),
        in_run=overlapping_briefs,
    ),
)

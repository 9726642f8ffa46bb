"""Failure attribution: where a run that did not come to its goal first went wrong.

Suspects are places that speak for themselves: other findings that led to a wrong action or broke a
contract, calls that failed and were never made good, sub-agents that failed, models that gave no answer; and,
where a benchmark says which changes would have been right, the first that was another one.
A suspect is traced back along what it rests on: the failing call's arguments to the turn that first held
the value nobody had observed, a failed agent run to its own first suspect. Those that ended the run weigh
more than those that were passed over, and of equals the one that all others came after is the origin.
A run that failed without leaving such a place gets no finding: a guess would be worth less than none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.diagnosis.case import Case, Detector
from harness.diagnosis.findings import Finding, Price, Quote, Remedy, Where
from harness.diagnosis.reference import departure
from harness.messages import canonical_arguments
from harness.record import AgentRecord, Call, Turn
from harness.record.uses import Uses
from harness.record.values import argument_values, is_distinctive

_MOST_SUSPECTS = 5
_QUOTED = 240

_ENDED_RUN = 0.3
"""How much more a place weighs whose agent run failed, or whose failure was the last thing it did."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place where the run may have gone wrong."""

    agent: str
    turn: int
    why: str
    weight: float
    chain: tuple[Quote, ...]
    call: str = ""


def attribute(case: Case, findings: Sequence[Finding]) -> Iterable[Finding]:
    """Yield at most one finding: where a failed run first went wrong, with the places that come next."""
    record = case.record
    failed = [agent for agent in record.agents.values() if agent.status == "failed" or agent.error]
    if record.outcome not in ("failed", "stopped") and not failed:
        return
    if record.outcome == "done" and all(agent.parent for agent in failed):
        # The run came to its goal without them; their failures are findings of their own.
        return
    suspects = _ranked(
        case, [*_from_findings(findings), *_from_calls(case), *_from_agents(case), *_from_reference(case)]
    )
    if not suspects:
        return
    first = suspects[0]
    others = "".join(
        f"; next {one.agent} turn {one.turn} ({one.weight:.0%}): {one.why}"
        for one in suspects[1:_MOST_SUSPECTS]
    )
    yield Finding(
        "failure-origin",
        "error",
        f"the run {_ended(case)}; it first went wrong in {first.agent}, turn {first.turn}: {first.why}{others}",
        Where(
            agent=first.agent,
            turns=(first.turn,) if first.turn else (),
            calls=(first.call,) if first.call else (),
        ),
        evidence=tuple(quote for suspect in suspects[:_MOST_SUSPECTS] for quote in suspect.chain)[:8],
        price=Price(turns=_turns_since(case, first), action=record.error or first.why),
        confidence=round(min(0.95, first.weight), 2),
        remedy=Remedy(
            text=f"fork the run before it and change one thing: harness fork {record.id} "
            f"--at {first.agent}/turn-{max(1, first.turn)} …"
            if record.source == "journal"
            else "look at this turn first; what comes after it rests on it"
        ),
        subject=first.why.partition(":")[0],
    )


def _from_findings(findings: Sequence[Finding]) -> Iterable[Suspect]:
    for finding in findings:
        if finding.severity != "error" or not finding.where.turns:
            continue
        chain = finding.evidence[:3] or (Quote(finding.where.agent, finding.what[:_QUOTED]),)
        call = finding.where.calls[0] if finding.where.calls else ""
        yield Suspect(
            finding.where.agent,
            min(finding.where.turns),
            f"{finding.detector}: {finding.what}",
            0.75 * finding.confidence,
            chain,
            call,
        )


def _from_calls(case: Case) -> Iterable[Suspect]:
    """Yield the calls that failed and were never made good, traced back to where their arguments came from."""
    for agent in case.record.agents.values():
        calls = list(agent.calls())
        if not any(call.is_error for call in calls):
            continue
        succeeded: dict[str, int] = {}
        for call in calls:
            if not call.is_error:
                succeeded[call.tool] = call.turn
        groups: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            if call.is_error and succeeded.get(call.tool, 0) < call.turn:
                groups[call.tool].append(call)
        for tool, failures in groups.items():
            yield _traced(agent, tool, failures)


def _traced(agent: AgentRecord, tool: str, failures: list[Call]) -> Suspect:
    """Return the suspect behind calls of one tool that kept failing."""
    first = failures[0]
    again = sum(
        canonical_arguments(call.arguments) == canonical_arguments(first.arguments) for call in failures
    )
    quotes = [Quote(first.key, (first.result or "")[:_QUOTED])]
    turn, why = first.turn, f"{tool} failed and was never made good"
    if len(failures) > 1:
        why += f" in {len(failures)} attempts" + (f", {again} of them the same" if again > 1 else "")
    uses = Uses(agent)
    for path, value in argument_values(first.arguments).items():
        source = uses.introduced.get(value) if is_distinctive(value) else None
        if source is not None and source.message.role == "assistant" and 0 < source.turn <= turn:
            turn, why = source.turn, f"{why}; its {path} {value!r} stands in nothing that was observed"
            quotes.insert(0, Quote(source.id, _around(source.text, value)))
            break
    is_last = agent.turns[-1].number - failures[-1].turn <= 1
    return Suspect(agent.path, turn, why, 0.5 + (_ENDED_RUN if is_last else 0.0), tuple(quotes), first.key)


def _from_agents(case: Case) -> Iterable[Suspect]:
    """Yield the agent runs that failed without a call to blame, and the models that gave no answer."""
    for agent in case.record.agents.values():
        for turn in agent.turns:
            if turn.error and turn.reply is None:
                quote = Quote(turn.id, turn.error[:_QUOTED])
                yield Suspect(
                    agent.path, turn.number, f"the model gave no answer: {turn.error}", 0.8, (quote,)
                )
        if agent.error and not any(turn.error for turn in agent.turns):
            number = agent.turns[-1].number if agent.turns else 0
            quote = Quote(f"{agent.path}/turn-{number}", agent.error[:_QUOTED])
            yield Suspect(agent.path, number, f"the agent run failed: {agent.error}", 0.6, (quote,))


def _from_reference(case: Case) -> Iterable[Suspect]:
    """Yield where the run left the actions of its task's reference."""
    left = departure(case.record)
    if left is not None:
        weight = 0.85 if left.call else 0.7
        yield Suspect(left.agent, left.turn, left.why, weight, left.evidence, left.call)


def _ranked(case: Case, suspects: Iterable[Suspect]) -> list[Suspect]:
    """Return the suspects by weight; of nearly equal ones those that others came after are first."""
    best: dict[tuple[str, int], Suspect] = {}
    for suspect in suspects:
        place = suspect.agent, suspect.turn
        weighed = _with_agent(case, suspect)
        known = best.get(place)
        best[place] = weighed if known is None else _joined(case, known, weighed)
    positions = {turn.id: number for number, turn in enumerate(_turns_in_order(case))}

    def rank(suspect: Suspect) -> tuple[float, int]:
        return -round(suspect.weight * 4) / 4, positions.get(f"{suspect.agent}/turn-{suspect.turn}", 0)

    return sorted(best.values(), key=rank)


def _joined(case: Case, one: Suspect, other: Suspect) -> Suspect:
    """Return one suspect for two of one place: the call that came first, with the weight of the graver one."""
    calls = case.calls
    if one.call in calls and other.call in calls and calls[one.call].turn != calls[other.call].turn:
        first = min(one, other, key=lambda suspect: calls[suspect.call].turn)
        return replace(first, weight=max(one.weight, other.weight))
    return max(one, other, key=lambda suspect: suspect.weight)


def _with_agent(case: Case, suspect: Suspect) -> Suspect:
    """Let a place weigh more whose agent run, and all it works for, came to nothing."""
    agent = case.record.agents.get(suspect.agent)
    weight = suspect.weight
    if agent is not None and agent.status == "failed" and agent.parent:
        weight = min(0.95, weight + 0.1)
    if agent is not None and agent.status in ("done", "partial") and agent.parent:
        weight *= 0.6
    return replace(suspect, weight=weight)


def _turns_in_order(case: Case) -> Iterable[Turn]:
    """Yield all turns in an order that keeps to causes: a sub-agent's turns after the turn that asked for it."""
    agents = case.record.agents
    below: dict[str, list[AgentRecord]] = defaultdict(list)
    for agent in agents.values():
        below[agent.parent if agent.parent in agents else ""].append(agent)
    stack = [(agent, 0) for agent in reversed(below[""])]
    while stack:
        agent, position = stack.pop()
        if position >= len(agent.turns):
            continue
        turn = agent.turns[position]
        yield turn
        stack.append((agent, position + 1))
        keys = {call.key for call in turn.calls}
        asked = [
            one
            for one in below[agent.path]
            if one.parent_call in keys or (not one.parent_call and position == 0)
        ]
        stack += [(one, 0) for one in reversed(asked)]


def _turns_since(case: Case, suspect: Suspect) -> int:
    agent = case.record.agents.get(suspect.agent)
    return len(agent.turns) - suspect.turn if agent else 0


def _ended(case: Case) -> str:
    return "was stopped" if case.record.outcome == "stopped" else "failed"


def _around(text: str, value: str) -> str:
    position = max(0, text.find(value) - 80)
    return text[position : position + _QUOTED]


ATTRIBUTION: tuple[Detector, ...] = (
    Detector(
        "failure-origin",
        "failure",
        "The agent and turn where a failed run first went wrong, ranked, with the chain of evidence.",
        ("results",),
        of_findings=attribute,
    ),
)

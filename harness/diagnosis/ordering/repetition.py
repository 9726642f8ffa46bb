"""Calls made again and again, and calls made one after another that could have been made together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.diagnosis.case import AgentCase, Detector
from harness.diagnosis.findings import Finding, Price, Quote, Remedy, Where
from harness.diagnosis.weighing import change, changes_state, quote_call, weight
from harness.record import Call, Turn
from harness.record.effects import access_of
from harness.record.values import values_and_words

LOOP_CALLS = 3
LONGEST_CYCLE = 6
CYCLE_ROUNDS = 3
SERIALISED_CALLS = 3


def _signature(case: AgentCase, call: Call) -> tuple[str, str, str]:
    return *case.asked[call.key].request, call.result or ""


def loops(case: AgentCase) -> Iterable[Finding]:
    """Yield calls that were made at least three times with the same result, nothing having changed between."""
    runs: dict[tuple[str, str, str], list[Call]] = {}
    for call in case.agent.calls():
        signature = _signature(case, call)
        if changes_state(call):
            # Whatever it changed, the others may find something else now.
            for other in [one for one in runs if one != signature]:
                yield from _loop(case, runs.pop(other))
        runs.setdefault(signature, []).append(call)
    for calls in runs.values():
        yield from _loop(case, calls)


def _loop(case: AgentCase, calls: list[Call]) -> Iterable[Finding]:
    if len(calls) < LOOP_CALLS:
        return
    lost = calls[1:]
    tokens = _tokens_of_turns(case, {call.turn for call in lost})
    first = calls[0]
    yield Finding(
        "loop",
        "warning",
        f"{first.tool} was called {len(calls)} times with the same arguments and the same result, and nothing had "
        f"changed between",
        Where(
            agent=case.agent.path,
            turns=tuple(dict.fromkeys(call.turn for call in calls)),
            calls=tuple(call.key for call in calls),
        ),
        evidence=(quote_call(first), Quote(first.key, (first.result or "")[:200])),
        price=Price(tokens=tokens, turns=len({call.turn for call in lost})),
        remedy=Remedy(
            text="refuse identical calls",
            patch=change(case, "order", ["at most 2 identical calls"]),
        ),
        subject=f"{first.tool} {first.arguments}",
    )


def cycles(case: AgentCase) -> Iterable[Finding]:
    """Yield sequences of two to six calls that were gone through three times with the same results."""
    calls = list(case.agent.calls())
    signatures = [_signature(case, call) for call in calls]
    free = 0
    for length in range(2, LONGEST_CYCLE + 1):
        run = 0
        for position in range(length, len(calls) + 1):
            if position < len(calls) and signatures[position] == signatures[position - length]:
                run += 1
                continue
            start = position - run - length
            if run >= length * (CYCLE_ROUNDS - 1) and start >= free:
                within = signatures[start : start + length]
                if len(set(within)) > 1 and not _is_shorter_cycle(within):
                    free = position
                    yield _cycle(case, calls[start:position], length)
            run = 0


def _is_shorter_cycle(signatures: Sequence[tuple[str, str, str]]) -> bool:
    size = len(signatures)
    return any(
        size % length == 0 and all(signatures[at] == signatures[at % length] for at in range(size))
        for length in range(1, size)
    )


def _cycle(case: AgentCase, calls: list[Call], length: int) -> Finding:
    lost = {call.turn for call in calls[length:]}
    names = " → ".join(call.tool for call in calls[:length])
    return Finding(
        "cycle",
        "warning",
        f"{names} was gone through {len(calls) // length} times with the same results",
        Where(
            agent=case.agent.path,
            turns=tuple(dict.fromkeys(call.turn for call in calls)),
            calls=tuple(call.key for call in calls),
        ),
        evidence=tuple(quote_call(call) for call in calls[:length]),
        price=Price(tokens=_tokens_of_turns(case, lost), turns=len(lost)),
        remedy=Remedy(
            text="refuse identical calls, so that it has to go about it in another way",
            patch=change(case, "order", ["at most 2 identical calls"]),
        ),
        subject=names,
    )


def _tokens_of_turns(case: AgentCase, turns: Iterable[int]) -> int:
    lines = case.case.ledger.turns[case.agent.path]
    return sum(lines[turn - 1].total for turn in turns)


def serialised_calls(case: AgentCase) -> Iterable[Finding]:
    """Yield reads made in one turn after another although all their arguments were known before the first."""
    chain: list[Turn] = []
    for turn in case.agent.turns:
        if _is_single_read(turn):
            if chain and not _known_before(case, turn, chain[0]):
                yield from _serialised(case, chain)
                chain = []
            chain.append(turn)
        else:
            yield from _serialised(case, chain)
            chain = []
    yield from _serialised(case, chain)


def _is_single_read(turn: Turn) -> bool:
    if len(turn.calls) != 1 or turn.reply is None:
        return False
    call = turn.calls[0]
    return not call.is_error and not call.children and access_of(call) == "read"


def _known_before(case: AgentCase, turn: Turn, first: Turn) -> bool:
    """Return whether all that the arguments of a turn's call say stood in the window before `first` replied."""
    assert first.reply is not None
    call = turn.calls[0]
    leaves = " ".join(case.asked[call.key].values.values())
    if not leaves.strip() or call.tool != first.calls[0].tool:
        return False
    values, words = values_and_words(leaves)
    sources = [case.uses.introduced.get(value) for value in values]
    sources += [case.uses.word_source(word) for word in words]
    return bool(sources) and all(one is not None and one.number < first.reply.number for one in sources)


def _are_pages(case: AgentCase, calls: Iterable[Call]) -> bool:
    """Return whether calls ask for the same and differ in a number only: whether there is a next page, a page tells."""
    asked = {
        tuple((path, value) for path, value in case.asked[call.key].values.items() if not value.isdigit())
        for call in calls
    }
    return len(asked) == 1 and asked != {()}


def _serialised(case: AgentCase, chain: Sequence[Turn]) -> Iterable[Finding]:
    calls = [turn.calls[0] for turn in chain]
    if len(chain) < SERIALISED_CALLS or len({case.asked[call.key].request for call in calls}) < len(calls):
        return
    if _are_pages(case, calls):
        return
    later = chain[1:]
    tokens = _tokens_of_turns(case, (turn.number for turn in later))
    seconds = [
        turn.ended - turn.started for turn in later if turn.started is not None and turn.ended is not None
    ]
    tools = dict.fromkeys(call.tool for call in calls)
    yield Finding(
        "serialised-calls",
        weight(case.case, tokens),
        f"{len(calls)} calls of {', '.join(tools)} were made in {len(chain)} turns; all their arguments were known "
        f"before the first, so one turn would have done",
        Where(
            agent=case.agent.path,
            turns=tuple(turn.number for turn in chain),
            calls=tuple(call.key for call in calls),
        ),
        evidence=tuple(quote_call(call) for call in calls[:4]),
        price=Price(
            tokens=tokens,
            turns=len(later),
            seconds=sum(seconds) if len(seconds) == len(later) else None,
        ),
        confidence=0.8,
        remedy=Remedy(text="say in the instructions that independent reads are to be asked for together"),
        subject=", ".join(tools),
    )


REPETITION = (
    Detector(
        "serialised-calls",
        "order",
        "Independent reads made one after another.",
        ("content", "results"),
        in_agent=serialised_calls,
    ),
    Detector(
        "loop",
        "order",
        "The same call with the same result, again and again.",
        ("results",),
        in_agent=loops,
    ),
    Detector(
        "cycle",
        "order",
        "The same few calls with the same results, round and round.",
        ("results",),
        in_agent=cycles,
    ),
)

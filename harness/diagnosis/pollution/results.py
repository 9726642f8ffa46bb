"""Results of tools that nobody used, that were read twice, that grew old, or that were too large."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from harness.diagnosis.case import AgentCase, Detector
from harness.diagnosis.findings import Finding, Remedy, Where
from harness.diagnosis.weighing import (
    Changes,
    by_request,
    change,
    changes_state,
    price,
    quote,
    several,
    used_share,
    weight,
)
from harness.record import Call, Entry
from harness.record.effects import access_of
from harness.record.values import is_distinctive

UNUSED_TOKENS = 150
UNUSED_WARNING_TOKENS = 1_000
OVERSIZED_TOKENS = 3_000
OVERSIZED_SHARE = 0.25
WELL_USED = 0.15
STALE_TOKENS = 20


def unused_results(case: AgentCase) -> Iterable[Finding]:
    """Yield the results, by tool, that no later reply took anything from.

    A result has to be sent once to be looked at, so only what it cost after that counts. Errors, reports and
    what writes return do not count, nor small results: "no such order" may be enough to go on, and is not repeated.
    """
    last = len(case.agent.turns)
    groups: dict[str, list[tuple[Call, Entry]]] = defaultdict(list)
    for call, entry in case.results:
        is_read = not call.is_error and not call.children and access_of(call) != "write"
        is_old = bool(entry.first) and call.turn < last - 1
        if is_read and is_old and entry.size >= UNUSED_TOKENS and not case.uses.is_used(entry):
            groups[call.tool].append((call, entry))
    for tool, unused in groups.items():
        spent = price(case, [(entry, entry.first + 1) for _, entry in unused])
        large = max(entry.size for _, entry in unused) >= UNUSED_WARNING_TOKENS
        yield Finding(
            "unused-result",
            weight(case.case, spent.tokens or 0) if large else "info",
            f"nothing that came later took anything from {several(len(unused), 'result')} of {tool}, "
            f"{sum(entry.size for _, entry in unused):,} tokens; after the first time that was sent "
            f"{several(sum(entry.sent - 1 for _, entry in unused), 'time')} more",
            Where(
                agent=case.agent.path,
                calls=tuple(call.key for call, _ in unused),
                entries=tuple(entry.id for _, entry in unused),
            ),
            evidence=tuple(quote(entry) for _, entry in unused[:3]),
            price=spent,
            confidence=0.8,
            remedy=Remedy(
                text="clear old results, or ask for less",
                patch=change(case, "context.strategies", ["clear_results"]),
            ),
            subject=tool,
        )


def duplicate_reads(case: AgentCase) -> Iterable[Finding]:
    """Yield reads that brought again what already stood in the window, with no change in between."""
    changes = Changes(case)
    for (tool, _), calls in by_request(case).items():
        again: list[Call] = []
        first = calls[0]
        for call in calls[1:]:
            if _is_repeat(first, call, changes):
                again.append(call)
            else:
                first = call
        entries = [call.entry for call in again if call.entry is not None]
        if not again:
            continue
        spent = price(case, [(entry, entry.first) for entry in entries])
        yield Finding(
            "duplicate-read",
            weight(case.case, spent.tokens or 0),
            f"{tool} was asked {len(again) + 1} times for the same and gave the same, "
            f"while the first result still stood in the window",
            Where(
                agent=case.agent.path,
                turns=tuple(call.turn for call in again),
                calls=tuple(call.key for call in again),
                entries=tuple(entry.id for entry in entries),
            ),
            evidence=tuple(quote(entry) for entry in entries[:2]),
            price=spent,
            remedy=Remedy(
                text="forbid the repetition",
                patch=change(case, "order", ["at most 2 identical calls"]),
            ),
            subject=f"{tool} {calls[0].arguments}",
        )


def _is_repeat(first: Call, again: Call, changes: Changes) -> bool:
    held = first.entry is not None and first.entry.last >= again.turn > first.turn
    same = first.result == again.result and not again.is_error and not changes_state(again)
    return held and same and not changes.between(first, first.turn, again.turn)


def superseded_results(case: AgentCase) -> Iterable[Finding]:
    """Yield results that were still sent after a newer result of the same request had come."""
    for old, new in _superseded(case):
        assert old.entry is not None
        since = new.turn + 1
        if old.entry.size < STALE_TOKENS or old.entry.last < since:
            continue
        spent = price(case, [(old.entry, since)])
        yield Finding(
            "superseded-result",
            weight(case.case, spent.tokens or 0),
            f"a result of {old.tool} from turn {old.turn} was sent "
            f"{several(old.entry.last - since + 1, 'time')} more after "
            f"turn {new.turn} had brought a newer one",
            Where(
                agent=case.agent.path,
                turns=(old.turn, new.turn),
                calls=(old.key, new.key),
                entries=(old.entry.id,),
            ),
            evidence=(quote(old.entry), *((quote(new.entry),) if new.entry else ())),
            price=spent,
            remedy=Remedy(
                text="drop superseded reads",
                patch=change(case, "context.strategies", ["drop_superseded"]),
            ),
            subject=f"{old.tool} {old.arguments}",
        )


def _superseded(case: AgentCase) -> Iterable[tuple[Call, Call]]:
    """Yield pairs of a read and the next one of the same request that gave something else."""
    for calls in by_request(case).values():
        for old, new in zip(calls, calls[1:], strict=False):
            reads = not old.is_error and not new.is_error and access_of(old) != "write"
            if reads and old.turn < new.turn and old.result != new.result:
                yield old, new


def stale_arguments(case: AgentCase) -> Iterable[Finding]:
    """Yield calls whose arguments hold a value that only results already superseded ever showed."""
    superseded_at: dict[int, int] = {}
    for old, new in _superseded(case):
        assert old.entry is not None
        superseded_at[old.entry.number] = new.turn
    if not superseded_at:
        return
    for call in case.agent.calls():
        for path, value in case.asked[call.key].values.items():
            source = _only_stale(case, call, value, superseded_at)
            if source is None:
                continue
            yield Finding(
                "stale-argument",
                "error",
                f"{call.tool} was called in turn {call.turn} with {path} = {value!r}, which stands only in a result "
                f"that turn {superseded_at[source.number]} had made out of date",
                Where(
                    agent=case.agent.path,
                    turns=(call.turn,),
                    calls=(call.key, source.call),
                    entries=(source.id,),
                ),
                evidence=(quote(source, value),),
                price=price(
                    case,
                    [(source, superseded_at[source.number] + 1)],
                    action=f"{call.tool} {call.arguments[:120]}",
                ),
                confidence=0.9,
                remedy=Remedy(
                    text="drop superseded reads before the model can act on them",
                    patch=change(case, "context.strategies", ["drop_superseded"]),
                ),
                subject=f"{call.tool} {path}",
            )


def _only_stale(case: AgentCase, call: Call, value: str, superseded_at: dict[int, int]) -> Entry | None:
    """Return the stale entry an argument came from, if it stood nowhere else by then."""
    if not is_distinctive(value):
        return None
    stale: Entry | None = None
    for entry in case.uses.observed(value):
        if not entry.first or entry.first > call.turn:
            break
        if superseded_at.get(entry.number, call.turn) >= call.turn:
            return None
        stale = entry
    return stale


def oversized_results(case: AgentCase) -> Iterable[Finding]:
    """Yield the results, by tool, that filled much of a request and of which little was used."""
    groups: dict[str, list[tuple[Entry, float]]] = defaultdict(list)
    lines = case.case.ledger.turns[case.agent.path]
    for call, entry in case.results:
        if call.children or not entry.first or entry.size < OVERSIZED_TOKENS:
            continue
        total = lines[entry.first - 1].total
        used = used_share(case, entry)
        if entry.size >= OVERSIZED_SHARE * total and used < WELL_USED:
            groups[call.tool].append((entry, used))
    for tool, found in groups.items():
        entries = [entry for entry, _ in found]
        spent = price(case, [(entry, entry.first) for entry in entries])
        largest = max(entries, key=lambda entry: entry.size)
        yield Finding(
            "oversized-result",
            weight(case.case, spent.tokens or 0),
            f"{several(len(found), 'result')} of {tool} took up to {largest.size:,} tokens, and at most "
            f"{max(used for _, used in found):.0%} of what was in there was used",
            Where(
                agent=case.agent.path,
                calls=tuple(entry.call for entry in entries),
                entries=tuple(entry.id for entry in entries),
            ),
            evidence=tuple(quote(entry) for entry in entries[:2]),
            price=spent,
            confidence=0.9,
            remedy=Remedy(
                text="ask the tool for less, or offload large results",
                patch=change(case, "context.strategies", [{"offload": {"above": "2k"}}]),
            ),
            subject=tool,
        )


_NEEDS = ("content", "results", "windows")

RESULTS = (
    Detector(
        "unused-result",
        "context",
        "Results of reads that no later reply took anything from.",
        _NEEDS,
        in_agent=unused_results,
    ),
    Detector(
        "duplicate-read",
        "context",
        "The same read again, with the same result, while the first still stood there and nothing had changed.",
        _NEEDS,
        in_agent=duplicate_reads,
    ),
    Detector(
        "superseded-result",
        "context",
        "An older result of the same request, still sent after a newer one.",
        _NEEDS,
        in_agent=superseded_results,
    ),
    Detector(
        "stale-argument",
        "context",
        "An argument that stands only in a result that was out of date.",
        _NEEDS,
        in_agent=stale_arguments,
    ),
    Detector(
        "oversized-result",
        "context",
        "A result that filled much of the window and was hardly used.",
        _NEEDS,
        in_agent=oversized_results,
    ),
)

"""Where the values of arguments came from: results used too early, and values that nothing supports."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.diagnosis.assertions import is_asserted_only, is_derived
from harness.diagnosis.case import AgentCase, Detector
from harness.diagnosis.findings import Finding, Price, Quote, Remedy, Where
from harness.diagnosis.weighing import change, quote, quote_call
from harness.record import Call, Entry
from harness.record.effects import access_of, needs_existing
from harness.record.values import tokens

SOON = 12
"""Turns after a call within which its argument's value is looked for in a later result."""

_NOT_FOUND = re.compile(
    r"not found|no such|unknown|does not exist|invalid|cannot find|404|doesn't exist", re.I
)


def used_before_available(case: AgentCase) -> Iterable[Finding]:
    """Yield calls whose argument only a result that came beside or after them brought."""
    made: set[str] = set()
    for call in case.agent.calls():
        for path, value in case.asked[call.key].identifiers.items():
            later = None if value in made else _first_shown_later(case, call, value)
            if later is None or (not call.is_error and not needs_existing(call, path)):
                continue
            beside = later.turn == call.turn
            when = "beside it" if beside else f"in turn {later.turn}"
            yield Finding(
                "used-before-available",
                "error" if call.is_error else "warning" if beside else "info",
                f"{call.tool} was called in turn {call.turn} with {path} = {value!r}, which only a call {when} brought",
                Where(
                    agent=case.agent.path,
                    turns=(call.turn,),
                    calls=(call.key, later.call),
                    entries=(later.id,),
                ),
                evidence=(quote_call(call), quote(later, value)),
                price=Price(turns=1, action=f"{call.tool} {call.arguments[:120]}"),
                confidence=0.9,
                remedy=Remedy(
                    text="let the one come before the other",
                    patch=change(case, "order", [f"{case.case.calls[later.call].tool} before {call.tool}"]),
                ),
                subject=f"{call.tool} {path}",
            )
        made |= _made(case, call)


def _made(case: AgentCase, call: Call) -> set[str]:
    """Return what may be there because a call made it: names that it gave, and all that its texts name."""
    if call.is_error or access_of(call) == "read":
        return set()
    made: set[str] = set()
    asked = case.asked[call.key]
    for path, value in asked.values.items():
        if path not in asked.identifiers or not needs_existing(call, path):
            made |= {value, *tokens(value)}
    return made


def _first_shown_later(case: AgentCase, call: Call, value: str) -> Entry | None:
    """Return the result, of a call that did not ask for it by name, that first showed a value after it was used."""
    first = case.uses.introduced.get(value)
    if first is None or first.message.role != "assistant" or first.turn != call.turn:
        return None
    for entry in case.uses.observed(value):
        source = case.case.calls.get(entry.call)
        if source is None or source is call or value in source.arguments:
            continue
        soon = call.turn <= source.turn <= call.turn + SOON
        return entry if soon and not is_derived(case, value, call.turn) else None
    return None


def unsupported_arguments(case: AgentCase) -> Iterable[Finding]:
    """Yield calls with an identifier that nothing the agent was told or shown supports."""
    seen: set[tuple[str, str]] = set()
    made: set[str] = set()
    for call in case.agent.calls():
        for path, value in case.asked[call.key].identifiers.items():
            if (call.tool, value) in seen or value in made or _may_be_right(call, path, value):
                continue
            source = case.uses.introduced.get(value)
            if source is not None and is_asserted_only(case, value, source, before=call):
                seen.add((call.tool, value))
                yield _unsupported(case, call, path, value, source)
        made |= _made(case, call)


def _may_be_right(call: Call, path: str, value: str) -> bool:
    """Return whether a call that came off shows that its argument was right, or only names what it makes."""
    if call.is_error:
        return False
    writes = access_of(call) == "write"
    return not needs_existing(call, path) if writes else value in (call.result or "")


def _unsupported(case: AgentCase, call: Call, path: str, value: str, source: Entry) -> Finding:
    missed = call.is_error and bool(_NOT_FOUND.search(call.result or ""))
    acted = access_of(call) == "write" and "/" not in value
    return Finding(
        "unsupported-argument",
        "error" if missed else "warning" if call.is_error or acted else "info",
        f"{call.tool} was called in turn {call.turn} with {path} = {value!r}, which stands in nothing that "
        f"{case.agent.name} was told or shown",
        Where(agent=case.agent.path, turns=(call.turn,), calls=(call.key,), entries=(source.id,)),
        evidence=(quote_call(call), Quote(call.key, (call.result or "")[:200])),
        price=Price(turns=1, action=f"{call.tool} {call.arguments[:120]}"),
        confidence=0.9 if missed else 0.6,
        remedy=Remedy(text="have it look the value up first, or give it in the brief"),
        subject=f"{call.tool} {path}",
    )


SUPPORT = (
    Detector(
        "used-before-available",
        "order",
        "An argument that only a later or simultaneous result brought.",
        ("content", "results", "windows"),
        in_agent=used_before_available,
    ),
    Detector(
        "unsupported-argument",
        "order",
        "An identifier that nothing the agent was told or shown supports.",
        ("content", "results", "windows"),
        in_agent=unsupported_arguments,
    ),
)

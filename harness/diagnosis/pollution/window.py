"""What a window carries along: definitions, errors, thinking; what breaks its prefix, fills it, or left it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable

from harness.diagnosis.case import AgentCase, Case, Detector
from harness.diagnosis.findings import Finding, Price, Quote, Remedy, Where
from harness.diagnosis.weighing import change, price, quote, quote_call, several, weight
from harness.record import Call, Entry
from harness.record.values import is_distinctive

NEVER_CALLED_TOKENS = 400
RESIDUE_TURNS = 3
RESIDUE_TOKENS = 20
THINKING_TOKENS = 400
RESEND_FACTOR = 12.0
PRESSURE = 0.8
_SHORT_NUMBER = re.compile(r"\d{1,4}")
"""Two such numbers may be the same by chance."""


def tool_overhead(case: AgentCase) -> Iterable[Finding]:
    """Yield the definitions of tools that an agent never called and paid for in every request."""
    lines = case.case.ledger.definitions[case.agent.path]
    unused = [line for line in lines if not line.calls and line.server]
    each = sum(line.size for line in unused)
    if each < NEVER_CALLED_TOKENS or not case.agent.turns:
        return
    tokens = each * len(case.agent.turns)
    called = sorted({line.tool for line in lines if line.calls and line.server})
    whole = sum(line.size for line in lines)
    yield Finding(
        "tool-overhead",
        weight(case.case, tokens),
        f"{len(unused)} of {len(lines)} tools were never called; their definitions took {each:,} of {whole:,} tokens "
        f"of definitions in each of {several(len(case.agent.turns), 'request')}",
        Where(agent=case.agent.path, turns=(1,)),
        evidence=tuple(
            Quote(line.tool, f"{line.tool}: {line.size:,} tokens, never called") for line in unused[:8]
        ),
        price=Price(tokens=tokens),
        remedy=Remedy(text="offer only what is used", patch=change(case, "tools", called)),
        subject="tools",
    )


def error_residue(case: AgentCase) -> Iterable[Finding]:
    """Yield failed results that were sent on long after the same tool had worked."""
    worked: dict[str, list[int]] = defaultdict(list)
    for call, _ in case.results:
        if not call.is_error:
            worked[call.tool].append(call.turn)
    groups: dict[str, list[tuple[Entry, int]]] = defaultdict(list)
    for call, entry in case.results:
        if not call.is_error or entry.size < RESIDUE_TOKENS:
            continue
        turns = worked[call.tool]
        position = bisect_right(turns, call.turn)
        mended = turns[position] if position < len(turns) else entry.last
        if entry.last - mended >= RESIDUE_TURNS:
            groups[call.tool].append((entry, mended + 1))
    for tool, left in groups.items():
        spent = price(case, left)
        yield Finding(
            "error-residue",
            weight(case.case, spent.tokens or 0),
            f"{several(len(left), 'error')} of {tool} still sent "
            f"{max(entry.last - since + 1 for entry, since in left)} turns after it had worked",
            Where(
                agent=case.agent.path,
                calls=tuple(entry.call for entry, _ in left),
                entries=tuple(entry.id for entry, _ in left),
            ),
            evidence=tuple(quote(entry) for entry, _ in left[:2]),
            price=spent,
            remedy=Remedy(
                text="clear old results",
                patch=change(case, "context.strategies", ["clear_results"]),
            ),
            subject=tool,
        )


def thinking_residue(case: AgentCase) -> Iterable[Finding]:
    """Yield the thinking of past turns that was sent again."""
    lines = [
        line
        for line in case.case.ledger.lines[case.agent.path]
        if line.kind == "thinking" and line.entry.sent > 1
    ]
    again = sum(line.size * (line.entry.sent - 1) for line in lines)
    if again < THINKING_TOKENS:
        return
    yield Finding(
        "thinking-residue",
        weight(case.case, again),
        f"the thinking of {several(len(lines), 'turn')} was sent again, {again:,} tokens over all requests",
        Where(
            agent=case.agent.path,
            turns=tuple(line.entry.turn for line in lines),
            entries=tuple(line.entry.id for line in lines),
        ),
        evidence=tuple(quote(line.entry) for line in lines[:2]),
        price=Price(tokens=again),
        confidence=0.9,
        remedy=Remedy(
            text="send thinking back only within the turn that it belongs to, where the model allows it"
        ),
        subject="thinking",
    )


def prefix_breaks(case: AgentCase) -> Iterable[Finding]:
    """Yield the requests that did not begin with the one before, so that nothing behind could come from a cache."""
    lines = case.case.ledger.turns[case.agent.path]
    broken = [
        (line, before.total - line.prefix)
        for before, line in zip(lines, lines[1:], strict=False)
        if line.breaks and before.total > line.prefix
    ]
    if not broken:
        return
    tokens = sum(max(0, lost) for _, lost in broken)
    reasons = dict.fromkeys(line.breaks for line, _ in broken)
    yield Finding(
        "prefix-break",
        "info" if case.case.record.source == "journal" else weight(case.case, tokens),
        f"{several(len(broken), 'request')} did not begin with the request before them; {tokens:,} tokens could not come from "
        f"a cache any more",
        Where(agent=case.agent.path, turns=tuple(line.turn.number for line, _ in broken)),
        evidence=tuple(
            Quote(
                line.turn.id,
                f"{line.breaks}: {line.prefix:,} of {line.total:,} tokens repeat the request before",
            )
            for line, _ in broken[:3]
        ),
        price=Price(tokens=tokens),
        remedy=Remedy(text="change windows rarely, and towards their end"),
        subject="; ".join(reasons),
    )


def window_pressure(case: AgentCase) -> Iterable[Finding]:
    """Yield agents whose requests came near to what their model takes."""
    limit = case.agent.context_window
    lines = case.case.ledger.turns[case.agent.path]
    if not limit:
        return
    near = [line for line in lines if line.total >= PRESSURE * limit]
    if not near:
        return
    largest = max(near, key=lambda line: line.total)
    yield Finding(
        "window-pressure",
        "warning",
        f"from turn {near[0].turn.number} on, {several(len(near), 'request')} took more than {PRESSURE:.0%} of the {limit:,} "
        f"tokens that {case.agent.model or 'the model'} takes; the largest {largest.total:,}",
        Where(agent=case.agent.path, turns=tuple(line.turn.number for line in near)),
        price=Price(tokens=sum(line.total for line in near)),
        remedy=Remedy(
            text="make room before it is needed",
            patch=change(case, "context.compact_at", 0.7),
        ),
        subject="window",
    )


def lost_identifiers(case: AgentCase) -> Iterable[Finding]:
    """Yield values that were used, or asked for again, after all that held them had left the window."""
    gone = [entry for entry in case.agent.entries if entry.gone and entry.first]
    if not gone:
        return
    found: dict[str, list[tuple[Call, str, Entry]]] = defaultdict(list)
    first_gone = min(entry.last for entry in gone)
    for call in case.agent.calls():
        if call.turn <= first_gone:
            continue
        for value in case.asked[call.key].values.values():
            telling = is_distinctive(value) and not _SHORT_NUMBER.fullmatch(value)
            last = case.uses.last_seen(value, call.turn) if telling else None
            if last is not None and not case.uses.in_sight(value, call.turn):
                found[value].append((call, value, last))
    for value, places in found.items():
        call, _, entry = places[0]
        yield Finding(
            "lost-identifier",
            "warning",
            f"{value!r} left the window after turn {entry.last} ({entry.gone}) and was needed in turn {call.turn}",
            Where(
                agent=case.agent.path,
                turns=(call.turn,),
                calls=tuple(one.key for one, _, _ in places),
                entries=(entry.id,),
            ),
            evidence=(quote(entry, value), quote_call(call)),
            price=Price(turns=1, action=f"{call.tool} without it in sight"),
            confidence=0.8,
            remedy=Remedy(text="pin it, keep more results, or name it in the summary"),
            subject=value,
        )


def resend_factor(case: Case) -> Iterable[Finding]:
    """Yield the run if its tokens were sent very often on average."""
    ledger = case.ledger
    factor = ledger.resend_factor
    if factor < RESEND_FACTOR:
        return
    path = max(ledger.turns, key=lambda one: sum(line.total for line in ledger.turns[one]))
    kinds = sorted(ledger.by_kind().items(), key=lambda item: -item[1])[:4]
    shares = ", ".join(f"{kind} {tokens / max(1, ledger.sent):.0%}" for kind, tokens in kinds)
    yield Finding(
        "resend-factor",
        "info",
        f"every token was sent {factor:.1f} times on average, {ledger.sent:,} in all: {shares}",
        Where(agent=path),
        price=Price(tokens=ledger.sent),
        remedy=Remedy(text="give long work to sub-agents, or keep windows small"),
        subject="run",
    )


WINDOW = (
    Detector(
        "tool-overhead",
        "context",
        "Definitions of tools that were never called.",
        ("tool_definitions",),
        in_agent=tool_overhead,
    ),
    Detector(
        "error-residue",
        "context",
        "Errors still sent long after they were mended.",
        ("results", "windows"),
        in_agent=error_residue,
    ),
    Detector(
        "thinking-residue",
        "context",
        "Thinking of past turns that is sent again.",
        ("content", "windows"),
        in_agent=thinking_residue,
    ),
    Detector(
        "prefix-break",
        "context",
        "Requests that do not begin with the one before, and the tokens no cache could give.",
        ("windows",),
        in_agent=prefix_breaks,
    ),
    Detector(
        "window-pressure",
        "context",
        "Requests near the limit of the model.",
        (),
        in_agent=window_pressure,
    ),
    Detector(
        "lost-identifier",
        "context",
        "Values that were needed after they had left the window.",
        ("content", "results", "windows"),
        in_agent=lost_identifiers,
    ),
    Detector(
        "resend-factor",
        "context",
        "How often tokens were sent on average.",
        ("windows",),
        in_run=resend_factor,
    ),
)

"""What windows say: text of other agents, reports nobody needed, contradictions, and facts nobody observed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from harness.diagnosis.assertions import is_asserted_only
from harness.diagnosis.case import AgentCase, Case, Detector
from harness.diagnosis.findings import Finding, Price, Remedy, Where
from harness.diagnosis.weighing import Changes, price, quote, quote_call, used_share, weight
from harness.record import AgentRecord, Call, Entry
from harness.record.effects import access_of
from harness.record.values import is_distinctive, tokens

SHINGLE = 6
LEAKED_RUNS = (3, 0.3)
LEAKED_VALUES = (5, 0.5)
"""How many marks of an entry, and what share of them, show that it comes from elsewhere."""

REPORT_TOKENS = 300
REPORT_USED = 0.2
POISONED_CALLS = 2

_OBSERVED = ("tool:", "report:")
_DECLARED = ("system", "task", "brief", "session", "summary", *_OBSERVED)
_LINE = re.compile(r"^[ \t>*-]*([A-Za-z][\w .-]{1,40}?)\s*[:=]\s*([^\s{\[][^\n]{0,60})$", re.MULTILINE)


def leakage(case: Case) -> Iterable[Finding]:
    """Yield entries that hold what another agent found out or said, though no brief or report brought it.

    An entry is known by its runs of words, or, where it was rewritten, by its distinctive values. What its own
    agent had from a declared channel counts for nothing, nor what the other one was only told itself, nor what
    people say to the one agent that nobody else works above.
    """
    agents = case.record.agents
    suspects = {
        path: [entry for entry in one.entries if _is_undeclared(entry)] for path, one in agents.items()
    }
    entry_agents = [path for path, one in agents.items() if not one.parent]
    if len(entry_agents) == 1:
        del suspects[entry_agents[0]]
    texts = {entry.id: _Marks.of(entry.text) for entries in suspects.values() for entry in entries}
    if not texts or len(agents) < 2:
        return
    owners = _owners(agents.values(), _Marks.all(texts.values()))
    for path, entries in suspects.items():
        looked_at = _Marks.all(texts[entry.id] for entry in entries)
        known = looked_at.within(one for one in agents[path].entries if one.origin.startswith(_DECLARED))
        for entry in entries:
            marks = texts[entry.id].without(known)
            shares: dict[str, float] = {}
            for own, (enough, least) in ((marks.values, LEAKED_VALUES), (marks.runs, LEAKED_RUNS)):
                holders = (owners.get(mark, ()) for mark in own)
                sources = Counter(other for several in holders for other in several if other != path)
                shares |= {
                    other: shared / len(own)
                    for other, shared in sources.items()
                    if shared >= max(enough, least * len(own))
                }
            if shares:
                source, share = max(shares.items(), key=lambda item: item[1])
                yield _leak(case, path, source, entry, share)


def _leak(case: Case, path: str, source: str, entry: Entry, share: float) -> Finding:
    agent = AgentCase(case, case.record.agents[path])
    return Finding(
        "leakage",
        "warning",
        f"{share:.0%} of an entry in the window of {path} stands in the window of {source}, and came by no brief "
        f"and no report",
        Where(agent=path, entries=(entry.id,), turns=(entry.first,) if entry.first else ()),
        evidence=(quote(entry),),
        price=price(agent, [(entry, entry.first)]),
        confidence=min(1.0, 0.5 + share / 2),
        remedy=Remedy(text="pass it in the brief, or ask the agent for a report"),
        subject=f"{source} in {path}",
    )


def _is_undeclared(entry: Entry) -> bool:
    if entry.origin.startswith(_DECLARED) or entry.number < 2:
        return False
    return entry.message.role != "assistant" or not entry.turn


@dataclass(frozen=True, slots=True)
class _Marks:
    """By what a text is known again: its runs of words, in lower case, and its distinctive values."""

    runs: frozenset[tuple[str, ...]]
    values: frozenset[str]

    @classmethod
    def of(cls, text: str) -> _Marks:
        words = tokens(text)
        return cls(frozenset(_runs(words)), frozenset(filter(is_distinctive, words)))

    @classmethod
    def all(cls, several: Iterable[_Marks]) -> _Marks:
        marks = tuple(several)
        return cls(
            frozenset[tuple[str, ...]]().union(*(one.runs for one in marks)),
            frozenset[str]().union(*(one.values for one in marks)),
        )

    def within(self, entries: Iterable[Entry]) -> _Marks:
        """Return those that stand in some entries."""
        words = tokens("\n".join(entry.text for entry in entries))
        return _Marks(self.runs.intersection(_runs(words)), self.values.intersection(words))

    def without(self, other: _Marks) -> _Marks:
        return _Marks(self.runs - other.runs, self.values - other.values)


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    lower = [word.lower() for word in words]
    return zip(*(lower[at:] for at in range(SHINGLE)), strict=False)


def _owners(agents: Iterable[AgentRecord], marks: _Marks) -> dict[str | tuple[str, ...], list[str]]:
    """Return which agents found out or said what each mark stands for, and were not told it."""
    owners: dict[str | tuple[str, ...], list[str]] = defaultdict(list)
    for agent in agents:
        found = [one for one in agent.entries if one.turn or one.origin.startswith(_OBSERVED)]
        told = [one for one in agent.entries if not (one.turn or one.origin.startswith(_OBSERVED))]
        own = marks.within(found)
        own = own.without(own.within(told))
        for mark in (*own.runs, *own.values):
            owners[mark].append(agent.path)
    return owners


def report_bloat(case: AgentCase) -> Iterable[Finding]:
    """Yield large reports of which the parent used next to nothing."""
    last = len(case.agent.turns)
    for call, entry in case.results:
        is_report = bool(call.children) and entry.first and not call.is_error
        if not is_report or entry.size < REPORT_TOKENS or call.turn >= last:
            continue
        used = used_share(case, entry)
        if used >= REPORT_USED:
            continue
        spent = price(case, [(entry, entry.first)])
        name = call.children[0].rpartition("/")[2].rpartition("-")[0] or call.children[0]
        yield Finding(
            "report-bloat",
            weight(case.case, spent.tokens or 0),
            f"the report of {', '.join(call.children[:3])} took {entry.size:,} tokens, and {used:.0%} of what it says "
            f"was used",
            Where(agent=case.agent.path, turns=(call.turn,), calls=(call.key,), entries=(entry.id,)),
            evidence=(quote(entry),),
            price=spent,
            confidence=0.8,
            remedy=Remedy(
                text="ask for a shorter report",
                patch={f"agents.{name}.report.max_tokens": max(200, entry.size // 4)}
                if case.case.record.team
                else {},
            ),
            subject=name,
        )


def contradictions(case: AgentCase) -> Iterable[Finding]:
    """Yield pairs of results in one window that give one thing two values, without a change in between."""
    facts: dict[tuple[str, str], tuple[str, Call, Entry]] = {}
    changes = Changes(case)
    for call, entry in case.results:
        if call.is_error or call.children or access_of(call) == "write":
            continue
        for key, value in _facts(case.asked[call.key].values.values(), entry.text):
            known = facts.get(key)
            if known is not None and _disagree(known[0], value) and known[1].turn <= call.turn:
                other, before, old = known
                same = (before.tool, before.arguments) == (call.tool, call.arguments)
                between = changes.between(before, before.turn, call.turn - 1)
                if not same and not between and old.last >= (entry.first or old.last):
                    yield _clash(case, key, (before, old, other), (call, entry, value))
            facts[key] = (value, call, entry)


def _clash(
    case: AgentCase, key: tuple[str, str], one: tuple[Call, Entry, str], other: tuple[Call, Entry, str]
) -> Finding:
    return Finding(
        "contradiction",
        "warning",
        f"{key[1]} of {key[0]} is {one[2]!r} by {one[0].tool} and {other[2]!r} by {other[0].tool}, and both stand in "
        f"the window",
        Where(
            agent=case.agent.path,
            turns=(other[0].turn,),
            calls=(other[0].key, one[0].key),
            entries=(other[1].id, one[1].id),
        ),
        evidence=(quote(one[1], one[2]), quote(other[1], other[2])),
        confidence=0.7,
        remedy=Remedy(text="ask which of them holds before acting on either"),
        subject=f"{key[0]} {key[1]}",
    )


def _disagree(one: str, other: str) -> bool:
    return _spelled(one) != _spelled(other)


def _spelled(value: str) -> object:
    """Return a value without what only its spelling says."""
    plain = value.strip().lower().strip("$€£%").replace(",", "")
    try:
        return float(plain)
    except ValueError:
        return plain


def _facts(asked: Iterable[str], text: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield (thing, attribute) → value; things without a name of their own are what the call asked about."""
    try:
        # Most results are no JSON, and of an error one is told the line and the column.
        parsed = orjson.loads(text) if text.lstrip().startswith(("{", "[")) else None
    except orjson.JSONDecodeError:
        parsed = None
    if parsed is None:
        things = [value for value in asked if is_distinctive(value)]
        if len(things) == 1:
            for attribute, value in _LINE.findall(text):
                yield (things[0], attribute.strip().lower()), value
        return
    yield from _json_facts(parsed, set(asked))


def _json_facts(value: Any, asked: set[str]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the scalar fields of what a result is about; things nested in it are often only referred to.

    Items of one list that go by the same name are told apart by something else, so nothing is said of them.
    """
    items = cast("list[Any]", value) if isinstance(value, list) else [value]
    rows = [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
    naming = [_naming(fields, asked) for fields in rows]
    things = [" ".join(str(fields[key]) for key in names) for fields, names in zip(rows, naming, strict=True)]
    how_often = Counter(things)
    for fields, names, thing in zip(rows, naming, things, strict=True):
        for key, one in fields.items():
            is_scalar = one is not None and not isinstance(one, dict | list)
            if thing and how_often[thing] == 1 and is_scalar and key not in names and not _is_volatile(key):
                yield (thing, key), f"{one}"


def _naming(fields: dict[str, Any], asked: set[str]) -> list[str]:
    """Return the fields that name a thing: its id, else what was asked for, else all that are ids of something."""
    if "id" in fields:
        return ["id"]
    names = [key for key, one in fields.items() if isinstance(one, str) and one in asked]
    if any(not (fields[key].isalpha() and fields[key].islower()) for key in names):
        return names
    return [key for key in fields if key.endswith(("_id", "Id", "ID"))]


def _is_volatile(key: str) -> bool:
    return bool(re.search(r"time|updated|created|_at$|score|rank|elapsed|age|seen", key, re.IGNORECASE))


def poisoning(case: AgentCase) -> Iterable[Finding]:
    """Yield values that only the agent itself ever asserted, and that it went on to use in calls."""
    uses: dict[str, list[tuple[Call, str]]] = defaultdict(list)
    for call in case.agent.calls():
        asked = case.asked[call.key]
        for path in asked.identifiers:
            uses[asked.values[path]].append((call, path))
    for value, places in uses.items():
        source = case.uses.introduced.get(value)
        turns = {call.turn for call, _ in places}
        made_here = access_of(places[0][0]) == "write" and not places[0][0].is_error
        if source is None or len(turns) < POISONED_CALLS or made_here:
            continue
        if not is_asserted_only(case, value, source):
            continue
        yield Finding(
            "poisoning",
            "error" if any(call.is_error for call, _ in places) else "warning",
            f"{value!r} was first said by the agent itself in turn {source.turn}, stands in nothing it observed, and "
            f"was used in {len(places)} calls",
            Where(
                agent=case.agent.path,
                turns=(source.turn, *sorted(turns - {source.turn})),
                calls=tuple(call.key for call, _ in places),
                entries=(source.id,),
            ),
            evidence=(
                quote(source, value),
                *(quote_call(call) for call, _ in places[:2]),
            ),
            price=Price(turns=len(turns), action=f"{places[0][0].tool} with {places[0][1]} = {value!r}"),
            confidence=0.8,
            remedy=Remedy(text="have it look the value up before it acts on it"),
            subject=f"{places[0][0].tool} {places[0][1]}",
        )


CONTENT = (
    Detector(
        "leakage",
        "context",
        "Text of another agent's window that no brief or report brought.",
        ("content", "windows", "agents"),
        in_run=leakage,
    ),
    Detector(
        "report-bloat",
        "context",
        "Large reports that the parent hardly used.",
        ("content", "results", "windows", "agents"),
        in_agent=report_bloat,
    ),
    Detector(
        "contradiction",
        "context",
        "Two results in one window that give one thing two values.",
        ("content", "results", "windows"),
        in_agent=contradictions,
    ),
    Detector(
        "poisoning",
        "context",
        "Values that nothing observed supports and that calls were built on.",
        ("content", "results", "windows"),
        in_agent=poisoning,
    ),
)

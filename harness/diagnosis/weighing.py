"""What a waste weighs, and what two calls have to do with one another; shared by detectors."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from harness.diagnosis.case import AgentCase, Case
from harness.diagnosis.findings import Price, Quote, Severity
from harness.record import Call, Entry, RunRecord
from harness.record.effects import access_of
from harness.record.values import argument_values, tokens, values_and_words

MATERIAL_TOKENS = 2_000
MATERIAL_SHARE = 0.05
"""What a waste must come to, in token-turns and as a share of all that was sent, to be a warning."""

_QUOTED = 200
_STRETCH = 15
"""Tokens of about one sentence."""


def weight(case: Case, tokens: int) -> Severity:
    """Return `warning` for a waste worth mending, `info` for a smaller one."""
    sent = case.ledger.sent
    return "warning" if tokens >= MATERIAL_TOKENS and tokens >= MATERIAL_SHARE * sent else "info"


def price(case: AgentCase, entries: Iterable[tuple[Entry, int]], *, action: str = "") -> Price:
    """Return what sending entries cost from a turn on each."""
    priced = tuple(entries)
    tokens = sum(case.cost(entry, since=since) for entry, since in priced)
    rate = case.case.usd_per_token
    return Price(
        tokens=tokens,
        usd=tokens * rate if rate else None,
        action=action,
        entries=tuple((entry.id, since) for entry, since in priced),
    )


def several(number: int, noun: str) -> str:
    """Return a number with its noun: `1 result`, `1,200 results`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def change(case: AgentCase, path: str, value: object) -> dict[str, object]:
    """Return a change of what the team file says of an agent; none where there is no team file.

    A list is added to the one that stands there, if `path` names one already.
    """
    agents = case.case.record.team.get("agents")
    if not isinstance(agents, Mapping):
        return {}
    said: object = cast("Mapping[str, object]", agents).get(case.agent.name)
    for key in path.split("."):
        said = cast("Mapping[str, object]", said).get(key) if isinstance(said, Mapping) else None
    if isinstance(value, list) and isinstance(said, list) and path != "tools":
        there = cast("list[object]", said)
        value = [*there, *(one for one in cast("list[object]", value) if one not in there)]
    return {f"agents.{case.agent.name}.{path}": value}


def quote_call(call: Call) -> Quote:
    """Return a call as it was written."""
    return Quote(call.key, f"{call.tool} {call.arguments}"[:_QUOTED])


def quote(entry: Entry, about: str = "") -> Quote:
    """Return the beginning of an entry, or the stretch around `about`."""
    position = max(0, entry.text.find(about) - 60) if about else 0
    return Quote(entry.id, entry.text[position : position + _QUOTED])


def by_request(case: AgentCase) -> dict[tuple[str, str], list[Call]]:
    """Return the calls whose results stood in the window by tool and arguments, in order."""
    groups: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call, _ in case.results:
        groups[case.asked[call.key].request].append(call)
    return groups


def changes_state(call: Call) -> bool:
    """Return whether a call may have changed something outside; sub-agents may, whatever they were asked for."""
    return bool(call.children) or (not call.is_error and access_of(call) != "read")


_SHELL = re.compile(r"(^|[._-])(run|exec|execute|bash|shell)([._-]|$)", re.I)


class Changes:
    """When an agent may have changed what a read asks for.

    A call changes what it names and leaves the rest alone; shells may change anything. A sub-agent changes
    what its own calls do, and anything if these are not known.
    """

    def __init__(self, case: AgentCase) -> None:
        self._anything: list[int] = []
        self._named: dict[str, list[int]] = defaultdict(list)
        self._all: list[int] = []
        """Turns, in order: of calls that may change anything, that name a value, and of all that change."""
        for asked in case.agent.calls():
            for call in _carried_out(case.case.record, asked):
                if changes_state(call):
                    self._all.append(asked.turn)
                    if call.children or _SHELL.search(call.tool):
                        self._anything.append(asked.turn)
                    for value in _named_in(call):
                        self._named[value].append(asked.turn)

    def between(self, read: Call, first: int, last: int) -> bool:
        """Return whether a call from turn `first` to `last` may have changed what `read` asks for."""
        asked = _named_in(read)
        lists = [self._anything, *(self._named.get(value, []) for value in asked)] if asked else [self._all]
        return any(_has(turns, first, last) for turns in lists)


def _carried_out(record: RunRecord, call: Call) -> Iterator[Call]:
    """Yield a call, or what the agents that worked for it called; the call itself if nobody knows."""
    workers = [record.agents.get(path) for path in call.children]
    if not workers or any(worker is None or not worker.turns for worker in workers):
        yield call
        return
    for worker in workers:
        for own in worker.calls() if worker else ():
            yield from _carried_out(record, own)


def _named_in(call: Call) -> set[str]:
    """Return what a call's arguments name: their values, and identifiers within longer ones."""
    leaves = [value for value in argument_values(call.arguments).values() if len(value) > 1]
    return set(leaves).union(*(values_and_words(value)[0] for value in leaves))


def _has(turns: list[int], first: int, last: int) -> bool:
    position = bisect_left(turns, first)
    return position < len(turns) and turns[position] <= last


def used_share(case: AgentCase, entry: Entry) -> float:
    """Return the share of an entry that later replies show, 0 to 1.

    It is looked at in short stretches. One is used if a distinctive value of it was taken over, or, where it
    has none, half of its words; a few words that stand everywhere in a long text are no use of all of it.
    """
    values, words = case.uses.taken_over(entry)
    whole = tokens(entry.text)
    used = count = 0
    for at in range(0, len(whole), _STRETCH):
        telling, common = values_and_words(" ".join(whole[at : at + _STRETCH]))
        if telling or common:
            count += 1
            used += bool(telling & values) if telling else 2 * len(common & words) >= len(common)
    return used / count if count else 1.0

"""The contracts that may be proposed, each with the chance of being kept by chance.

Nothing here looks at the order of calls, and of ties only at how many values fit. So what is asked about
does not depend on what is found, which is what the rate of false discoveries is counted on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from math import inf
from typing import Literal

from harness.contracts.mining import chance
from harness.contracts.mining.traces import RESULT, Counts, Scope

Side = Literal["before", "after"]
"""Where the wanted call is: before the one that wants it, or after it."""

_SPACED = {
    "before": ("{a} before {b}", "{a} before each {b}", "{a} immediately before {b}"),
    "after": ("{a} followed by {b}", "each {a} followed by {b}", "{a} immediately followed by {b}"),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contract to ask about."""

    text: str
    log_p: float
    """The logarithm of its p-value if it is kept in all traces; if it is broken, that is 1."""
    runs: int
    """In how many runs it has something to say."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Calls of one tool that want a call of another one."""

    wanting: str
    wanted: str
    side: Side

    def text(self, form: str) -> str:
        first, second = (self.wanted, self.wanting) if self.side == "before" else (self.wanting, self.wanted)
        return form.format(a=first, b=second)


def candidates(scope: Scope, counts: Counts) -> Iterator[Candidate]:
    """Yield every contract that some order of the calls, or some exchange of values, would keep."""
    for candidate in _all(scope, counts):
        if candidate.log_p > -inf:
            yield candidate


def _all(scope: Scope, counts: Counts) -> Iterator[Candidate]:
    if scope.may_pair is None:
        for tool in counts.tools:
            yield from _of_tool(tool, counts)
    for one, other in permutations(counts.tools, 2):
        # A tool that wants one that is not there wants in vain.
        is_possible = counts.of[one].keys() <= counts.of[other].keys()
        if is_possible and (scope.may_pair is None or scope.may_pair(one, other)):
            for side in ("before", "after"):
                yield from _of_pair(_Pair(one, other, side), counts)


def _of_tool(tool: str, counts: Counts) -> Iterator[Candidate]:
    everywhere, runs = len(counts.traces), len({trace.run for trace in counts.traces})
    of, sizes = counts.of[tool], counts.sizes
    calls = sum(of.values())
    ends = sum(chance.first_of(of.get(index, 0), size) for index, size in enumerate(sizes) if size)
    called = len({trace.run for trace, size in zip(counts.traces, sizes, strict=True) if size})
    yield Candidate(f"{tool} first", ends, called)
    yield Candidate(f"{tool} last", ends, called)
    for number, times in ((1, "once"), (2, "twice")):
        if calls == number * everywhere:
            yield Candidate(f"{tool} exactly {times}", chance.exactly(number, sizes), runs)
    yield Candidate(f"{tool} at least once", chance.at_least_once(calls, sizes), runs)
    yield Candidate(f"{tool} at most once", chance.at_most_once(calls, sizes), counts.runs(tool))


def _of_pair(pair: _Pair, counts: Counts) -> Iterator[Candidate]:
    totals = [0.0, 0.0, 0.0]
    runs, partners = counts.runs(pair.wanting), counts.of[pair.wanted]
    for index, wanting in counts.of[pair.wanting].items():
        others = counts.sizes[index] - wanting - partners[index]
        for spacing, one in enumerate(chance.spacings(wanting, partners[index], others)):
            totals[spacing] += one
    for form, total in zip(_SPACED[pair.side], totals, strict=True):
        yield Candidate(pair.text(form), total, runs)
    sources = counts.paths(pair.wanted)
    if pair.side == "before":
        sources = [*sources, RESULT]
    for path in counts.paths(pair.wanting):
        for source in sources:
            log_p = _tied(pair, path, source, counts)
            if log_p > -inf:
                yield Candidate(f"{pair.text(_SPACED[pair.side][0])}{_link(pair, path, source)}", log_p, runs)


def _link(pair: _Pair, path: str, source: str) -> str:
    if path == source:
        return f" with same {path}"
    of_second, of_first = (path, source) if pair.side == "before" else (source, path)
    return f" where {of_second} from {of_first}"


def _tied(pair: _Pair, path: str, source: str, counts: Counts) -> float:
    """Return how likely chance keeps it, the greater of two: that of the order, and that of the values."""
    values: list[frozenset[str]] = []
    offered: list[frozenset[str]] = []
    for index in counts.of[pair.wanting]:
        asked = counts.values(index, pair.wanting, path)
        if not all(asked):
            return -inf
        values.append(asked[0])
        offered.append(frozenset[str]().union(*counts.values(index, pair.wanted, source)))
    log_p = chance.tied(_fitting(values, offered))
    if log_p == -inf:
        return log_p
    order = sum(
        chance.grouped(_groups(pair, path, source, index, counts)) for index in counts.of[pair.wanting]
    )
    # Values that have no partner are broken whatever the order, but it is the tie that says so.
    return max(log_p, order)


def _fitting(values: list[frozenset[str]], offered: list[frozenset[str]]) -> list[int]:
    """Return for each trace how many of the traces' values it could have taken."""
    single = Counter(next(iter(one)) for one in values if len(one) == 1)
    several = [one for one in values if len(one) > 1]
    return [
        sum(single[value] for value in single.keys() & one) + sum(more <= one for more in several)
        for one in offered
    ]


def _groups(
    pair: _Pair, path: str, source: str, index: int, counts: Counts
) -> list[tuple[set[int], set[int]]]:
    wanted = counts.values(index, pair.wanted, source)
    groups: dict[str, set[int]] = {}
    for place, values in enumerate(counts.values(index, pair.wanting, path)):
        for value in values:
            groups.setdefault(value, set()).add(place)
    # Sorted, as which groups are counted must not depend on the order of the calls.
    return [
        (calls, {-1 - place for place, values in enumerate(wanted) if value in values})
        for value, calls in sorted(groups.items())
    ]

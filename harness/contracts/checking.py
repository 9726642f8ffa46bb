"""Contracts held against calls of which only causes say which came first.

A precedence is kept if some first call was causally over before the second one began, and broken if none
was and none may have been. Where one only went on beside it, its order is chance: the verdict is
undetermined, which is weaker than kept and weaker than broken. In the same way every other template is
kept or broken only if it is so in every order that agrees with the causes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.contracts import templates as t
from harness.contracts.calls import Call
from harness.contracts.contract import TOGETHER, Contract, Value
from harness.contracts.templates import Part

Before = Callable[[Call, Call], bool]
Found = Literal["kept", "broken", "unclear", "pending"]


@dataclass(frozen=True, slots=True)
class Breach:
    """A call, or the lack of one, that breaks a contract or may do so."""

    call: Call | None
    """The call at fault; None where calls are missing altogether."""
    missing: str
    """What it lacks, or what must not have happened, in words."""
    certain: bool
    """False if it depends on an order that nothing decides, or on what was not recorded."""
    others: tuple[Call, ...] = ()
    """Calls that it concerns: those it clashes with, or that may have come in time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trace makes of a contract."""

    contract: Contract
    holds: Literal["satisfied", "violated", "undetermined"]
    activations: int
    """How often it had something to say."""
    fulfilled: int
    breaches: tuple[Breach, ...]
    pending: int = 0
    """What later calls may still fulfil, where the trace has not ended."""

    @property
    def vacuous(self) -> bool:
        """Whether it had nothing to say."""
        return not self.activations


def check(
    contract: Contract, calls: Sequence[Call], before: Before | None = None, *, ended: bool = True
) -> Verdict:
    """Return what `calls` make of a contract; calls that never ran are to be left out.

    Args:
        calls: In an order that agrees with `before`.
        before: Whether one call was over before another began; they follow each other if not given.
        ended: Whether no more calls will come.
    """
    relevant = [call for call in calls if contract.mentions(call.tool, own=call.own)]
    trace = _Trace(contract, relevant, before)
    results = list(_judged(trace, ended=ended))
    breaches = tuple(breach for _, breach in results if breach is not None)
    holds: Literal["satisfied", "violated", "undetermined"] = "satisfied"
    if breaches:
        holds = "violated" if any(breach.certain for breach in breaches) else "undetermined"
    found = [what for what, _ in results]
    return Verdict(contract, holds, len(found), found.count("kept"), breaches, found.count("pending"))


class _Trace:
    """The calls of a trace, and which came surely or possibly before which."""

    def __init__(self, contract: Contract, calls: Sequence[Call], before: Before | None) -> None:
        self.contract = contract
        self.calls = calls
        if before is not None and all(
            before(one, other) for one, other in zip(calls, calls[1:], strict=False)
        ):
            before = None
        self._before = before
        self.everything = range(len(calls))
        self.is_linear = before is None
        """Whether all calls follow each other, so that nothing is possible that is not sure."""

    def surely(self, one: int, other: int) -> bool:
        """Return whether `one` was before `other`."""
        if self._before is None:
            return one < other
        return one < other and self._before(self.calls[one], self.calls[other])

    def possibly(self, one: int, other: int) -> bool:
        """Return whether `one` may have been before `other`."""
        return one != other and not self.surely(other, one)

    def surely_clear(self, one: int, other: int, among: Sequence[int]) -> bool:
        """Return whether none of `among` can have come between the two."""
        if self._before is None:
            place = bisect_right(among, one)
            return place >= len(among) or among[place] >= other
        return all(
            each in (one, other) or self.surely(each, one) or self.surely(other, each) for each in among
        )

    def surely_paired(
        self, one: int, others: Sequence[int], among: Sequence[int], *, response: bool
    ) -> int | None:
        """Return one of `others` that surely comes after `one`, or before it, with nothing of `among` between."""
        if self._before is None:
            # Of calls that follow each other the nearest is as good as any.
            place = bisect_right(others, one) if response else bisect_left(others, one) - 1
            others = others[place : place + 1] if place >= 0 else ()
        for other in others if not response else reversed(others):
            pair = _pair(one, other, response=response)
            if other != one and self.surely(*pair) and self.surely_clear(*pair, among):
                return other
        return None

    def possibly_clear(self, one: int, other: int, among: Sequence[int]) -> bool:
        """Return whether it may be that none of `among` came between the two."""
        return not any(self.surely(one, each) and self.surely(each, other) for each in among)


@dataclass(slots=True)
class _Group:
    """The calls with one value; `None` in place of a role that is not known."""

    firsts: list[int]
    seconds: list[int]
    maybe_firsts: list[int]
    maybe_seconds: list[int]


def _groups(trace: _Trace) -> dict[Value, _Group]:
    contract = trace.contract
    groups: dict[Value, _Group] = {}
    unknown: tuple[list[int], list[int]] = ([], [])

    def group(value: Value) -> _Group:
        return groups.setdefault(value, _Group([], [], [], []))

    for index, call in enumerate(trace.calls):
        first, second = contract.roles(call)
        as_first = contract.values_as_first(call) if first else None
        as_second = contract.values_as_second(call) if second else None
        if first is None or (first and as_first is None):
            unknown[0].append(index)
        for value in as_first or ():
            group(value).firsts.append(index)
        if second is None or (second and as_second is None):
            unknown[1].append(index)
        for value in as_second if as_second else {("", call.key, "")} if as_second is not None else ():
            group(value).seconds.append(index)
    if not groups:
        group(TOGETHER)
    for one in groups.values():
        one.maybe_firsts, one.maybe_seconds = unknown
    return groups


def _judged(trace: _Trace, *, ended: bool) -> Iterator[tuple[Found, Breach | None]]:
    for group in _groups(trace).values():
        if trace.contract.template in t.COUNTS:
            yield from _count(trace, group, ended=ended)
        elif trace.contract.template.parts:
            for part in trace.contract.template.parts:
                yield from _part(trace, group, part, ended=ended)
        else:
            yield from _without_order(trace, group, ended=ended)


def _part(trace: _Trace, group: _Group, part: Part, *, ended: bool) -> Iterator[tuple[Found, Breach | None]]:
    """Judge every call that wants another one, after it or before it, or must not have it."""
    template, contract = trace.contract.template, trace.contract
    response = part == "response"
    active = group.firsts if response else group.seconds
    sure = group.seconds if response else group.firsts
    maybe = group.maybe_seconds if response else group.maybe_firsts
    among: Sequence[int] = (
        () if template.spacing == "any" else active if template.spacing == "alternate" else trace.everything
    )
    for one in active:
        certain = trace.surely_paired(one, sure, among, response=response)
        possible = (
            ()
            if certain is not None
            else tuple(
                trace.calls[other]
                for other in (*(() if trace.is_linear else sure), *maybe)
                if trace.possibly(*_pair(one, other, response=response))
                and trace.possibly_clear(*_pair(one, other, response=response), among)
            )
        )
        call = trace.calls[one]
        if template.negated:
            if certain is None and not possible:
                yield "kept", None
                continue
            others = possible if certain is None else (trace.calls[certain],)
            late, early = (others[:1] or (call,))[0], (call, *others[1:])
            if not response:
                late, early = call, others
            breach = Breach(late, contract.missing(late, second=True), certain is not None, early)
            yield ("unclear" if certain is None else "broken"), breach
        elif certain is not None:
            yield "kept", None
        elif not ended and response:
            yield "pending", None
        else:
            missing = contract.missing(call, second=not response)
            yield ("unclear" if possible else "broken"), Breach(call, missing, not possible, possible)


def _pair(one: int, other: int, *, response: bool) -> tuple[int, int]:
    return (one, other) if response else (other, one)


def _count(trace: _Trace, group: _Group, *, ended: bool) -> Iterator[tuple[Found, Breach | None]]:
    contract, seen, maybe = trace.contract, len(group.firsts), len(group.maybe_firsts)
    calls = trace.calls
    if contract.template is not t.EXISTENCE and seen + maybe > contract.number:
        over = (*group.firsts, *group.maybe_firsts)[contract.number :]
        certain = seen > contract.number
        missing = contract.missing(calls[over[0]], second=False)
        others = tuple(calls[index] for index in over[1:])
        yield ("broken" if certain else "unclear"), Breach(calls[over[0]], missing, certain, others)
    elif contract.template is not t.ABSENCE and seen < contract.number:
        if not ended:
            yield "pending", None
        else:
            short = seen + maybe < contract.number
            yield ("broken" if short else "unclear"), Breach(None, contract.owed(TOGETHER, seen), short)
    elif seen or contract.template is not t.ABSENCE:
        yield "kept", None


def _without_order(trace: _Trace, group: _Group, *, ended: bool) -> Iterator[tuple[Found, Breach | None]]:
    match trace.contract.template:
        case t.INIT | t.LAST:
            yield from _at_the_end(trace, group, ended=ended)
        case t.NOT_CO_EXISTENCE | t.NOT_RESPONDED_EXISTENCE:
            yield from _not_both(trace, group)
        case t.RESPONDED_EXISTENCE:
            yield from _both(trace, group, ended=ended)
        case _:
            yield from _both(trace, group, ended=ended)
            if group.seconds and not group.firsts:
                turned = _Group(group.seconds, [], group.maybe_seconds, group.maybe_firsts)
                yield from _both(trace, turned, ended=ended)


def _both(trace: _Trace, group: _Group, *, ended: bool) -> Iterator[tuple[Found, Breach | None]]:
    if not group.firsts:
        return
    if group.seconds:
        yield "kept", None
    elif not ended:
        yield "pending", None
    else:
        call = trace.calls[group.firsts[0]]
        maybe = tuple(trace.calls[index] for index in group.maybe_seconds)
        missing = trace.contract.owed(TOGETHER, 0)
        yield ("unclear" if maybe else "broken"), Breach(call, missing, not maybe, maybe)


def _not_both(trace: _Trace, group: _Group) -> Iterator[tuple[Found, Breach | None]]:
    if not group.firsts and not group.seconds:
        return
    firsts, seconds = [*group.firsts, *group.maybe_firsts], [*group.seconds, *group.maybe_seconds]
    if not firsts or not seconds:
        yield "kept", None
        return
    certain = bool(group.firsts and group.seconds)
    as_second = seconds[0] >= firsts[0]
    late, early = (seconds[0], firsts[0]) if as_second else (firsts[0], seconds[0])
    missing = trace.contract.missing(trace.calls[late], second=as_second)
    yield (
        ("broken" if certain else "unclear"),
        Breach(trace.calls[late], missing, certain, (trace.calls[early],)),
    )


def _at_the_end(trace: _Trace, group: _Group, *, ended: bool) -> Iterator[tuple[Found, Breach | None]]:
    """Judge what the first, or the last, call is."""
    first = trace.contract.template is t.INIT
    if first:
        outermost = [n for n in trace.everything if not any(trace.surely(m, n) for m in range(n))]
    else:
        outermost = [
            n for n in trace.everything if not any(trace.surely(n, m) for m in trace.everything[n + 1 :])
        ]
    if not outermost:
        return
    if not first and not ended:
        yield "pending", None
        return
    right = [n for n in outermost if n in group.firsts]
    if len(right) == len(outermost):
        yield "kept", None
        return
    wrong = next(n for n in outermost if n not in group.firsts)
    certain = not right and not any(n in group.maybe_firsts for n in outermost)
    call = trace.calls[wrong]
    missing = trace.contract.missing(call, second=False)
    yield (
        ("broken" if certain else "unclear"),
        Breach(call, missing, certain, tuple(trace.calls[n] for n in right)),
    )

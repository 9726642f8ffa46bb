"""One contract: a template filled in with calls, and everything that is said about it in words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

from harness.contracts import templates as t
from harness.contracts.automata import Automaton, counter
from harness.contracts.calls import Call
from harness.contracts.patterns import Pattern
from harness.contracts.templates import Template
from harness.contracts.values import canonical, spellings, words_in

Severity = Literal["info", "warning", "error"]
Enforce = Literal["live", "check"]
Value = tuple[str, ...]
"""What ties calls together: those with equal values are judged together, apart from all others."""

TOGETHER: Value = ()
"""The value of all calls where nothing ties them together."""

_MOST_COMBINATIONS = 100


@dataclass(frozen=True, slots=True)
class Link:
    """Which first and second calls belong together: those in which these values are equal."""

    of_second: tuple[str, ...]
    """Paths of arguments of the second call."""
    of_first: tuple[str, ...]
    """Paths of arguments of the first call, or of its result."""
    from_result: bool = False

    @property
    def phrase(self) -> str:
        """How they belong together, as part of a sentence."""
        if self.from_result:
            where = f" at {self.of_first[0]}" if self.of_first[0] else ""
            return f" whose result holds its {self.of_second[0]}{where}"
        if self.of_first == self.of_second:
            return f" with the same {' and '.join(self.of_second)}"
        return f" whose {self.of_first[0]} is its {self.of_second[0]}"


@dataclass(frozen=True, slots=True)
class Contract:
    """What must hold of the calls of an agent run, or of all agents of a run."""

    text: str
    template: Template
    first: Pattern
    second: Pattern | None = None
    number: int = 0
    """Of a count."""
    link: Link | None = None
    identical: bool = False
    """Whether it counts calls of one tool with equal arguments."""
    per_turn: bool = False
    because: str = ""
    severity: Severity = "error"
    enforce: Enforce = "live"

    @property
    def automaton(self) -> Automaton:
        """The automaton of calls that have one value."""
        match self.template:
            case t.EXISTENCE:
                return counter(self.number, None)
            case t.ABSENCE:
                return counter(0, self.number)
            case t.EXACTLY:
                return counter(self.number, self.number)
            case _:
                assert self.template.automaton is not None
                return self.template.automaton

    @property
    def minds_all(self) -> bool:
        """Whether calls that it does not name can make a difference."""
        return self.automaton.minds_others

    def mentions(self, tool: str, *, own: bool) -> bool:
        """Return whether a call of this tool can make a difference."""
        if self.minds_all and not own:
            return True
        second = self.second is not None and self.second.mentions(tool, own=own)
        return second or self.first.mentions(tool, own=own)

    def roles(self, call: Call) -> tuple[bool | None, bool | None]:
        """Return whether a call is of the first and of the second kind; None where that is not known."""
        return self.first.matches(call), False if self.second is None else self.second.matches(call)

    def values_as_first(self, call: Call) -> set[Value] | None:
        """Return the values of a call of the first kind; None if they are not known."""
        if self.identical or self.per_turn:
            return self._values_of_count(call)
        if self.link is None:
            return {TOGETHER}
        if self.link.from_result:
            found = None if call.result is None else words_in(call.result, self.link.of_first[0])
            return None if found is None else {(word,) for word in found}
        return _values(call, self.link.of_first)

    def values_as_second(self, call: Call) -> set[Value] | None:
        """Return the values of a call of the second kind; None if they are not known."""
        return {TOGETHER} if self.link is None else _values(call, self.link.of_second)

    def _values_of_count(self, call: Call) -> set[Value] | None:
        place = (call.agent, str(call.turn)) if self.per_turn else ()
        if self.link is not None:
            values = _values(call, self.link.of_first)
            return None if values is None else {(*place, *value) for value in values}
        if not self.identical:
            return {place}
        return None if call.arguments is None else {(*place, call.tool, canonical(dict(call.arguments)))}

    # --- in words ---

    def __str__(self) -> str:
        return self.text

    @property
    def meaning(self) -> str:
        """The contract as one sentence."""
        one, other = self.first.phrase, self.second.phrase if self.second else ""
        linked = self.link.phrase if self.link else ""
        sentence = _MEANINGS.get(self.template.name)
        if sentence is not None:
            return sentence.format(a=one, b=other, l=linked)
        kind = {t.EXISTENCE: "at least", t.ABSENCE: "at most"}.get(self.template, "exactly")
        what = f"{one}{linked}"
        if self.identical:
            what = f"one and the same call{'' if one == 'any call' else f' of {one}'}"
        return f"{what}: {kind} {times(self.number)}{' in one turn' if self.per_turn else ''}"

    def missing(self, call: Call, *, second: bool) -> str:
        """Return what a call that broke the contract lacks, or what it must not do.

        Args:
            second: Whether it is as a call of the second kind that it broke it.
        """
        one, other = self.first.phrase, self.second.phrase if self.second else ""
        values = self._values_in_words(call, second=second)
        if self.template in t.COUNTS:
            kind = "exactly" if self.template is t.EXACTLY else "at most"
            again = "the same call may be made" if self.identical else f"{one} may be called"
            return f"{again}{values} {kind} {times(self.number)}{' in one turn' if self.per_turn else ''}"
        sentences = _MISSING_OF_SECOND if second else _MISSING_OF_FIRST
        sentence = sentences.get(self.template.name) or f"it breaks: {self.meaning}"
        return sentence.format(a=one, b=other, l=values)

    def owed(self, value: Value, seen: int) -> str:
        """Return what is still to be done before the calls may end.

        Args:
            seen: How many calls were counted, for counts.
        """
        one, other = self.first.phrase, self.second.phrase if self.second else ""
        linked = ""
        if self.link is not None and value:
            named = zip(
                self.link.of_first if self.template in t.COUNTS else self.link.of_second, value, strict=False
            )
            linked = f" with {', '.join(f'{path} {_short(text)}' for path, text in named)}"
        if self.template in t.COUNTS:
            kind = "exactly" if self.template is t.EXACTLY else "at least"
            return f"{one}{linked} is to be called {kind} {times(self.number)}, and was called {times(seen)}"
        return _OWED[self.template.name].format(a=one, b=other, l=linked)

    def _values_in_words(self, call: Call, *, second: bool) -> str:
        if self.link is None:
            return ""
        paths = self.link.of_second if second else self.link.of_first
        values = _values(call, paths) if second or not self.link.from_result else None
        if self.link.from_result and second:
            told = f"{paths[0]} {_short(next(iter(values))[0])}" if values else f"its {paths[0]}"
            return f" whose result holds {told}"
        if not values:
            return f" with the same {' and '.join(paths)}, which this call does not give"
        named = self.link.of_first if second else self.link.of_second
        told = ", ".join(f"{path} {_short(text)}" for path, text in zip(named, min(values), strict=False))
        return f" with {told}"


def times(number: int) -> str:
    """Return a number of times in words."""
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def _values(call: Call, paths: tuple[str, ...]) -> set[Value] | None:
    """Return every combination of the values at `paths`; none if one of them is not given."""
    if call.arguments is None:
        return None
    found = [spellings(call.arguments, path)[:_MOST_COMBINATIONS] for path in paths]
    return {value for value, _ in zip(product(*found), range(_MOST_COMBINATIONS), strict=False)}


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


_MEANINGS = {
    "init": "the first call is {a}",
    "last": "the last call is {a}",
    "responded existence": "where {a} is called, {b}{l} is called too, before or after",
    "co-existence": "{a} and {b}{l} are both called, or neither",
    "response": "after every {a} there is a call of {b}{l}",
    "precedence": "before every {b} there is a call of {a}{l}",
    "succession": "after every {a} there is a call of {b}{l}, and before every {b} one of {a}",
    "alternate response": "after every {a} there is a call of {b}{l} before {a} comes again",
    "alternate precedence": "before every {b} there is a call of {a}{l} of its own, since the {b} before",
    "alternate succession": "{a} and {b}{l} come by turns, beginning with {a} and ending with {b}",
    "chain response": "the call right after every {a} is {b}{l}",
    "chain precedence": "the call right before every {b} is {a}{l}",
    "chain succession": "the call right after every {a} is {b}{l}, and right before every {b} it is {a}",
    "not co-existence": "{a} and {b}{l} are never both called",
    "not responded existence": "where {a} is called, {b}{l} is not, neither before nor after",
    "not response": "after {a} there is no call of {b}{l} any more",
    "not precedence": "before {b} there is no call of {a}{l}",
    "not succession": "{b}{l} never comes after {a}",
    "not chain response": "the call right after {a} is never {b}{l}",
    "not chain precedence": "the call right before {b} is never {a}{l}",
    "not chain succession": "{b}{l} never comes right after {a}",
}
_MISSING_OF_SECOND = {
    "precedence": "an earlier call of {a}{l} is missing",
    "succession": "an earlier call of {a}{l} is missing",
    "alternate precedence": "a call of {a}{l} since the last {b} is missing",
    "alternate succession": "a call of {a}{l} since the last {b} is missing",
    "chain precedence": "the call right before it must be {a}{l}",
    "chain succession": "the call right before it must be {a}{l}",
    "not co-existence": "it must not be called in one run with {a}{l}",
    "not responded existence": "it must not be called in one run with {a}{l}",
    "not response": "it must not be called after {a}{l}",
    "not precedence": "it must not be called after {a}{l}",
    "not succession": "it must not be called after {a}{l}",
    "not chain response": "it must not be called right after {a}{l}",
    "not chain precedence": "it must not be called right after {a}{l}",
    "not chain succession": "it must not be called right after {a}{l}",
    "chain response": "the call right after {a} must be {b}{l}",
}
_MISSING_OF_FIRST = {
    "init": "the first call must be {a}",
    "last": "the last call must be {a}",
    "response": "a later call of {b}{l} is missing",
    "succession": "a later call of {b}{l} is missing",
    "responded existence": "a call of {b}{l} is missing",
    "co-existence": "a call of {b}{l} is missing",
    "alternate response": "a call of {b}{l} is missing before {a} may come again",
    "alternate succession": "a call of {b}{l} is missing before {a} may come again",
    "chain response": "the call right after {a} must be {b}{l}",
    "chain succession": "the call right after {a} must be {b}{l}",
    "not co-existence": "it must not be called in one run with {b}{l}",
    "not responded existence": "it must not be called in one run with {b}{l}",
}
_OWED = {
    "last": "{a} must be the last call",
    "responded existence": "{a} was called, so {b}{l} must be too",
    "co-existence": "{a} and {b}{l} must both be called, or neither",
    "response": "{a} was called, so {b}{l} must be called after it",
    "succession": "{a} was called, so {b}{l} must be called after it",
    "alternate response": "{a} was called, so {b}{l} must be called after it",
    "alternate succession": "{a} was called, so {b}{l} must be called after it",
    "chain response": "{a} was called, so {b}{l} must be called right after it",
    "chain succession": "{a} was called, so {b}{l} must be called right after it",
}

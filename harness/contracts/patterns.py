"""Which calls a contract is about: tools, arguments, results, and how they ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, cast

import orjson

from harness.contracts.calls import Call
from harness.contracts.values import MISSING, is_like, number_in, readings

Operator = Literal["=", "!=", ">", ">=", "<", "<="]
Wanted = str | bool | float

_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Condition:
    """What one argument, or one value of the result, must be like."""

    path: str
    """Names joined by dots; empty for the whole result."""
    operator: Operator
    wanted: tuple[Wanted, ...]
    """Values of which one fits; text is a glob."""
    of_result: bool = False

    def holds(self, call: Call, *, every: bool) -> bool | None:
        """Return whether it holds, None if that is not known.

        Args:
            every: Whether all that may be meant must fit, not only something.
        """
        if self.of_result:
            if call.result is None:
                return None
            values: Iterable[Any] = _in_result(call.result, self.path)
        elif call.arguments is None:
            return None
        else:
            values = readings(call.arguments, self.path)
        wanted = all if every else any
        return wanted(self._fits(value) for value in values)

    def _fits(self, value: Any) -> bool:
        if self.operator in ("=", "!="):
            return any(is_like(value, one) for one in self.wanted) == (self.operator == "=")
        number, bound = number_in(value), self.wanted[0]
        if number is None or isinstance(bound, str):
            return False
        return {">": number > bound, ">=": number >= bound, "<": number < bound, "<=": number <= bound}[
            self.operator
        ]


@dataclass(frozen=True, slots=True)
class CallPattern:
    """Calls of the tools that fit one glob, under conditions."""

    tool: str
    conditions: tuple[Condition, ...] = ()
    outcome: Literal["succeeds", "fails"] | None = None
    by: str = ""
    """A glob of names of agents; empty for all."""
    words: str = ""
    """As it was written."""

    def mentions(self, tool: str, *, own: bool) -> bool:
        """Return whether it may be about a call of this tool; a glob never means the harness's own."""
        return self.tool == tool if own else fnmatchcase(tool, self.tool)

    def matches(self, call: Call, *, every: bool) -> bool | None:
        """Return whether it is about this call, None if that is not known."""
        if not self.mentions(call.tool, own=call.own):
            return False
        if self.by and not fnmatchcase(call.agent_name, self.by):
            return False
        found: list[bool | None] = [one.holds(call, every=every) for one in self.conditions]
        if self.outcome is not None:
            found.append(None if call.is_error is None else call.is_error == (self.outcome == "fails"))
        return False if False in found else None if None in found else True

    @property
    def phrase(self) -> str:
        """What it is about, as part of a sentence."""
        ends = {"succeeds": " that succeeded", "fails": " that failed", None: ""}[self.outcome]
        return f"{self.words or self.tool}{f' by {self.by}' if self.by else ''}{ends}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Calls that fit one of several patterns."""

    alternatives: tuple[CallPattern, ...]
    every: bool = False
    """Whether all that may be meant by an argument must fit: so where the call is what allows another one."""

    def mentions(self, tool: str, *, own: bool) -> bool:
        """Return whether it may be about a call of this tool."""
        return any(one.mentions(tool, own=own) for one in self.alternatives)

    def matches(self, call: Call) -> bool | None:
        """Return whether it is about this call, None if that is not known."""
        unknown = False
        for one in self.alternatives:
            fits = one.matches(call, every=self.every)
            if fits:
                return True
            unknown = unknown or fits is None
        return None if unknown else False

    @property
    def phrase(self) -> str:
        """What it is about, as part of a sentence."""
        return " or ".join(one.phrase for one in self.alternatives)

    @property
    def tools(self) -> tuple[str, ...]:
        """The globs of tools it names."""
        return tuple(one.tool for one in self.alternatives)


ANY_CALL = Pattern((CallPattern("*", words="any call"),))


def is_glob(text: str) -> bool:
    """Return whether a text stands for several."""
    return bool(_GLOB.search(text))


def _in_result(result: str, path: str) -> list[Any]:
    if not path:
        return [result]
    try:
        parsed = orjson.loads(result)
    except orjson.JSONDecodeError:
        return [MISSING]
    return list(readings(cast("dict[str, Any]", parsed), path))

"""Who may call what, and when a person is asked: rules of the team file over proposed tool calls.

For each agent the first rule that matches decides, and over an agent and all it works for the
strictest verdict holds, so that delegating never widens what may be done.

What a condition cannot tell counts against the call. An argument may be read in more than one
way: a list is each of its items, and a text with `..` in it is also the path it leads to. A rule
that says `yes` matches only if every reading fits; one that says `ask` or `no` matches if any
does. What a server makes of an argument beyond that (links, escapes, upper and lower case) no
rule can see, so a rule that names what is allowed holds better than one that names what is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from harness.contracts.values import is_like, number_in, readings
from harness.events import EffectClass
from harness.team import ConditionSpec, PermissionSpec

_STRICTNESS = {"yes": 0, "ask": 1, "no": 2}


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """A tool call that a model asks for."""

    tool: str
    """`server.tool`."""
    arguments: Mapping[str, Any]
    effect: EffectClass


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may be made."""

    allow: Literal["yes", "ask", "no"]
    reason: str = ""
    """For the person who is asked or the model that is refused; empty if nobody is."""
    expires_seconds: float | None = None
    """How long the question waits for an answer; for good if None."""


_ALLOWED = Verdict("yes")


class Permissions:
    """The `permissions:` of a team file; what no rule matches is allowed."""

    def __init__(self, rules: Sequence[PermissionSpec] = ()) -> None:
        self._rules = tuple(enumerate(rules))

    def verdict(self, lineage: Sequence[str], call: ProposedCall) -> Verdict:
        """Return the strictest of what the rules say for each agent of `lineage`.

        Where several rules ask, the question gives all their reasons and the shortest time.

        Args:
            lineage: Names of the agent and of all agents it works for, in any order.
        """
        if not self._rules:
            return _ALLOWED
        verdict = _ALLOWED
        for name in lineage:
            verdict = _stricter(verdict, self._verdict_for(name, call))
        return verdict

    def _verdict_for(self, name: str, call: ProposedCall) -> Verdict:
        for index, rule in self._rules:
            if fnmatchcase(name, rule.agent) and _matches(rule, call):
                return _spelled_out(rule, index, name, call)
        return _ALLOWED


def _spelled_out(rule: PermissionSpec, index: int, name: str, call: ProposedCall) -> Verdict:
    if rule.allow == "yes":
        return _ALLOWED
    if rule.allow == "ask":
        reason = rule.reason or f"permissions[{index}] asks before {name} calls {call.tool}"
        return Verdict("ask", reason, rule.expires)
    because = f": {rule.reason}" if rule.reason else ""
    return Verdict("no", f"the team file denies {call.tool} to {name} (permissions[{index}]){because}")


def _stricter(one: Verdict, other: Verdict) -> Verdict:
    if one.allow != other.allow or one.allow != "ask":
        return other if _STRICTNESS[other.allow] > _STRICTNESS[one.allow] else one
    reasons = dict.fromkeys((one.reason, other.reason))
    waits = [wait for wait in (one.expires_seconds, other.expires_seconds) if wait is not None]
    return Verdict("ask", "; ".join(reasons), min(waits, default=None))


def _matches(rule: PermissionSpec, call: ProposedCall) -> bool:
    if not fnmatchcase(call.tool, rule.tool) or (rule.effect and call.effect not in rule.effect):
        return False
    wanted = all if rule.allow == "yes" else any
    return all(
        wanted(_fits(condition, value) for value in readings(call.arguments, path))
        for path, condition in rule.when.items()
    )


def _fits(condition: ConditionSpec, value: Any) -> bool:
    if condition.one_of is not None and not any(is_like(value, wanted) for wanted in condition.one_of):
        return False
    if condition.none_of is not None and any(is_like(value, unwanted) for unwanted in condition.none_of):
        return False
    if condition.above is None and condition.below is None:
        return True
    number = number_in(value)
    above = -math.inf if condition.above is None else condition.above
    below = math.inf if condition.below is None else condition.below
    return number is not None and above < number < below

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
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, cast

from harness.events import EffectClass
from harness.team import ConditionSpec, PermissionSpec

_STRICTNESS = {"yes": 0, "ask": 1, "no": 2}
_MISSING: Final = object()
_WINDING = re.compile(r"(?:^|[/\\])\.\.?(?:[/\\]|$)|(?<!:)//")


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
        wanted(_fits(condition, value) for value in _readings(call.arguments, path))
        for path, condition in rule.when.items()
    )


def _readings(arguments: Mapping[str, Any], path: str) -> Iterator[Any]:
    """Yield everything that may be meant by `path`, at least one thing."""
    pending: list[tuple[Any, Sequence[str]]] = [(arguments, path.split("."))]
    while pending:
        value, rest = pending.pop()
        if isinstance(value, list):
            pending += _items(cast("list[Any]", value), rest)
        elif isinstance(value, Mapping) and rest:
            pending.append((cast("Mapping[str, Any]", value).get(rest[0], _MISSING), rest[1:]))
        elif rest or value is None or isinstance(value, Mapping):
            yield _MISSING
        else:
            yield value
            if isinstance(value, str) and _WINDING.search(value):
                yield _straightened(value)


def _items(items: list[Any], rest: Sequence[str]) -> list[tuple[Any, Sequence[str]]]:
    if rest and rest[0].isdecimal():
        index = int(rest[0]) if len(rest[0]) < 10 else len(items)
        return [(items[index] if index < len(items) else _MISSING, rest[1:])]
    return [(item, rest) for item in items] or [(_MISSING, rest)]


def _straightened(path: str) -> str:
    """Return where a path with `.`, `..` or `//` in it leads to; the scheme of a URL stays."""
    scheme, colon, rest = path.replace("\\", "/").rpartition("://")
    straight = posixpath.normpath(re.sub("^//+", "/", rest))
    slash = "/" if rest.endswith("/") and straight != "/" else ""
    return scheme + colon + straight + slash


def _fits(condition: ConditionSpec, value: Any) -> bool:
    if condition.one_of is not None and not any(_is(value, wanted) for wanted in condition.one_of):
        return False
    if condition.none_of is not None and any(_is(value, unwanted) for unwanted in condition.none_of):
        return False
    if condition.above is None and condition.below is None:
        return True
    number = _number(value)
    above = -math.inf if condition.above is None else condition.above
    below = math.inf if condition.below is None else condition.below
    return number is not None and above < number < below


def _is(value: Any, wanted: str | bool | float) -> bool:
    if value is _MISSING:
        return False
    if isinstance(wanted, str):
        return fnmatchcase(_spelled(value), wanted)
    if isinstance(wanted, bool):
        return _spelled(value) == _spelled(wanted)
    return _number(value) == wanted


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> float | None:
    """Return the number, also of text that is one: models write both."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None

"""Work left unchecked in a run that checks its work.

Two habits count. Who runs tests checks the source files it edits, each with whatever tests it chooses. And
who checks by name what a tool made, most of the times that it was called, is to check the rest of it too.
What comes after an edit is told by causes: a check made beside an edit, by an agent that does not wait for
it, may have seen the work as it was before.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache

from harness.diagnosis.case import Case, Detector
from harness.diagnosis.findings import Finding, Price, Remedy, Where
from harness.diagnosis.weighing import quote_call
from harness.record import Call
from harness.record.effects import words_of
from harness.record.values import argument_values, values_and_words

HABIT_CALLS = 3
HABIT_SHARE = 0.5
"""How many calls of a tool, and which share of them, must have been checked by name to make it a habit."""

_EDITS = frozenset(
    re.findall(r"\w+", "edit write patch replace apply create insert update delete remove put")
)
_TESTS = frozenset(re.findall(r"\w+", "test pytest build compile typecheck lint"))
_CHECKS = frozenset(re.findall(r"\w+", "verify validate check"))
_TESTING = re.compile(
    r"\b(pytest|unittest|tox|ruff|mypy|pyright|npm (run )?test|make (test|check)|cargo test|go test)\b"
)
_FILE = re.compile(r"[\w./-]+\.\w{1,5}")
_PROSE = re.compile(r".*\.(md|rst|txt|adoc|html?|csv|tsv|log|pdf|docx?|xlsx?|png|svg)", re.IGNORECASE)
"""Files that no test is about."""


def unverified_edits(case: Case) -> Iterable[Finding]:
    """Yield, for each agent, the changes that nothing verified afterwards although the run verifies its work."""
    changes: list[Call] = []
    tests: list[Call] = []
    checks: list[Call] = []
    newest: Call | None = None
    for call in case.order.linear():
        words = _stems(call.tool)
        if words & _TESTS or _TESTING.search(call.arguments):
            tests.append(newest := call)
        elif words & _CHECKS:
            checks.append(newest := call)
        elif words & _EDITS and not call.is_error:
            changes.append(call)
    if not changes:
        return
    left = _left_by_tests(case, changes, tests, checks)
    if checks:
        left += _left_by_habit(case, changes, tests, checks)
    by_agent: dict[str, list[Call]] = defaultdict(list)
    for change in left:
        by_agent[change.agent].append(change)
    for unverified in by_agent.values():
        yield _finding(case, unverified, newest)


def _left_by_tests(case: Case, changes: list[Call], tests: list[Call], checks: list[Call]) -> list[Call]:
    """Return the edits of source files after which nothing was tested, if the run tests or could have."""
    offered = (tool.name for agent in case.record.agents.values() for tool in agent.tools or ())
    if not tests and not any(_stems(name) & _TESTS for name in offered):
        return []
    is_verified = case.order.after_any([*tests, *checks])
    return [change for change in changes if _edits_source(change) and not is_verified(change)]


def _left_by_habit(case: Case, changes: list[Call], tests: list[Call], checks: list[Call]) -> list[Call]:
    """Return the changes that no check names, of tools whose changes are otherwise checked by name.

    A check that names nothing is about everything.
    """
    naming: dict[str, list[Call]] = defaultdict(list)
    of_all: list[Call] = []
    for check in (*tests, *checks):
        named = _named(check, result=False)
        for value in named:
            naming[value].append(check)
        if not named:
            of_all.append(check)
    made = {change.key: _named(change) for change in changes}
    after: dict[str, Callable[[Call], bool]] = {
        value: case.order.after_any(calls) for value, calls in naming.items()
    }
    is_checked = {
        change.key: any(after[value](change) for value in made[change.key] if value in after)
        for change in changes
    }
    whole = Counter(change.tool for change in changes)
    checked = Counter(change.tool for change in changes if is_checked[change.key])
    habits = {tool for tool, count in checked.items() if count >= max(HABIT_CALLS, HABIT_SHARE * whole[tool])}
    is_checked_with_all = case.order.after_any(of_all)
    return [
        change
        for change in changes
        if change.tool in habits
        and not _edits_source(change)
        and not is_checked[change.key]
        and not is_checked_with_all(change)
    ]


@lru_cache(maxsize=4096)
def _stems(tool: str) -> frozenset[str]:
    """Return the words of a tool's name and its server's, without the s of the plural."""
    server, _, name = tool.rpartition(".")
    words = words_of(server) | words_of(name)
    return frozenset(word.rstrip("s") if len(word) > 3 else word for word in words)


def _edits_source(call: Call) -> bool:
    files = [value for value in argument_values(call.arguments).values() if _FILE.fullmatch(value)]
    return any(not _PROSE.fullmatch(file) for file in files)


def _named(call: Call, *, result: bool = True) -> set[str]:
    return values_and_words(f"{call.arguments}\n{call.result or ''}" if result else call.arguments)[0]


def _finding(case: Case, unverified: list[Call], newest: Call | None) -> Finding:
    """Return what is to be said of the changes of one agent.

    Args:
        newest: The last verification of the run, if there is any.
    """
    last = unverified[-1]
    beside = newest is not None and case.order.concurrent(last, newest)
    told = "" if newest else "; nothing was verified at all"
    if newest is not None and beside:
        told = f"; {newest.tool} of {newest.agent} was called beside the last and may have missed it"
    return Finding(
        "unverified-edit",
        "info" if beside else "warning",
        f"{len(unverified)} changes, the last by {last.tool} in turn {last.turn} of {last.agent}, were not verified "
        f"by anything that came after them{told}",
        Where(
            agent=last.agent,
            turns=(last.turn,),
            calls=tuple(call.key for call in reversed(unverified)),
        ),
        evidence=tuple(quote_call(call) for call in unverified[-3:]),
        price=Price(action="the answer rests on work that nothing checked"),
        confidence=0.5 if beside else 0.9,
        remedy=Remedy(
            text="ask for a verification after the last edit, as a contract: each edit, then the tests"
        ),
        subject=last.tool,
    )


VERIFICATION = (
    Detector(
        "unverified-edit",
        "order",
        "Changes that nothing verified, in a run that verifies its work.",
        (),
        in_run=unverified_edits,
    ),
)

"""`harness diff` and `harness replay`: what two runs differ in, and whether one does again what it did."""

from __future__ import annotations

import sys
from dataclasses import asdict

from harness.cli.store import open_store
from harness.cli.terminal import one_line, plain, table
from harness.journal import resolve_run
from harness.replay.difference import Difference, Measure, RunDifference, compare_runs
from harness.views import json_line

SHOWN = 12
"""Differences of one kind that are listed; the number of the rest is said."""


def diff_runs(left: str, right: str, store: str | None, *, as_json: bool) -> int:
    """Print what two runs differ in; return 0 if they did the same, else 1."""
    journal = open_store(store)
    one, other = (list(journal.read(resolve_run(journal, reference))) for reference in (left, right))
    difference = compare_runs(one, other)
    if as_json:
        print(json_line({"same": difference.same, **asdict(difference)}))
    else:
        _print(difference)
    return 0 if difference.same else 1


def _print(difference: RunDifference) -> None:
    print(f"left   {difference.left}\nright  {difference.right}")
    if difference.ancestry:
        print(plain(difference.ancestry))
    for line in difference.team:
        print(f"team   {plain(line)}")
    if difference.first is None:
        print("\nboth did and said the same", file=sys.stderr)
    else:
        print(f"\nfirst divergence: {plain(difference.first.place)}, {difference.first.what}")
        _print_sides(difference.first, 400)
    for title, differences in (
        ("outcome", difference.outcome),
        ("plans", difference.plans),
        ("calls", difference.calls),
        ("windows", difference.windows),
    ):
        if differences:
            print(f"\n{title}: {len(differences)} different")
            for one in differences[:SHOWN]:
                print(f"  {plain(one.place)} {one.what}")
                _print_sides(one, 100)
            if len(differences) > SHOWN:
                print(f"  … and {len(differences) - SHOWN} more (--json lists all)")
    print()
    print(table([_row(measure) for measure in difference.measures], ("", "LEFT", "RIGHT", "CHANGE")))


def _print_sides(difference: Difference, width: int) -> None:
    for mark, text in (("-", difference.left), ("+", difference.right)):
        print(f"    {mark} {'nothing' if text is None else one_line(text, width)}")


def _row(measure: Measure) -> tuple[str, str, str, str]:
    left, right = measure.left, measure.right
    if left is None or right is None:
        return measure.name, _number(left), _number(right), ""
    change = "" if left == right else f"{right - left:+,.4g}"
    return measure.name, _number(left), _number(right), change


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4f}"

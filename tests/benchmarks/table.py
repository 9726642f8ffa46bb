"""Measurements made into rows, rows held against targets, and the table that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks import imports
from tests.benchmarks.compare import Pair
from tests.benchmarks.measure import Measurement
from tests.benchmarks.workloads import Workload

Figure = Callable[[Measurement], float]

CPU_RATIO = 2.0
GROWTH_RATIO = 1.3
WALL_RATIO = 2.5
PEAK_MB = 400.0
START_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the floor and of the harness, and what it should be."""

    workload: str
    figure: str
    unit: str
    floor: float | None
    """Median over the repetitions; None where nothing right was measured."""
    harness: float | None
    ratio: float | None
    """Median of the ratios pair by pair."""
    target: float | None = None
    target_of: Literal["ratio", "harness"] = "ratio"
    judged: bool = True
    """False where the sizes are too small for the target to mean anything."""
    note: str = ""
    """What went wrong, if something did."""

    @property
    def verdict(self) -> str:
        """`ok`, `MISSED`, `WRONG` where an answer was, or nothing where nothing is asked."""
        if self.note:
            return "WRONG"
        if self.target is None or not self.judged:
            return ""
        value = self.ratio if self.target_of == "ratio" else self.harness
        return "ok" if value is not None and value <= self.target else "MISSED"

    def cells(self) -> tuple[str, ...]:
        """Return the row as it is printed."""
        sign = "×" if self.target_of == "ratio" else f" {self.unit}"
        return (
            self.workload,
            self.figure,
            _shown(self.floor, self.unit),
            _shown(self.harness, self.unit),
            "" if self.ratio is None else f"{self.ratio:.2f}×",
            "" if self.target is None else f"≤ {self.target:g}{sign}",
            self.verdict,
        )


def rows_of(workload: Workload, pairs: Sequence[Pair], *, judged: bool) -> list[Row]:
    """Return the figures that matter for a workload, its targets with them."""
    name = workload.title

    def row(title: str, unit: str, figure: Figure, target: float | None = None) -> Row:
        return _row(name, title, unit, pairs, figure, target=target if judged else None)

    wall = row("wall time", "s", lambda one: one.wall_seconds)
    cpu = row("CPU per request", "ms", lambda one: one.cpu_seconds * 1000 / workload.requests)
    peak = row("peak memory", "MB", lambda one: one.peak_mb)
    match workload.name:
        case "w1" | "w1once":
            per_turn = row(
                "CPU per turn", "ms", lambda one: one.cpu_seconds * 1000 / workload.size, CPU_RATIO
            )
            return [per_turn, wall, peak]
        case "w2":
            wall = row("wall time", "s", lambda one: one.wall_seconds, WALL_RATIO)
            limit = PEAK_MB if judged and workload.size >= 1000 else None
            peak = _row(
                name, "peak memory", "MB", pairs, lambda one: one.peak_mb, target=limit, target_of="harness"
            )
            return [wall, peak, cpu]
        case _:
            growth = row(
                "growth, last/first", "×", lambda one: one.last_gap_ms / one.first_gap_ms, GROWTH_RATIO
            )
            early = row("gap, first turns", "ms", lambda one: one.first_gap_ms)
            late = row("gap, last turns", "ms", lambda one: one.last_gap_ms)
            return [growth, early, late, cpu, peak]


def start_rows(*, repetitions: int, judged: bool) -> list[Row]:
    """Return what starting costs beside pydantic and one model, and whether anything heavy came along."""
    rows: list[Row] = []
    for title, code in (("import harness", imports.IMPORT), ("harness --help", imports.HELP)):
        pairs = imports.alternate(code, repetitions=repetitions)
        wrong = [start.why for _, start in pairs if not start.right]
        heavy = imports.heavy_modules(code)
        note = wrong[0] if wrong else f"imports {', '.join(heavy)}" if heavy else ""
        rows.append(
            Row(
                workload="w4",
                figure=f"{title}, CPU",
                unit="ms",
                floor=_median([floor.cpu_seconds * 1000 for floor, _ in pairs]),
                harness=None if wrong else _median([one.cpu_seconds * 1000 for _, one in pairs]),
                ratio=None
                if wrong
                else _median([one.cpu_seconds / floor.cpu_seconds for floor, one in pairs]),
                target=START_RATIO if judged else None,
                judged=judged,
                note=note,
            )
        )
    return rows


def _row(
    name: str,
    title: str,
    unit: str,
    pairs: Sequence[Pair],
    figure: Figure,
    *,
    target: float | None,
    target_of: Literal["ratio", "harness"] = "ratio",
) -> Row:
    """Return one row from the pairs that are right, noting the first that is not."""
    floors = [figure(pair.floor) for pair in pairs if pair.floor.right]
    harnesses = [figure(pair.harness) for pair in pairs if pair.harness and pair.harness.right]
    ratios = [
        figure(pair.harness) / figure(pair.floor)
        for pair in pairs
        if pair.harness and pair.harness.right and pair.floor.right and figure(pair.floor)
    ]
    both = [one for pair in pairs for one in (pair.floor, pair.harness) if one is not None]
    wrong = [one.why for one in both if not one.right]
    return Row(
        workload=name,
        figure=title,
        unit=unit,
        floor=_median(floors),
        harness=_median(harnesses),
        ratio=_median(ratios),
        target=target,
        target_of=target_of,
        judged=any(pair.harness for pair in pairs),
        note=f"{len(wrong)} of {len(both)} wrong: {wrong[0]}" if wrong else "",
    )


def render(rows: Sequence[Row]) -> str:
    """Return the table as text, and below it what went wrong."""
    head = ("workload", "figure", "floor", "harness", "ratio", "target", "")
    lines = [head, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown: list[str] = []
    for line in lines:
        cells = [
            cell.ljust(width) if column < 2 or column > 4 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        shown.append("  ".join(cells).rstrip())
    shown.insert(1, "  ".join("-" * width for width in widths).rstrip())
    notes = dict.fromkeys(f"{row.workload}: {row.note}" for row in rows if row.note)
    return "\n".join([*shown, *(["", *notes] if notes else [])])


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1 if value >= 20 else 2
    return f"{value:.{digits}f}{'' if unit == '×' else ' '}{unit}"

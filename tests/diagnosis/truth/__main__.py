"""`python -m tests.diagnosis.truth`: the table of detectors, and with `--show-misses` what each got wrong."""

from __future__ import annotations

import argparse
import time

from .bases import untouched
from .defects import DEFECTS
from .scoring import Score, alarms, detector_named, disguised, measure, samples, written
from .script import SIZES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.diagnosis.truth", description=__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="how many runs of each family")
    parser.add_argument("--detector", action="append", choices=list(DEFECTS), help="only this one")
    parser.add_argument("--show-misses", action="store_true", help="print what was missed and what was false")
    given = parser.parse_args()
    print(
        f"{'detector':24}{'injected':>9}{'found':>7}{'false':>7}{'precision':>11}{'recall':>8}   by size",
        flush=True,
    )
    scores: list[Score] = []
    for name in given.detector or DEFECTS:
        detector = detector_named(name)
        if detector is None:
            print(f"{name:24}  there is no such detector yet")
            continue
        began = time.perf_counter()
        score = measure(detector, samples(name, range(given.seeds)))
        scores.append(score)
        print(f"{row(score)}  {time.perf_counter() - began:.1f} s", flush=True)
    if given.show_misses:
        for score in scores:
            for line in score.missed:
                print(f"missed {score.detector} in {line}")
            for line in score.wrong:
                print(f"false in {line}")
    if not given.detector:
        kinds = {
            "written": written(range(given.seeds * 4)),
            "with look-alikes": disguised(range(given.seeds * 2)),
            "ours and imported": untouched(given.seeds),
        }
        for kind, runs in kinds.items():
            found = alarms(runs)
            print(f"{found.runs} clean runs, {kind}: {found.alarms} alarms, {found.per_20:.2f} per 20 runs")
            if given.show_misses:
                print("\n".join(f"  alarm in {line}" for line in found.examples))


def row(score: Score) -> str:
    """Return a score as a line of the table."""
    sizes = "  ".join(f"{size} {score.by_size[size][0]}/{score.by_size[size][1]}" for size in SIZES)
    return (
        f"{score.detector:24}{score.injected:9}{score.found:7}{score.false:7}"
        f"{score.precision:11.3f}{score.recall:8.3f}   {sizes}"
    )


if __name__ == "__main__":
    main()

"""The command: choose workloads, run them in pairs, print the table.

    python -m tests.benchmarks                       everything, a few minutes
    python -m tests.benchmarks --only w1,w2          some of it
    python -m tests.benchmarks --api gemini --stream   w1 and w3 over another wire API; or several, with commas
    python -m tests.benchmarks --quick               small sizes: do they work at all?
    python -m tests.benchmarks --only w1 --profile DIR   where the harness's time goes

Exit code 0 when every answer was right and every target met, otherwise 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from tests.benchmarks import compare, table
from tests.benchmarks.model_server import model_server_process
from tests.benchmarks.wires import APIS
from tests.benchmarks.workloads import BY_NAME, Workload

SIZES = {"w1": (200,), "w1once": (200,), "w2": (100, 1000), "w3": (1000,)}
QUICK_SIZES = {"w1": (10,), "w1once": (10,), "w2": (4,), "w3": (24,)}
_FEWEST_STARTS = 7
"""Starts are so short that fewer say little."""


def arguments_of(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="The harness beside a hand-written loop, in one run."
    )
    parser.add_argument(
        "--only",
        help="some of w1, w1once, w2, w3, w4, with commas (default: all; with --api or --stream w1,w3)",
    )
    parser.add_argument("--api", help=f"some of {', '.join(APIS)}, with commas (default: openai-chat)")
    parser.add_argument("--stream", action="store_true", help="replies come piece by piece")
    parser.add_argument("--repetitions", type=int, default=5, help="pairs per workload (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and measurements here as well")
    parser.add_argument("--quick", action="store_true", help="small sizes, once; judges answers, not speed")
    parser.add_argument("--floor-only", action="store_true", help="leave the harness out")
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="DIR",
        help="no table: run each once under cProfile and keep the files",
    )
    arguments = parser.parse_args(argv)
    some = arguments.api or arguments.stream
    arguments.only = (arguments.only or ("w1,w3" if some else "w1,w1once,w2,w3,w4")).split(",")
    arguments.api = (arguments.api or "openai-chat").split(",")
    if unknown := (set(arguments.only) - {*SIZES, "w4"}) | (set(arguments.api) - APIS.keys()):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if not 1 <= arguments.repetitions <= 100:
        parser.error("1 to 100 repetitions")
    return arguments


def workloads_of(arguments: argparse.Namespace) -> list[Workload]:
    """Return the workloads asked for, in their order and sizes."""
    sizes = QUICK_SIZES if arguments.quick else SIZES
    return [
        replace(BY_NAME[name](size), api=api, stream=arguments.stream)
        for api in arguments.api
        for name in sizes
        if name in arguments.only
        for size in sizes[name]
    ]


def profile(arguments: argparse.Namespace, directory: Path) -> int:
    """Run each workload once under cProfile, leaving a file for each in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    client = compare.FLOOR if arguments.floor_only else compare.HARNESS
    failed = False
    with model_server_process() as base_url:
        for workload in workloads_of(arguments):
            file = directory / f"{workload.title.replace(' · ', '-')}-{client}.prof"
            measurement = compare.run_client(client, workload, base_url, profile=file)
            print(f"{file}: {measurement.cpu_seconds:.2f} s CPU {measurement.why}", file=sys.stderr)
            failed |= not measurement.right
    return int(failed)


def tabulate(arguments: argparse.Namespace) -> tuple[list[table.Row], dict[str, Any]]:
    """Run everything asked for; return the rows, and all measurements behind them."""
    repetitions = 1 if arguments.quick else arguments.repetitions
    clients = (compare.FLOOR,) if arguments.floor_only else (compare.FLOOR, compare.HARNESS)
    rows: list[table.Row] = []
    measured: dict[str, Any] = {}
    with model_server_process() as base_url:
        for workload in workloads_of(arguments):
            pairs = compare.run_pairs(workload, base_url, repetitions=repetitions, clients=clients)
            rows += table.rows_of(workload, pairs, judged=not arguments.quick)
            measured[workload.title] = [asdict(pair) for pair in pairs]
    if "w4" in arguments.only and not arguments.floor_only:
        starts = 1 if arguments.quick else max(_FEWEST_STARTS, repetitions)
        rows += table.start_rows(repetitions=starts, judged=not arguments.quick)
    return rows, measured


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    arguments = arguments_of(argv)
    if arguments.profile:
        return profile(arguments, arguments.profile)
    rows, measured = tabulate(arguments)
    machine = f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    print(table.render(rows))
    print(f"\nmedians of fresh processes, ratios pair by pair; {machine}")
    if arguments.json:
        verdicts = [asdict(row) | {"verdict": row.verdict} for row in rows]
        content = {"machine": machine, "rows": verdicts, "measurements": measured}
        arguments.json.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return int(any(row.verdict in ("MISSED", "WRONG") for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""The harness doing the same work as the floor, as a user would have it: journal on disk, spans written."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import harness
from tests.benchmarks import measure, tool_server
from tests.benchmarks.workloads import Workload

TEAMS = Path(__file__).resolve().parent / "teams"


def environment(workload: Workload, base_url: str) -> dict[str, str]:
    """Return the variables the team files refer to."""
    return {
        "BENCH_URL": base_url,
        "BENCH_API": workload.api,
        "BENCH_STREAM": str(workload.stream).lower(),
        "BENCH_PYTHON": sys.executable,
        "BENCH_TOOL_SERVER": str(Path(tool_server.__file__).resolve()),
    }


@asynccontextmanager
async def open_harness(workload: Workload, base_url: str) -> AsyncGenerator[measure.Ask]:
    """Open the workload's team with a durable journal and a trace file, in a directory that goes away."""
    os.environ.update(environment(workload, base_url))
    with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as name:
        directory = Path(name)
        team, store, trace = TEAMS / workload.team, directory / "runs.db", directory / "trace.jsonl"
        to_file = os.environ.get("BENCH_TRACING", "file") == "file"
        async with harness.open(team, store=store, trace=trace if to_file else None) as opened:

            async def ask(task: str) -> str:
                run = await opened.start(task)
                result = await run.result()
                if result.stop_reason != "done":
                    return f"{result.stop_reason}: {result.error}; {result.output}"
                return str(result.output)

            yield ask
        for file, holds in ((store, "journal"), *(((trace, "spans"),) if to_file else ())):
            if not file.exists() or not file.stat().st_size:
                raise RuntimeError(f"the harness wrote no {holds}: it was measured without them")


if __name__ == "__main__":
    measure.main(open_harness)

"""Print how many durable effects a second a store takes.

    python -m tests.journal.throughput [STORE]...

An effect is recorded as started, waited for until that is on disk, and recorded as finished. Each
writer is a run of its own. Without arguments: a file in the temporary directory, and a private
PostgreSQL if it is installed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import anyio

from harness.events import Recorded, ToolCallFinished, ToolCallStarted
from harness.journal import Journal, new_run_id, open_journal
from tests.postgres_cluster import running_cluster

SECONDS = 3.0
WRITERS = (1, 16, 256, 1000)
RESULT = "A line of what the tool found, and where it stands. " * 20


async def write(journal: Journal, run_id: str, until: float, waits: list[float]) -> None:
    number = 0
    while time.perf_counter() < until:
        key = f"lead/turn-{number}/0"
        place = {"agent": "lead", "turn": number, "call_id": "c1", "key": key, "tool": "corpus.read"}
        started = ToolCallStarted(**place, arguments='{"document": "four"}', effect="once")
        journal.append((Recorded(run_id, 2 * number, time.time(), started),))
        before = time.perf_counter()
        await journal.durable(run_id)
        waits.append(time.perf_counter() - before)
        finished = ToolCallFinished(**place, shown=f"{run_id} {number}: {RESULT}")
        journal.append((Recorded(run_id, 2 * number + 1, time.time(), finished),))
        number += 1


async def measure(store: str, writers: int) -> str:
    journal = open_journal(store, write=True)
    waits: list[float] = []
    commits, cpu, start = journal.commits, time.process_time(), time.perf_counter()  # type: ignore[attr-defined]
    async with anyio.create_task_group() as tasks:
        for _ in range(writers):
            tasks.start_soon(write, journal, new_run_id(), start + SECONDS, waits)
    await journal.durable()
    seconds = time.perf_counter() - start
    commits = journal.commits - commits  # type: ignore[attr-defined]
    cpu = time.process_time() - cpu
    await journal.close()
    waits.sort()
    middle, late = (waits[int(len(waits) * part)] * 1000 for part in (0.5, 0.99))
    return (
        f"{writers:7} {len(waits) / seconds:12,.0f} {middle:10.1f} {late:10.1f} "
        f"{commits / seconds:11,.0f} {cpu / len(waits) * 1e6:13.0f}"
    )


async def compare(stores: list[str]) -> None:
    for store in stores:
        print(f"\n{store.partition('?')[0]}")
        print("writers    effects/s     p50 ms     p99 ms   commits/s  CPU µs/effect")
        for writers in WRITERS:
            print(await measure(store, writers), flush=True)


def main(stores: list[str]) -> None:
    if stores:
        anyio.run(compare, stores)
        return
    with tempfile.TemporaryDirectory() as folder, running_cluster() as cluster:
        stores = [str(Path(folder) / "journal.db")]
        if cluster is None:
            print("PostgreSQL is not installed, and not measured")
        else:
            stores.append(cluster.new_database())
        anyio.run(compare, stores)
    print(f"\n{os.cpu_count()} cores, {SECONDS:g} s each; the client's own CPU time only")


if __name__ == "__main__":
    main(sys.argv[1:])

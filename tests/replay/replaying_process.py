"""Replays every run of a store or of bundles in a process of its own, with the network closed.

    python replaying_process.py TIMES PLACE...

Prints one JSON line for each replay, and a last one with what it all cost. What a replay costs here is
all that it takes: reading the run, restoring its team, carrying it out again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import anyio
import orjson

from harness import fold
from harness.events import Recorded
from harness.journal import open_journal
from harness.replay.bundle import read_bundle
from harness.replay.divergence import describe_divergence
from harness.replaying import replay_run
from tests.machine import slowness

FORBIDDEN = (
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "socket.sendto",
    "subprocess.Popen",
    "os.exec",
)


def close_network() -> None:
    """Refuse every way out of this process, and check that it is refused."""

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(f"{event} {arguments}")

    sys.addaudithook(refuse)
    import socket

    try:
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    except PermissionError:
        return
    raise AssertionError("the network is open")


def runs_in(place: Path) -> Iterator[list[Recorded]]:
    """Yield the runs of a store or a bundle."""
    if place.suffix == ".harness":
        yield from read_bundle(place).values()
        return
    journal = open_journal(place, write=False)
    for summary in journal.runs():
        yield list(journal.read(summary.run_id))


async def main(times: int, places: list[Path]) -> None:
    """Replay everything that often and print what came of it."""
    close_network()
    turns, seconds, cpu, slow = 0, 0.0, 0.0, list[float]()
    for place in places * times:
        runs = runs_in(place)
        while True:
            began, began_cpu = time.perf_counter(), time.process_time()
            recorded = next(runs, None)
            if recorded is None:
                break
            replay = (await replay_run(recorded)).replay
            seconds += time.perf_counter() - began
            cpu += time.process_time() - began_cpu
            turns += replay.turns
            slow.append(slowness(pieces=100, rounds=1))
            told = {
                "run": replay.run_id,
                "exact": replay.exact,
                "ended": replay.ended,
                "same_state": replay.state == fold(recorded),
                "wrong": [
                    describe_divergence(one, recorded, replay.state).text for one in replay.divergences
                ],
                "missing": [f"{item.sequence} {item.event.type}" for item in replay.missing[:5]],
            }
            print(orjson.dumps(told).decode())
    print(orjson.dumps({"turns": turns, "seconds": seconds, "cpu": cpu, "slow": mean(slow)}).decode())


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]), [Path(place) for place in sys.argv[2:]])

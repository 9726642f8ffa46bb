"""Replays every run of a store twice, where nothing can be reached, and prints what came of it.

python -m tests.replay.replaying_process STORE
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import anyio

from harness import fold
from harness.events import RunFinished
from harness.journal import open_journal
from harness.replaying import replay_run


def close_the_network() -> None:
    """Make every attempt to reach anything an error that nobody can overlook."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in (
            "socket.connect",
            "socket.getaddrinfo",
            "socket.sendto",
            "socket.bind",
            "urllib.Request",
        ):
            raise SystemExit(f"the network was used: {event} {arguments}")

    sys.addaudithook(refuse)


async def replay_all(store: str) -> dict[str, Any]:
    """Replay everything; return how much it was, the CPU seconds it took, and what was not exact."""
    journal = open_journal(store, write=False)
    faults: list[str] = []
    turns = runs = 0
    seconds = 0.0
    for summary in journal.runs():
        recorded = list(journal.read(summary.run_id))
        began = time.process_time()
        replay = (await replay_run(recorded)).replay
        seconds += time.process_time() - began
        turns, runs = turns + replay.turns, runs + 1
        if not replay.exact:
            first = [str(one) for one in replay.divergences] or [item.event.type for item in replay.missing]
            faults.append(f"{summary.run_id}: {first[0]}")
        elif isinstance(recorded[-1].event, RunFinished) and replay.ended and replay.state != fold(recorded):
            faults.append(f"{summary.run_id}: another state")
    return {"runs": runs, "turns": turns, "seconds": seconds, "faults": faults}


if __name__ == "__main__":
    close_the_network()
    for _ in range(2):
        print(json.dumps(anyio.run(replay_all, sys.argv[1])), flush=True)

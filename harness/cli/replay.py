"""`harness replay`: proves that a run does again what it did, or shows where it does not."""

from __future__ import annotations

import sys
from dataclasses import asdict

import anyio

from harness.cli.store import store_name
from harness.cli.terminal import count, plain
from harness.replaying import Replayed, find_runs, replay_run
from harness.views import json_line


def replay_runs(reference: str, store: str | None, against: str | None, *, as_json: bool) -> int:
    """Replay a run or a bundle; return 0 if everything was as recorded, else 1."""
    runs = find_runs(reference, store_name(store))

    async def main() -> list[Replayed]:
        return [await replay_run(recorded, against=against) for recorded in runs]

    results = anyio.run(main)
    for result in results:
        if as_json:
            print(json_line(_view(result)))
        else:
            _print(result, against)
    return 0 if all(result.exact for result in results) else 1


def _print(result: Replayed, against: str | None) -> None:
    replay = result.replay
    if result.exact:
        same = "the same requests" if against else "byte-equal requests, every event the same"
        cut = "" if replay.ended else "; the run was cut off there"
        for line in result.team:
            print(f"team: {plain(line)}")
        print(f"run {replay.run_id}: {count(replay.requests, 'request')}, {same}{cut}")
    else:
        print(plain(result.text))
    rate = replay.turns / replay.seconds if replay.seconds else 0
    print(f"{count(replay.turns, 'turn')} in {replay.seconds:.2f} s, {rate:,.0f} a second", file=sys.stderr)


def _view(result: Replayed) -> dict[str, object]:
    replay = result.replay
    return {
        "run_id": replay.run_id,
        "exact": result.exact,
        "ended": replay.ended,
        "turns": replay.turns,
        "events": replay.events,
        "requests": replay.requests,
        "recorded_requests": replay.recorded_requests,
        "seconds": replay.seconds,
        "team": list(result.team),
        "differences": [asdict(difference) for difference in result.differences],
    }

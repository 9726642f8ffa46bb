"""A thousand runs in one process: how fast they are, and what is left of them when it is killed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from crowd import ANSWER
from diary import Diary
from processes import Processes, ended
from records import Record, check_files, check_nothing_lost, in_doubt, read_all

from harness.events import RunStarted

RUNS = 1000
EFFECTS_A_SECOND = 1000
"""Each waits for the disk before it happens and is recorded after it."""


def test_a_thousand_runs_do_a_thousand_durable_effects_a_second(disk: Path, processes: Processes):
    lines, speeds = 10, []
    # What else the machine does costs speed; nothing makes up for code that is too slow.
    for attempt in range(3):
        folder = disk / f"attempt-{attempt}"
        folder.mkdir()
        told = processes.run("crowd.py", "write", folder, folder / "store", RUNS, lines).told

        assert told["ends"] == {"done": RUNS}
        assert len(Diary(folder / "diary").lines) == RUNS * lines
        speeds.append(RUNS * lines / told["seconds"])
        print(f"{RUNS} runs, {speeds[-1]:.0f} durable effects/s: {told}")
        if speeds[-1] >= EFFECTS_A_SECOND:
            break
    assert max(speeds) >= EFFECTS_A_SECOND


@pytest.mark.parametrize("written", [50, 2500], ids=["at the beginning", "in the middle"])
def test_killed_under_load_nothing_is_lost_and_nothing_done_twice(
    disk: Path, processes: Processes, written: int
):
    lines = 5
    diary = Diary(disk / "diary")
    process = processes.start("crowd.py", "write", disk, disk / "store", RUNS, lines, written)
    assert process.stdout
    process.stdout.readline()
    process.kill()
    assert ended(process).code == -9

    record = read_all(disk / "store")
    check_files(disk / "store")
    check_nothing_lost(record, diary)
    doubtful = in_doubt(record)
    unfinished = len(record) - len(diary.of("ended"))
    assert doubtful
    finished = processes.run("crowd.py", "finish", disk, disk / "store", lines)

    print(f"killed after {written} effects; {len(doubtful)} in doubt: {finished.told | {'asked': '…'}}")
    assert sorted(finished.told["asked"]) == sorted(doubtful)
    assert finished.told["ends"] == [[["done", ANSWER], unfinished]]
    record = read_all(disk / "store")
    check_nothing_lost(record, diary)
    assert diary.lines == Counter((n, line) for n in writers(record) for line in range(lines))


def writers(record: Record) -> list[int]:
    """The numbers of the runs that are recorded."""
    started = [events[0].event for events in record.values()]
    return [int(it.task.text.rpartition(" ")[2]) for it in started if isinstance(it, RunStarted)]

"""Being told to stop under load: whoever has to stop does so in time, and nothing is lost by it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from command_line import ANSWER, Desk
from crowd import ANSWER as CROWDS_ANSWER
from diary import Diary
from processes import Processes, ended
from records import Record, check_nothing_lost, in_doubt, read_all

from harness.events import RunFinished

RUNS = 200
ENDLESS = 1_000_000
SLACK = 5.0
"""Seconds that two hundred runs may take to be interrupted, on a machine that does other things too."""


@pytest.mark.parametrize(("act", "grace"), [("drain", 0.0), ("drain", 0.7), ("serve", 0.5)])
def test_told_to_stop_all_runs_stop_in_time_and_can_be_resumed(
    disk: Path, processes: Processes, act: str, grace: float
):
    diary = Diary(disk / "diary")
    process = under_load(processes, act, disk, ENDLESS, grace)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    stopped = ended(process)
    seconds = time.monotonic() - began

    assert stopped.code == 0
    assert seconds < grace + 2 * SLACK
    if act == "drain":
        assert stopped.told["ends"] == {"interrupted": RUNS}
        assert stopped.told["seconds"] < grace + SLACK
        print(f"{RUNS} runs stopped after {stopped.told['seconds']:.2f} s, {grace} s of them of grace")
    assert diary.told[-1] == ["drained"]
    record = read_all(disk / "store")
    assert ends(record) == {"interrupted": RUNS}
    check_nothing_lost(record, diary)
    check_all_go_on(disk, processes, record)


def test_runs_that_end_in_time_are_not_interrupted(disk: Path, processes: Processes):
    lines, grace = 60, 90.0
    process = under_load(processes, "drain", disk, lines, grace)
    process.send_signal(signal.SIGTERM)
    stopped = ended(process)

    assert stopped.told["ends"] == {"done": RUNS}
    assert stopped.told["seconds"] < grace
    assert Diary(disk / "diary").lines == Counter((n, line) for n in range(RUNS) for line in range(lines))


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_told_twice_the_process_leaves_at_once_and_all_runs_can_be_resumed(
    disk: Path, processes: Processes, first: signal.Signals
):
    process = under_load(processes, "serve", disk, ENDLESS, 10_000.0)
    process.send_signal(first)
    insist(process)

    assert "Traceback" not in ended(process).err
    record = read_all(disk / "store")
    assert len(record) == RUNS
    check_nothing_lost(record, Diary(disk / "diary"))
    check_all_go_on(disk, processes, record)


def test_ctrl_c_stops_the_command_and_says_how_to_go_on(disk: Path, processes: Processes):
    desk = a_run_under_way(disk, processes)
    process = processes.start("harness", "run", desk.team, "Write.", "--store", desk.store)
    until_it_waits(process)
    process.send_signal(signal.SIGINT)
    (disk / "go").touch()
    stopped = ended(process)

    [run_id] = desk.record()
    assert (stopped.code, stopped.out) == (130, "")
    assert f"to go on: harness resume {run_id}" in stopped.err
    assert desk.carry_on(run_id).out == f"{ANSWER}\n"
    assert desk.diary.lines == {(0, line): 1 for line in range(4)}


def test_ctrl_c_twice_leaves_at_once_and_the_run_can_be_resumed(disk: Path, processes: Processes):
    desk = a_run_under_way(disk, processes)
    process = processes.start("harness", "run", desk.team, "Write.", "--store", desk.store)
    until_it_waits(process)
    process.send_signal(signal.SIGINT)
    insist(process)

    [run_id] = desk.record()
    (disk / "go").touch()
    assert desk.carry_on(run_id).out == f"{ANSWER}\n"
    assert desk.diary.lines == {(0, line): 1 for line in range(4)}


def under_load(
    processes: Processes, act: str, folder: Path, lines: int, grace: float
) -> subprocess.Popen[str]:
    """Start a process and wait until it carries all runs."""
    process = processes.start("crowd.py", act, folder, folder / "store", RUNS, lines, grace)
    assert process.stdout
    assert process.stdout.readline(), process.communicate()
    return process


def insist(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C until a process has left, which is to be soon."""
    for _ in range(int(SLACK / 0.2)):
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        else:
            return
    raise AssertionError("the process does not leave")


def a_run_under_way(folder: Path, processes: Processes) -> Desk:
    """Return where a run writes four lines, the third of which it writes when it is told to."""
    desk = Desk(folder, folder / "store", processes)
    desk.write_team(4, wait_at=2)
    return desk


def until_it_waits(process: subprocess.Popen[str]) -> None:
    """Read what a process says until its tool is at work."""
    assert process.stderr
    assert any(line == "waits\n" for line in process.stderr)


def ends(record: Record) -> Counter[str]:
    """How the runs ended."""
    last = [events[-1].event for events in record.values()]
    return Counter(event.stop_reason for event in last if isinstance(event, RunFinished))


def check_all_go_on(folder: Path, processes: Processes, record: Record) -> None:
    """Check that all runs can be carried on, asking about nothing but what is in doubt."""
    told = processes.run("crowd.py", "finish", folder, folder / "store", 0).told

    assert sorted(told["asked"]) == sorted(in_doubt(record))
    assert told["ends"] == [[["done", CROWDS_ANSWER], RUNS]]
    after = read_all(folder / "store")
    check_nothing_lost(after, Diary(folder / "diary"))
    assert not in_doubt(after)

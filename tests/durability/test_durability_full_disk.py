"""A full disk: nothing happens that is not on it, nothing on it is lost, and with more room the run goes on."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from command_line import ANSWER, Desk, check_message
from crowd import ANSWER as CROWDS_ANSWER
from diary import Diary
from places import PrivateDisk
from processes import Processes
from records import check_nothing_lost, in_doubt, read_all, read_copy

LINES = 12
FULL = "database or disk is full"


@pytest.fixture
def desk(tmp_path: Path, small_disk: PrivateDisk, processes: Processes) -> Desk:
    made = Desk(
        tmp_path,
        small_disk.place / "store",
        processes,
        before=small_disk.inside,
        view=small_disk.view / "store",
    )
    made.write_team(LINES, padding=2000)
    return made


@pytest.mark.parametrize("room", [128, 160, 200, 256])
def test_a_full_disk_ends_the_run_before_its_next_effect_and_it_can_be_resumed(
    desk: Desk, small_disk: PrivateDisk, room: int
):
    small_disk.fill(leaving=room * 1024)
    ended = desk.command("run", desk.team, "Write.")

    record = desk.record()
    [run_id] = record
    check_message(ended, "journal.db could not be written", FULL, f"to go on: harness resume {run_id}")
    written = desk.diary.lines
    assert len(written) < LINES

    again = desk.command("resume", run_id)
    # What the log took up is free again, which may suffice to ask about the last call.
    assert again.code in (3, 5)
    assert "Traceback" not in again.err
    assert desk.diary.lines == written
    assert set(desk.record()) == {run_id}

    small_disk.remount("size=8m")
    resumed = desk.carry_on(run_id)
    assert (resumed.code, resumed.out) == (0, f"{ANSWER}\n")
    assert desk.diary.lines == Counter((0, number) for number in range(LINES))
    assert len(desk.record()) == 1


@pytest.mark.parametrize("room", [0, 8, 36, 44, 52, 60])
def test_on_a_disk_too_full_to_begin_nothing_begins(desk: Desk, small_disk: PrivateDisk, room: int):
    small_disk.fill(leaving=room * 1024)

    ended = desk.command("run", desk.team, "Write.")
    check_message(ended, str(desk.store))
    assert re.search(r"disk is full|No space left on device", ended.err)
    assert desk.diary.told == []

    small_disk.remount("size=8m")
    assert desk.command("run", desk.team, "Write.").out == f"{ANSWER}\n"
    assert desk.diary.lines == Counter((0, number) for number in range(LINES))
    desk.record()


def test_a_full_disk_ends_all_runs_and_all_can_be_resumed(
    tmp_path: Path, small_disk: PrivateDisk, processes: Processes
):
    runs, lines = 100, 6
    diary, store = Diary(tmp_path / "diary"), small_disk.place / "store"
    small_disk.remount("size=4m")

    told = processes.run("crowd.py", "write", tmp_path, store, runs, lines, before=small_disk.inside).told

    [failure] = [end for end in told["ends"] if end != "done"]
    assert failure.startswith(f"{store}/journal.db could not be written: {FULL}")
    small_disk.remount("size=64m")
    record = read_copy(small_disk.view / "store", tmp_path / "before")
    check_nothing_lost(record, diary)
    doubtful = in_doubt(record)
    assert len(record) == runs
    print(f"{len(diary.lines)} of {runs * lines} effects; {told}")
    assert 0 < len(diary.lines) < runs * lines

    told = processes.run("crowd.py", "finish", tmp_path, store, lines, before=small_disk.inside).told
    assert sorted(told["asked"]) == sorted(doubtful)
    assert [end for end, _ in told["ends"]] == [["done", CROWDS_ANSWER]]
    check_nothing_lost(read_copy(small_disk.view / "store", tmp_path / "after"), diary)
    assert diary.lines == Counter((n, line) for n in range(runs) for line in range(lines))


@pytest.mark.parametrize("room", [0, 12])
def test_an_answer_that_does_not_fit_on_the_disk_is_not_given(desk: Desk, small_disk: PrivateDisk, room: int):
    desk.write_team(1, rule="ask")
    assert desk.command("run", desk.team, "Write.").code == 5
    [run_id] = desk.record()
    small_disk.fill(leaving=room * 1024)

    refused = desk.command("approve", run_id, "--no-resume")
    check_message(refused, "answers.db cannot be used", FULL)
    assert desk.diary.told == []

    assert len(desk.command("runs").out.splitlines()) == 2
    small_disk.make_room()
    assert desk.command("resume", run_id).code == 5
    approved = desk.command("approve", run_id)
    assert (approved.code, approved.out) == (0, f"{ANSWER}\n")
    assert desk.diary.lines == {(0, 0): 1}


def test_an_export_that_does_not_fit_leaves_nothing_half_written(desk: Desk, small_disk: PrivateDisk):
    desk.store = desk.folder / "store"
    desk.command("run", desk.team, "Write.")
    bundle = small_disk.place / "run.harness"
    (small_disk.view / "run.harness").write_bytes(b"an older one")
    small_disk.fill()

    refused = desk.command("export", "last", "-o", bundle)
    assert refused.code in (2, 3)
    assert refused.err == f"error: {bundle} cannot be written: No space left on device\n"
    assert sorted(file.name for file in small_disk.view.iterdir()) == ["filler", "run.harness"]
    assert (small_disk.view / "run.harness").read_bytes() == b"an older one"

    small_disk.make_room()
    assert desk.command("export", "last", "-o", bundle).code == 0
    assert desk.processes.run("harness", "replay", bundle, before=desk.before).code == 0


def test_an_import_that_does_not_fit_takes_whole_runs_or_none(desk: Desk, small_disk: PrivateDisk):
    desk.write_team(60, padding=3000)
    small_disk_store, desk.store = desk.store, desk.folder / "store"
    desk.command("run", desk.team, "Write.")
    bundle = desk.folder / "run.harness"
    assert desk.command("export", "last", "-o", bundle).code == 0
    [(run_id, events)] = read_all(desk.store).items()

    desk.store = small_disk_store
    check_message(desk.command("import", bundle), str(desk.store), FULL)
    assert desk.command("runs").out == ""

    small_disk.remount("size=8m")
    assert desk.command("import", bundle).out == f"{run_id}\n"
    imported = read_copy(small_disk.view / "store", desk.folder / "copy")
    assert [item.sequence for item in imported[run_id]] == [item.sequence for item in events]

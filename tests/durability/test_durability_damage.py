"""Stores that are taken away, replaced, closed or cut short, by people and by power losses."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ANSWER, Desk, check_message
from crowd import ANSWER as CROWDS_ANSWER
from diary import Diary
from places import PrivateDisk
from processes import Processes, ended
from records import Record, check_files, check_nothing_lost, intents, read_all

CUTS = 50

Damage = Callable[[Path, random.Random], None]


def test_a_read_only_store_can_be_looked_at_but_takes_no_run_and_no_answer(
    tmp_path: Path, small_disk: PrivateDisk, processes: Processes
):
    desk = Desk(
        tmp_path,
        small_disk.place / "store",
        processes,
        before=small_disk.inside,
        view=small_disk.view / "store",
    )
    desk.write_team(2, rule="ask")
    assert desk.command("run", desk.team, "Write.").code == 5
    [run_id] = desk.record()
    small_disk.remount("ro")

    assert desk.command("runs").out.count(run_id) == 1
    assert desk.command("show", run_id).code == 0
    for refused in (
        desk.command("run", desk.team, "Write."),
        desk.command("resume", run_id),
        desk.command("approve", run_id),
    ):
        check_message(refused, str(desk.store), "ead-only file system")
    assert desk.diary.told == []

    small_disk.remount("rw")
    desk.command("approve", run_id)
    assert desk.command("approve", run_id).out == f"{ANSWER}\n"
    assert desk.diary.lines == {(0, 0): 1, (0, 1): 1}


def move_away(store: Path) -> None:
    store.rename(store.with_name("moved"))


def replace(store: Path) -> None:
    (store / "journal.db").rename(store / "original")
    (store / "journal.db").write_bytes(random.Random(0).randbytes(50_000))


def remove_log(store: Path) -> None:
    (store / "journal.db-wal").rename(store / "log")


def put_back(store: Path) -> None:
    for name, place in (("moved", store), ("original", "journal.db"), ("log", "journal.db-wal")):
        saved = store.with_name(name) if name == "moved" else store / name
        if saved.exists():
            os.replace(saved, place if name == "moved" else store / place)


@pytest.mark.parametrize("take_away", [move_away, replace, remove_log])
def test_a_store_that_is_taken_away_stops_all_runs_and_put_back_they_go_on(
    disk: Path, processes: Processes, take_away: Callable[[Path], None]
):
    runs, lines = 20, 30
    diary, store = Diary(disk / "diary"), disk / "store"
    process = processes.start("crowd.py", "write", disk, store, runs, lines, 100, "die")
    assert process.stdout
    process.stdout.readline()
    take_away(store)
    stopped = ended(process)

    [failure] = stopped.told["ends"]
    assert "was deleted, moved or replaced while it was being written" in failure
    assert stopped.told["ends"][failure] == runs
    assert "put it back, then resume the run" in failure
    assert 100 <= len(diary.lines) < runs * lines
    put_back(store)
    check_nothing_lost(read_all(store), diary)
    told = processes.run("crowd.py", "finish", disk, store, lines).told
    assert told["ends"] == [[["done", CROWDS_ANSWER], runs]]
    check_nothing_lost(read_all(store), diary)
    assert diary.lines == Counter((n, line) for n in range(runs) for line in range(lines))


def test_a_store_that_vanishes_stops_all_runs(disk: Path, processes: Processes):
    runs, lines = 20, 30
    process = processes.start("crowd.py", "write", disk, disk / "store", runs, lines, 100)
    assert process.stdout
    process.stdout.readline()
    shutil.rmtree(disk / "store")
    stopped = ended(process)

    assert stopped.code == 0
    [failure] = stopped.told["ends"]
    assert f"{disk / 'store'}/journal.db was deleted, moved or replaced" in failure
    assert len(Diary(disk / "diary").lines) < runs * lines


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, None], ids=["nothing", "zeros", "noise"])
def test_a_store_file_that_is_something_else_is_refused_and_left_alone(
    disk: Path, processes: Processes, content: bytes | None
):
    desk = Desk(disk, disk / "store", processes)
    desk.write_team(1)
    desk.store.mkdir()
    file = desk.store / "journal.db"
    garbage = random.Random(1).randbytes(50_000) if content is None else content
    file.write_bytes(garbage)

    ended = desk.command("run", desk.team, "Write.")

    if not garbage:
        # As after a crash of whoever was about to make it.
        assert ended.out == f"{ANSWER}\n"
        return
    check_message(ended, f"{file} is not a journal, or is damaged", "choose another store")
    check_message(desk.command("runs"), f"{file} is not a journal")
    assert file.read_bytes() == garbage
    assert desk.diary.told == []


def cut(log: Path, dice: random.Random) -> None:
    """As if the end of it had not reached the disk."""
    os.truncate(log, dice.randrange(log.stat().st_size))


def tear(log: Path, dice: random.Random) -> None:
    """As if some of it, and nobody knows what behind it, had not reached the disk."""
    with log.open("r+b") as file:
        file.seek(dice.randrange(log.stat().st_size))
        file.write(dice.randbytes(dice.choice([1, 100, 5000])))


def test_a_torn_log_loses_its_tail_and_nothing_else(disk: Path, processes: Processes):
    runs, lines = 3, 60
    store = disk / "store"
    process = processes.start("crowd.py", "write", disk, store, runs, lines, runs * lines // 2)
    assert process.stdout
    process.stdout.readline()
    process.kill()
    assert ended(process).code == -9
    whole = read_all(store)
    dice = random.Random(20261123)

    kept: list[int] = []
    for number in range(CUTS):
        torn = disk / f"torn-{number}"
        shutil.copytree(store, torn, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
        dice.choice([cut, tear])(torn / "journal.db-wal", dice)
        record = read_all(torn)
        check_files(torn)
        kept.append(check_is_beginning(record, whole))
        if number % 17 == 0:
            check_goes_on(torn, record, lines, processes)
    assert len(set(kept)) > CUTS // 3


def check_is_beginning(record: Record, whole: Record) -> int:
    """Check that what is left was written before what is lost; return how many events are left."""
    for run_id, events in record.items():
        assert list(events) == list(whole[run_id])[: len(events)]
    lost = [item.at for run_id in whole for item in whole[run_id][len(record.get(run_id, ())) :]]
    left = [item.at for events in record.values() for item in events]
    assert max(left, default=0.0) <= min(lost, default=float("inf"))
    return len(left)


def check_goes_on(store: Path, record: Record, lines: int, processes: Processes) -> None:
    """Check that the runs that are left can be carried on."""
    folder = store.with_name(f"{store.name}-goes-on")
    folder.mkdir()
    diary = Diary(folder / "diary")
    for writer, line in intents(record):
        diary.tell("line", writer, line)
    told = processes.run("crowd.py", "finish", folder, store, lines).told

    if record:
        assert [end for end, _ in told["ends"]] == [["done", CROWDS_ANSWER]]
    assert set(diary.lines.values()) <= {1}
    check_files(store)

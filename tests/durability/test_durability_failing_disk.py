"""A disk that fails: nothing is taken to be on it that may not be, and a later process goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from command_line import ANSWER, Desk, check_message
from crowd import ANSWER as CROWDS_ANSWER
from diary import Diary
from processes import Processes
from records import check_files, check_nothing_lost, in_doubt, read_all
from traced import Asked, Tracer

from harness.journal import open_journal

LINES = 6
FAILED = "disk I/O error"


@pytest.fixture
def desk(disk: Path, processes: Processes) -> Desk:
    made = Desk(disk, disk / "store", processes)
    made.write_team(LINES)
    return made


def test_no_effect_happens_before_its_intent_is_on_the_disk(disk: Path, processes: Processes):
    tracer = Tracer(disk / "calls")
    processes.run("crowd.py", "write", disk, disk / "store", 1, 20, before=tracer.before)

    told, safe = 0, False
    for asked in tracer.asked():
        if asked.path.endswith(("journal.db", "journal.db-wal")):
            safe = asked.syncs
        elif asked.path.endswith("diary"):
            # That it begins, each line, and that it has ended: all must be on the disk before.
            told += 1
            assert safe
            safe = False
    assert told == 22


@pytest.mark.parametrize("fail_sync", [1, 4, 7])
def test_a_failing_disk_ends_the_run_before_its_next_effect_and_it_can_be_resumed(desk: Desk, fail_sync: int):
    make_store(desk.store)
    tracer = Tracer(desk.folder / "calls", fail_sync=fail_sync)

    ended = desk.command("run", desk.team, "Write.", before=tracer.before)

    check_message(ended, f"{desk.store}/journal.db could not be written", FAILED, "resume the run")
    after = since_failure(tracer)
    assert not [asked for asked in after if asked.path.endswith("diary")]
    assert not [asked for asked in after if asked.path.endswith("-wal") and asked.name == "pwrite64"]
    record = desk.record()
    if fail_sync == 1:
        assert not record
        return
    [run_id] = record
    assert f"to go on: harness resume {run_id}" in ended.err
    resumed = desk.carry_on(run_id)
    assert (resumed.code, resumed.out) == (0, f"{ANSWER}\n")
    assert desk.diary.lines == Counter((0, number) for number in range(LINES))


@pytest.mark.parametrize("fail_sync", [1, 3, 5])
def test_a_disk_that_fails_while_the_store_is_made_is_named(desk: Desk, fail_sync: int):
    tracer = Tracer(desk.folder / "calls", fail_sync=fail_sync)

    ended = desk.command("run", desk.team, "Write.", before=tracer.before)

    check_message(ended, f"{desk.store}/journal.db", FAILED)
    assert desk.diary.told == []
    assert desk.command("run", desk.team, "Write.").out == f"{ANSWER}\n"
    desk.record()


@pytest.mark.parametrize("fail_sync", [1, 3])
def test_an_answer_is_given_or_refused_whatever_the_disk_does(desk: Desk, fail_sync: int):
    desk.write_team(1, rule="ask")
    assert desk.command("run", desk.team, "Write.").code == 5
    [run_id] = desk.record()
    tracer = Tracer(desk.folder / "calls", fail_sync=fail_sync)

    refused = desk.command("approve", run_id, "--no-resume", before=tracer.before)

    check_message(refused, "answers.db cannot be used", FAILED)
    assert desk.command("resume", run_id).code == 5
    assert desk.command("approve", run_id).out == f"{ANSWER}\n"
    assert desk.diary.lines == {(0, 0): 1}


def test_nothing_is_built_on_what_did_not_reach_the_disk(disk: Path, processes: Processes):
    """The kernel shows what it could not write until it needs the memory; a power loss tells the truth."""
    runs, lines = 3, 4
    diary, store = Diary(disk / "diary"), disk / "store"
    make_store(store)
    first = Tracer(disk / "first", fail_sync=8)
    command = ("crowd.py", "write", disk, store, runs, lines, 0, "die")
    processes.run(*command, before=first.before)
    lost = unsynced(first)
    assert lost
    second = Tracer(disk / "second")
    told = processes.run("crowd.py", "finish", disk, store, lines, "die", before=second.before).told
    assert told["ends"] == [[["done", CROWDS_ANSWER], runs]]

    lose(store / "journal.db-wal", lost - written(second))
    check_files(store)
    record = read_all(store)
    check_nothing_lost(record, diary)
    assert len(record) == runs
    assert not in_doubt(record)


def make_store(place: Path) -> None:
    async def make() -> None:
        await open_journal(place, write=True).close()

    anyio.run(make)


def since_failure(tracer: Tracer) -> list[Asked]:
    """What a process asked of its disk after that had failed."""
    asked = list(tracer.asked())
    first = next(number for number, it in enumerate(asked) if it.failed)
    return asked[first + 1 :]


def pages(asked: Asked) -> Iterator[int]:
    return iter(range(asked.offset, asked.offset + asked.size))


def unsynced(tracer: Tracer) -> set[int]:
    """The bytes of the log that were written and that no successful call made stay."""
    pending: set[int] = set()
    for asked in tracer.asked():
        if asked.path.endswith("-wal"):
            if asked.name == "pwrite64":
                pending.update(pages(asked))
            elif asked.syncs and not asked.failed:
                pending.clear()
    return pending


def written(tracer: Tracer) -> set[int]:
    """The bytes of the log that were written."""
    log = [it for it in tracer.asked() if it.path.endswith("-wal") and it.name == "pwrite64"]
    return {place for asked in log for place in pages(asked)}


def lose(file: Path, places: set[int]) -> None:
    """Put zeros where bytes never reached the disk."""
    content = bytearray(file.read_bytes())
    for place in places:
        if place < len(content):
            content[place] = 0
    file.write_bytes(content)

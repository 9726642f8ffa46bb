"""What survives a killed process, a full disk and a disk that fails."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from journal_samples import a_run, numbered, turn

from harness.errors import RunTaken
from harness.events import Event
from harness.journal import Journal, open_journal

pytestmark = pytest.mark.anyio

Start = Callable[..., "subprocess.Popen[str]"]


def turns(count: int) -> list[Event]:
    return [event for number in range(count) for event in turn(number)]


def readable(place: Path | str) -> int:
    """Return how many events can be read, after checking that they are what was written, without a gap."""
    found = list(open_journal(place, write=False).read("run"))
    assert found == numbered(turns(len(found) // len(turn(0)) + 1))[: len(found)]
    return len(found)


@pytest.fixture(params=["file", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "file":
        return tmp_path / "journal.db"
    return request.getfixturevalue("postgres")


async def claim(journal: Journal, run_id: str = "run") -> None:
    """Claim a run as soon as its dead writer counts as dead."""
    with anyio.fail_after(20):
        while True:
            try:
                return await journal.claim(run_id)
            except RunTaken:
                await anyio.sleep(0.1)


@pytest.mark.parametrize("count", [1, 2, 3, 20, 100])
async def test_what_was_acknowledged_survives_a_kill(place: Path | str, in_process: Start, count: int):
    process = in_process("die", place, count)
    said, _ = process.communicate()

    assert process.returncode == -9
    expected = count * len(turn(0))
    assert int(said) == expected
    # The turn nobody waited for is there whole or not at all: it was one append.
    assert readable(place) in (expected, expected + len(turn(0)))


@pytest.mark.parametrize("seed", range(8))
async def test_a_kill_at_any_time_leaves_a_clean_beginning(place: Path | str, in_process: Start, seed: int):
    process = in_process("on", place)
    assert process.stdout
    for _ in range(random.Random(seed).randrange(1, 200)):
        process.stdout.readline()
    process.kill()
    rest, _ = process.communicate()
    acknowledged = int(rest.splitlines()[-1]) if rest.endswith("\n") else 0

    found = readable(place)
    assert found >= acknowledged

    journal = open_journal(place, write=True)
    await claim(journal)
    journal.append(numbered(turn(0), start=found))
    await journal.durable("run")
    await journal.close()


async def test_a_process_that_forgets_to_close_loses_nothing(place: Path | str, in_process: Start):
    process = in_process("forget", place)
    process.communicate()

    assert process.returncode == 0
    assert list(open_journal(place, write=False).read("run")) == a_run()


async def test_a_killed_writer_of_a_directory_leaves_its_run_to_be_continued(
    tmp_path: Path, in_process: Start
):
    process = in_process("die", tmp_path / "store", 3)
    process.communicate()

    journal = open_journal(tmp_path / "store", write=True)
    found = len(list(journal.read("run")))
    journal.append(numbered(turn(9), start=found))
    await journal.durable()

    assert len(list(journal.read("run"))) == found + len(turn(9)) >= 4 * len(turn(9))
    await journal.close()


def check_report(said: str, path: Path, *, cause: str) -> None:
    report = json.loads(said)
    assert str(path) in report["failure"]
    assert cause in report["failure"]
    assert report["acknowledged"] > 0
    assert report["refusals"] == 2
    assert report["readable"] >= report["acknowledged"]
    assert readable(path) >= report["acknowledged"]


async def test_a_full_disk_stops_the_journal_and_keeps_what_was_committed(
    small_disk: Path, in_process: Start
):
    process = in_process("fill", small_disk / "journal.db", 0)
    said, _ = process.communicate()

    assert process.returncode == 0
    check_report(said, small_disk / "journal.db", cause="database or disk is full")


async def test_a_file_that_may_not_grow_stops_the_journal(tmp_path: Path, in_process: Start):
    process = in_process("fill", tmp_path / "journal.db", 300_000)
    said, _ = process.communicate()

    assert process.returncode == 0
    check_report(said, tmp_path / "journal.db", cause="disk")


async def test_a_failing_fsync_is_never_tried_again(tmp_path: Path, in_process: Start):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace, which makes fsync fail, is not installed")
    inject = "inject=fsync,fdatasync:error=EIO:when=30"
    log = tmp_path / "calls"
    process = in_process(
        "fill",
        tmp_path / "journal.db",
        0,
        before=(strace, "-f", "-o", str(log), "-e", inject, "-e", "trace=fdatasync,fsync"),
    )
    said, _ = process.communicate()
    if "ptrace" in said or not said:
        pytest.skip("tracing a process is not permitted")

    check_report(said, tmp_path / "journal.db", cause="disk I/O error")
    assert log.read_text().count("EIO") == 1

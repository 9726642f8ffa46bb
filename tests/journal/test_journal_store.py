from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from journal_samples import a_run, an_answer, numbered, started

from harness.errors import RunTaken, StoreError, UsageError
from harness.journal import (
    DirectoryJournal,
    Journal,
    MemoryJournal,
    SqliteJournal,
    new_run_id,
    open_journal,
    resolve_run,
)
from harness.journal.answers import AnswerFile

pytestmark = pytest.mark.anyio

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        (":memory:", MemoryJournal),
        ("runs.db", SqliteJournal),
        ("runs.sqlite", SqliteJournal),
        ("runs", DirectoryJournal),
        (None, DirectoryJournal),
    ],
)
async def test_a_location_says_what_kind_of_store_it_is(
    location: str | None, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    journal = open_journal(location, write=True)
    journal.append(a_run())
    await journal.close()

    assert type(journal) is kind
    if location != ":memory:":
        assert list(open_journal(location, write=False).read("run")) == a_run()
        assert (tmp_path / (location or ".harness")).exists()


@pytest.mark.parametrize("location", [":memory:", "runs.db", "runs", None])
def test_reading_where_nothing_was_written_says_so(
    location: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="no runs here yet: "):
        open_journal(location, write=False)
    assert list(tmp_path.iterdir()) == []


async def test_a_fresh_directory_store_hides_itself_from_git(tmp_path: Path):
    await open_journal(tmp_path / "store", write=True).close()

    assert (tmp_path / "store" / ".gitignore").read_text() == "*\n"


async def test_a_directory_that_was_there_is_not_hidden(tmp_path: Path):
    await open_journal(tmp_path, write=True).close()

    assert not (tmp_path / ".gitignore").exists()


async def test_each_writer_of_a_directory_has_a_file_and_readers_see_all(tmp_path: Path):
    first, second, third = (DirectoryJournal(tmp_path) for _ in range(3))
    for number, journal in enumerate((first, second, third)):
        journal.append(a_run(run_id=f"run-{number}", at=number))
        await journal.durable()

    reader = open_journal(tmp_path, write=False)
    for journal in (first, second, third, reader):
        assert [run.run_id for run in journal.runs()] == ["run-2", "run-1", "run-0"]
        assert list(journal.read("run-1")) == a_run(run_id="run-1", at=1)
        await journal.close()
    assert [journal.path.name for journal in (first, second, third)] == [
        "journal.db",
        "journal-2.db",
        "journal-3.db",
    ]


async def test_a_freed_file_is_used_again(tmp_path: Path):
    first, second = DirectoryJournal(tmp_path), DirectoryJournal(tmp_path)
    await first.close()
    third = DirectoryJournal(tmp_path)

    assert third.path == first.path
    await second.close()
    await third.close()


async def test_a_run_is_continued_in_the_file_it_began_in(tmp_path: Path):
    run = a_run()
    first, second = DirectoryJournal(tmp_path), DirectoryJournal(tmp_path)
    second.append(run[:5])
    await second.close()

    first.append(run[5:7])
    first.append([run[7], *a_run(run_id="other"), *run[8:]])
    await first.durable()

    assert list(first.read("run")) == run
    assert list(first.read("other")) == a_run(run_id="other")
    assert list(SqliteJournal.open_reader(second.path).read("run")) == run
    await first.close()


async def test_a_run_another_process_is_writing_cannot_be_continued(tmp_path: Path, in_process: Start):
    process = in_process("hold", tmp_path)
    assert process.stdout
    run_id = process.stdout.readline().strip()

    journal = DirectoryJournal(tmp_path)
    with pytest.raises(StoreError, match=f"is being written by process {process.pid}"):
        journal.append(numbered([started()], run_id=run_id, start=len(a_run())))
    await journal.close()


async def test_a_run_of_a_live_process_cannot_be_claimed(tmp_path: Path, in_process: Start):
    process = in_process("hold", tmp_path)
    assert process.stdout
    run_id = process.stdout.readline().strip()

    journal = DirectoryJournal(tmp_path)
    with pytest.raises(RunTaken) as caught:
        await journal.claim(run_id)
    assert str(caught.value) == (
        f"run {run_id} is in {tmp_path / 'journal.db'}, which is being written by process {process.pid}; "
        "wait until that process ends, or end it, and try again"
    )

    process.kill()
    process.wait()
    await journal.claim(run_id)
    journal.append(numbered([started()], run_id=run_id, start=len(a_run())))
    await journal.durable(run_id)
    with pytest.raises(StoreError, match="is being written by process"):
        SqliteJournal(tmp_path / "journal.db")
    await journal.close()


async def test_claiming_a_new_run_lets_it_begin_in_the_own_file(tmp_path: Path):
    first, second = DirectoryJournal(tmp_path), DirectoryJournal(tmp_path)
    await second.claim("run")
    second.append(a_run())
    await second.durable("run")

    assert list(SqliteJournal.open_reader(second.path).read("run")) == a_run()
    await first.close()
    await second.close()


async def test_all_processes_share_the_answers_of_a_directory(tmp_path: Path):
    first, second = DirectoryJournal(tmp_path), DirectoryJournal(tmp_path)
    second.append(a_run())
    await second.durable()
    open_journal(tmp_path, write=False).answer("run", an_answer())

    assert first.answers("run") == second.answers("run") == [an_answer()]
    with pytest.raises(UsageError, match="answered before: approved by owner"):
        first.answer("run", an_answer())
    await first.close()
    await second.close()
    assert list(AnswerFile(tmp_path / "answers.db").left("run")) == [an_answer()]


async def test_a_directory_opened_for_reading_takes_answers_only(tmp_path: Path):
    journal = DirectoryJournal(tmp_path)
    journal.append(a_run())
    await journal.close()
    reader = open_journal(tmp_path, write=False)

    with pytest.raises(StoreError, match="opened for reading; open it for writing to append to it"):
        reader.append(a_run(run_id="other"))
    for refused in (reader.claim("run"), reader.delete(["run"])):
        with pytest.raises(StoreError, match="opened for reading; open it for writing to"):
            await refused


async def test_runs_are_deleted_from_every_file_and_the_files_are_free_again(tmp_path: Path):
    journals = [DirectoryJournal(tmp_path) for _ in range(3)]
    for number, journal in enumerate(journals):
        journal.append(a_run(turns=200, run_id=f"large-{number}"))
        journal.append(a_run(run_id=f"small-{number}"))
        journal.answer(f"large-{number}", an_answer())
        await journal.close()

    journal = DirectoryJournal(tmp_path)
    freed = await journal.delete([f"large-{number}" for number in range(3)])

    assert freed > 3 * 80_000
    assert [run.run_id for run in journal.runs()] == ["small-2", "small-1", "small-0"]
    for number in range(3):
        assert list(journal.read(f"small-{number}")) == a_run(run_id=f"small-{number}")
        assert journal.answers(f"large-{number}") == []
    others = [DirectoryJournal(tmp_path) for _ in range(2)]
    assert [other.path.name for other in others] == ["journal-2.db", "journal-3.db"]
    for each in (journal, *others):
        await each.close()


async def test_nothing_is_deleted_if_one_run_is_in_the_hands_of_a_live_process(
    tmp_path: Path, in_process: Start
):
    journal = DirectoryJournal(tmp_path)
    journal.append(a_run())
    await journal.durable()
    process = in_process("hold", tmp_path)
    assert process.stdout
    run_id = process.stdout.readline().strip()

    with pytest.raises(RunTaken, match=f"run {run_id} is in .* written by process {process.pid}"):
        await journal.delete(["run", run_id])

    assert list(journal.read("run")) == a_run()
    process.communicate()
    await journal.delete(["run", run_id])
    assert journal.runs() == []
    await journal.close()


async def test_a_deletion_leaves_the_runs_that_are_being_written_in_their_files(tmp_path: Path):
    run = a_run()
    first, second = DirectoryJournal(tmp_path), DirectoryJournal(tmp_path)
    second.append([*a_run(run_id="old"), *run[:4]])
    await second.close()
    await first.claim("run")
    first.append(run[4:6])

    await first.delete(["old"])
    first.append(run[6:])
    await first.durable("run")

    assert list(first.read("run")) == run
    await first.close()


async def test_a_store_that_cannot_be_made_names_the_place(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match=r"file/store cannot be used: Not a directory; choose another"):
        open_journal(tmp_path / "file" / "store", write=True)


@pytest.fixture
def three_runs() -> Journal:
    journal = MemoryJournal()
    for number, run_id in enumerate(["20261123-1-aa", "20261123-2-bb", "20261124-1-aa"]):
        journal.append(a_run(run_id=run_id, at=number))
    return journal


@pytest.mark.parametrize(
    ("reference", "run_id"),
    [
        ("20261123-2-bb", "20261123-2-bb"),
        ("20261123-2", "20261123-2-bb"),
        ("20261124", "20261124-1-aa"),
        ("last", "20261124-1-aa"),
    ],
)
def test_a_run_is_named_by_id_prefix_or_last(three_runs: Journal, reference: str, run_id: str):
    assert resolve_run(three_runs, reference) == run_id


def test_an_ambiguous_prefix_lists_what_it_could_mean(three_runs: Journal):
    with pytest.raises(UsageError) as caught:
        resolve_run(three_runs, "20261123")

    assert str(caught.value) == (
        "'20261123' is the beginning of 2 runs:\n  20261123-2-bb  research\n  20261123-1-aa  research"
    )


@pytest.mark.parametrize("reference", ["bb", ""])
def test_an_unknown_run_lists_the_latest(three_runs: Journal, reference: str):
    with pytest.raises(UsageError) as caught:
        resolve_run(three_runs, reference)

    assert str(caught.value) == (
        f"no run is called {reference!r}; the latest are:\n"
        "  20261124-1-aa  research\n"
        "  20261123-2-bb  research\n"
        "  20261123-1-aa  research"
    )


def test_without_runs_there_is_no_last_one():
    with pytest.raises(UsageError, match="no runs here yet"):
        resolve_run(MemoryJournal(), "last")


def test_run_ids_are_short_sortable_and_unique():
    ids = [new_run_id() for _ in range(20_000)]

    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{10}", run_id) for run_id in ids)
    assert [run_id[:15] for run_id in ids] == sorted(run_id[:15] for run_id in ids)
    assert len(set(ids)) == len(ids)

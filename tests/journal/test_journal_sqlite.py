from __future__ import annotations

import sqlite3
import stat
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from journal_samples import a_run, an_answer, numbered, started, turn

from harness.errors import Fenced, StoreError
from harness.journal import SqliteJournal, writer
from harness.messages import user

pytestmark = pytest.mark.anyio

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


async def write(path: Path, turns: int = 2) -> None:
    journal = SqliteJournal(path)
    journal.append(a_run(turns))
    await journal.close()


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


async def test_a_run_is_continued_after_reopening(path: Path):
    run = a_run()
    first = SqliteJournal(path)
    first.append(run[:4])
    await first.close()

    second = SqliteJournal(path)
    with pytest.raises(StoreError, match="was written before: the next one is 4"):
        second.append(run[:1])
    second.append(run[4:])
    await second.close()

    assert list(SqliteJournal.open_reader(path).read("run")) == run


async def test_a_closed_journal_is_one_file_and_its_lock(path: Path):
    await write(path)

    assert sorted(file.name for file in path.parent.iterdir()) == ["journal.db", "journal.db.lock"]


async def test_content_is_stored_once(path: Path):
    journal = SqliteJournal(path)
    for number in range(10):
        journal.append(a_run(turns=3, run_id=f"run-{number}"))
        await journal.durable()
    await journal.close()

    with closing(sqlite3.connect(path)) as connection:
        [(rows,)] = connection.execute("SELECT count(*) FROM content").fetchall()
    # Three pages; what is shorter stays in the events.
    assert rows == 3


async def test_content_known_from_an_earlier_process_is_not_stored_again(path: Path):
    await write(path)
    journal = SqliteJournal(path)
    journal.append(a_run(run_id="again"))
    await journal.close()

    reader = SqliteJournal.open_reader(path)
    assert list(reader.read("again")) == a_run(run_id="again")


async def test_tasks_that_wait_share_commits(path: Path):
    journal = SqliteJournal(path)

    async def append_and_wait(run_id: str) -> None:
        for recorded in a_run(turns=1, run_id=run_id):
            journal.append([recorded])
            await journal.durable()

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(append_and_wait, f"run-{number}")
    commits = journal.commits
    await journal.close()

    waits = 200 * len(a_run(turns=1))
    assert commits * 20 < waits


async def test_waiting_for_what_is_durable_commits_nothing(path: Path):
    journal = SqliteJournal(path)
    journal.append(a_run())
    await journal.durable()
    commits = journal.commits
    for _ in range(100):
        await journal.durable()

    assert journal.commits == commits
    await journal.close()


async def test_events_nobody_waits_for_are_written_all_the_same(path: Path):
    journal = SqliteJournal(path)
    journal.append(a_run())
    reader = SqliteJournal.open_reader(path)

    with anyio.fail_after(10):
        while not list(reader.read("run")):
            await anyio.lowlevel.checkpoint()
    assert list(reader.read("run")) == a_run()
    await journal.close()


async def test_a_cancelled_wait_leaves_the_others_waiting(path: Path):
    journal = SqliteJournal(path)
    journal.append(a_run())
    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal.durable()

    await journal.durable()

    assert list(SqliteJournal.open_reader(path).read("run")) == a_run()
    await journal.close()


async def test_more_than_memory_should_hold_waits_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "QUEUE_LIMIT", 1 << 16)
    monkeypatch.setattr(writer, "LARGE_BATCH", 1 << 14)
    journal = SqliteJournal(path)
    run = a_run(turns=1000)
    for recorded in run:
        journal.append([recorded])

    assert list(journal.read("run")) == run
    await journal.close()


async def test_threads_may_read_while_the_loop_writes(path: Path):
    journal = SqliteJournal(path)
    run = a_run(turns=50)
    journal.append(run[:1])
    seen: list[int] = []

    def read() -> None:
        while len(seen) < 5 or seen[-1] < len(run):
            found = list(journal.read("run"))
            assert found == run[: len(found)]
            seen.append(len(found))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, read)
        for recorded in run[1:]:
            journal.append([recorded])
            await journal.durable()
    assert seen == sorted(seen)
    await journal.close()


async def test_another_process_is_read_while_it_writes(path: Path, in_process: Start):
    process = in_process("hold", path)
    assert process.stdout
    run_id = process.stdout.readline().strip()

    reader = SqliteJournal.open_reader(path)
    assert list(reader.read(run_id)) == a_run(run_id=run_id)
    assert [run.run_id for run in reader.runs()] == [run_id]
    process.communicate()
    assert process.returncode == 0
    assert list(reader.read(run_id)) == a_run(run_id=run_id)


async def test_a_second_writer_is_refused_and_told_who_writes(path: Path, in_process: Start):
    process = in_process("hold", path)
    assert process.stdout
    process.stdout.readline()

    with pytest.raises(StoreError, match=rf"journal.db is being written by process {process.pid}; wait"):
        SqliteJournal(path)


async def test_a_writer_that_was_overtaken_loses_that_run_and_no_other(path: Path):
    run, other = a_run(), a_run(run_id="other")
    journal = SqliteJournal(path)
    journal.append([*run[:4], *other[:4]])
    await journal.durable()
    # As if somebody had deleted the lock file and started a second process.
    change(path, "INSERT INTO events SELECT run_id, 4, at, agent, type, body FROM events WHERE sequence = 1")
    change(path, "DELETE FROM events WHERE run_id = 'other' AND sequence = 4")

    journal.append([*run[4:6], *other[4:6]])
    await journal.durable("other")
    with pytest.raises(Fenced, match="another process has written to run run in .*journal.db"):
        await journal.durable("run")
    with pytest.raises(Fenced):
        journal.append([run[6]])
    journal.append(other[6:])
    await journal.durable()
    await journal.close()

    reader = SqliteJournal.open_reader(path)
    assert list(reader.read("other")) == other
    assert [recorded.sequence for recorded in reader.read("run")] == [0, 1, 2, 3, 4]
    assert list(reader.read("run"))[:4] == run[:4]


async def test_the_lock_of_a_killed_process_is_no_obstacle(path: Path, in_process: Start):
    process = in_process("hold", path)
    assert process.stdout
    run_id = process.stdout.readline().strip()
    process.kill()
    process.wait()

    journal = SqliteJournal(path)
    assert list(journal.read(run_id)) == a_run(run_id=run_id)
    await journal.close()


async def test_a_reader_cannot_append(path: Path):
    await write(path)

    with pytest.raises(StoreError, match="opened for reading"):
        SqliteJournal.open_reader(path).append(a_run(run_id="more"))


async def test_a_reader_takes_answers_but_neither_runs_nor_deletions(path: Path):
    await write(path)
    reader = SqliteJournal.open_reader(path)

    reader.answer("run", an_answer())

    assert reader.answers("run") == [an_answer()]
    for refused in (reader.claim("run"), reader.delete(["run"])):
        with pytest.raises(StoreError, match="opened for reading; open it for writing to"):
            await refused


@pytest.mark.parametrize(
    ("name", "beside"),
    [("runs.db", "runs-answers.db"), ("a.sqlite", "a-answers.sqlite"), ("journal.db", "answers.db")],
)
async def test_answers_lie_in_a_file_of_their_own_for_their_owner_only(
    tmp_path: Path, name: str, beside: str
):
    await write(tmp_path / name)
    SqliteJournal.open_reader(tmp_path / name).answer("run", an_answer())

    assert stat.S_IMODE((tmp_path / beside).stat().st_mode) == 0o600
    with closing(sqlite3.connect(tmp_path / beside)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


async def test_of_many_answers_at_once_each_question_takes_one(path: Path, in_process: Start):
    await write(path)
    processes = [in_process("answer", path, name) for name in ("owner", "second", "third")]
    said = [process.communicate()[0].split() for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0]
    kept = SqliteJournal.open_reader(path).answers("run")
    assert sorted(answer.number for answer in kept) == list(range(20))
    for name, taken in zip(("owner", "second", "third"), said, strict=True):
        assert sorted(answer.number for answer in kept if answer.by == name) == sorted(map(int, taken))


async def test_an_answer_survives_a_kill(path: Path, in_process: Start):
    await write(path)
    process = in_process("answer", path, "owner", "and-die")
    process.communicate()

    assert process.returncode == -9
    assert [answer.by for answer in SqliteJournal.open_reader(path).answers("run")] == ["owner"] * 20


async def test_answers_of_a_newer_harness_are_refused(path: Path):
    await write(path)
    reader = SqliteJournal.open_reader(path)
    reader.answer("run", an_answer())
    change(path.parent / "answers.db", "PRAGMA user_version = 99")

    with pytest.raises(StoreError, match=r"answers.db was written by a newer harness"):
        reader.answers("run")


async def test_deleting_gives_the_space_back(path: Path):
    journal = SqliteJournal(path)
    journal.append(a_run(turns=500, run_id="large"))
    journal.append(a_run())
    await journal.durable()

    freed = await journal.delete(["large"])
    await journal.close()

    assert freed > 200_000
    with closing(sqlite3.connect(path)) as connection:
        # Two pages; what is shorter stays in the events.
        assert connection.execute("SELECT count(*) FROM content").fetchone() == (2,)
    assert list(SqliteJournal.open_reader(path).read("run")) == a_run()


async def test_a_kill_while_deleting_leaves_all_or_nothing_of_a_run(path: Path, in_process: Start):
    process = in_process("delete", path)
    assert process.stdout
    deleted = int(process.stdout.readline())
    while deleted < 3:
        deleted = int(process.stdout.readline())
    process.kill()
    process.communicate()

    reader = SqliteJournal.open_reader(path)
    left = {run.run_id for run in reader.runs()}
    assert left in ({f"run-{number}" for number in range(done, 100)} for done in range(deleted, 100))
    for run_id in left:
        assert list(reader.read(run_id)) == a_run(turns=50, run_id=run_id)


async def test_a_full_disk_still_takes_deletions(small_disk: Path):
    path = small_disk / "journal.db"
    for name in ("old", "first", "second"):
        journal = SqliteJournal(path)
        journal.append(a_run(turns=140, run_id=name))
        await journal.close()
    journal = SqliteJournal(path)

    # Too full to write the file anew, yet the space is used again.
    assert await journal.delete(["old"]) == 0
    journal.append(a_run(turns=100, run_id="new"))
    await journal.durable()

    for name in ("first", "second"):
        assert list(journal.read(name)) == a_run(turns=140, run_id=name)
    assert list(journal.read("new")) == a_run(turns=100, run_id="new")
    await journal.close()


async def test_a_closed_journal_accepts_nothing(path: Path):
    journal = SqliteJournal(path)
    await journal.close()

    with pytest.raises(StoreError, match="is closed"):
        journal.append(a_run())
    with pytest.raises(StoreError, match="is closed"):
        await journal.claim("run")
    with pytest.raises(StoreError, match="is closed"):
        await journal.delete(["run"])


async def test_files_are_for_their_owner_only(tmp_path: Path):
    journal = SqliteJournal(tmp_path / "new" / "journal.db")

    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "new").iterdir()} == {0o600}
    await journal.close()


async def test_a_newer_format_is_refused_and_named(path: Path):
    await write(path)
    change(path, "UPDATE meta SET value = '99' WHERE key = 'format'")

    for open_it in (SqliteJournal, SqliteJournal.open_reader):
        with pytest.raises(StoreError, match=r"journal.db was written by a newer harness.* in format 99"):
            open_it(path)


@pytest.mark.parametrize("content", [b"This is a letter.\n" * 1000, b"SQLite format 3\0" + b"\xff" * 9000])
def test_what_is_not_a_database_is_refused_and_left_alone(path: Path, content: bytes):
    path.write_bytes(content)

    for open_it in (SqliteJournal, SqliteJournal.open_reader):
        with pytest.raises(StoreError, match=r"journal.db"):
            open_it(path)
    assert path.read_bytes() == content


async def test_a_database_of_somebody_else_is_refused(path: Path):
    change(path, "CREATE TABLE recipes (name TEXT)")

    for open_it in (SqliteJournal, SqliteJournal.open_reader):
        with pytest.raises(StoreError, match="is a database, but not a journal"):
            open_it(path)


def test_a_damaged_page_is_a_store_error(path: Path):
    anyio.run(write, path, 200)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(b"\xff" * (size - 4096 * 4))

    reader = SqliteJournal.open_reader(path)
    with pytest.raises(StoreError, match="damaged"):
        list(reader.read("run"))


async def test_missing_content_is_a_store_error(path: Path):
    await write(path)
    change(path, "DELETE FROM content")

    with pytest.raises(StoreError, match=r"damaged: content \w+ is missing"):
        list(SqliteJournal.open_reader(path).read("run"))


async def test_a_place_that_is_no_directory_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match=r"journal.db cannot be used: (Not a directory|File exists)"):
        SqliteJournal(tmp_path / "file" / "journal.db")


def test_a_read_only_place_can_be_read_but_not_written(small_disk: Path):
    anyio.run(write, small_disk / "journal.db")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    assert list(SqliteJournal.open_reader(small_disk / "journal.db").read("run")) == a_run()
    with pytest.raises(StoreError, match=r"journal.db cannot be used: Read-only file system"):
        SqliteJournal(small_disk / "journal.db")
    with pytest.raises(StoreError, match=r"cannot be used: Read-only file system"):
        SqliteJournal(small_disk / "new" / "journal.db")


async def test_a_changed_value_does_not_change_what_was_appended(path: Path):
    team = {"harness": 1}
    event = started()
    journal = SqliteJournal(path)
    journal.append(numbered([type(event)(**{**as_fields(event), "team": team})]))
    team["harness"] = 2

    [recorded] = journal.read("run")
    assert recorded.event.team == {"harness": 1}
    await journal.close()


def as_fields(event: object) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__dataclass_fields__ if name != "CONTENT"}


async def test_what_cannot_be_encoded_poisons_nothing(path: Path):
    journal = SqliteJournal(path)
    event = started()
    with pytest.raises(TypeError):
        journal.append(numbered([type(event)(**{**as_fields(event), "team": {"a": object()}})]))

    journal.append(numbered([event, *turn(1)]))
    await journal.durable()
    await journal.close()


async def test_a_buffered_journal_is_read_the_same(path: Path):
    journal = SqliteJournal(path, durability="buffered")
    journal.append(a_run())
    await journal.durable()
    await journal.close()

    assert list(SqliteJournal.open_reader(path).read("run")) == a_run()


def test_a_message_with_half_a_surrogate_pair_survives_the_disk(path: Path):
    async def there_and_back() -> None:
        event = started()
        odd = type(event)(**{**as_fields(event), "task": user("\ud83d is half an emoji " * 9)})
        journal = SqliteJournal(path)
        journal.append(numbered([odd]))
        await journal.close()
        assert [recorded.event for recorded in SqliteJournal.open_reader(path).read("run")] == [odd]

    anyio.run(there_and_back)

"""Reading, deleting, addresses and setting up of a PostgreSQL store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import psycopg
import pytest
from journal_postgres import everything, query, until
from journal_samples import a_run, an_answer

from harness.errors import RunTaken, StoreError, UsageError
from harness.events import FORMAT
from harness.journal import open_journal
from harness.journal.postgres import Address, PostgresJournal

pytestmark = pytest.mark.anyio

Start = Callable[..., "subprocess.Popen[str]"]


async def test_a_reader_takes_answers_but_neither_runs_nor_deletions(postgres: str, journal: PostgresJournal):
    reader = open_journal(postgres, write=False)
    reader.answer("run", an_answer())

    assert journal.answers("run") == [an_answer()]
    with pytest.raises(UsageError, match="answered before: approved by owner"):
        journal.answer("run", an_answer())
    with pytest.raises(StoreError, match="opened for reading; open it for writing to append to it"):
        reader.append(a_run())
    for refused in (reader.claim("run"), reader.delete(["run"])):
        with pytest.raises(StoreError, match="opened for reading; open it for writing to"):
            await refused


async def test_content_another_process_deleted_is_written_again(
    postgres: str, journal: PostgresJournal, other: PostgresJournal
):
    journal.append(a_run(run_id="first"))
    await journal.durable()
    await other.delete(["first"])
    assert query(postgres, "SELECT count(*) FROM harness.content") == [(0,)]

    journal.append(a_run(run_id="second"))
    await journal.durable()

    assert list(journal.read("second")) == a_run(run_id="second")


async def test_a_batch_that_meets_a_deletion_waits_for_it_and_writes_its_content_again(
    postgres: str, journal: PostgresJournal
):
    journal.append(a_run(run_id="first"))
    await journal.durable()

    with closing(psycopg.connect(postgres)) as connection:
        connection.execute("UPDATE harness.meta SET value = '7' WHERE key = 'deletions'")
        for table in ("content", "uses", "events", "runs"):
            connection.execute(f"DELETE FROM harness.{table}".encode())
        journal.append(a_run(run_id="second"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(journal.durable)
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted UNION SELECT 1 FROM harness.runs WHERE run_id = 'second'"
            await until(lambda: query(postgres, waits))
            connection.commit()

    assert list(journal.read("second")) == a_run(run_id="second")


async def test_shared_content_stays_until_the_last_run_that_uses_it_is_deleted(
    postgres: str, journal: PostgresJournal
):
    for run_id in ("first", "second", "third"):
        journal.append(a_run(run_id=run_id))
    await journal.durable()

    counts: list[object] = []
    for run_id in ("first", "second", "third"):
        assert await journal.delete([run_id]) > 0
        counts.append(query(postgres, "SELECT count(*) FROM harness.content")[0][0])

    assert counts == [2, 2, 0]
    assert query(postgres, "SELECT count(*) FROM harness.uses") == [(0,)]


async def test_deleting_beside_writers_breaks_no_run(
    postgres: str, journal: PostgresJournal, other: PostgresJournal
):
    async def write(writer: int) -> None:
        for number in range(40):
            run = a_run(turns=5, run_id=f"run-{writer}-{number}")
            journal.append(run[:9])
            await journal.durable(run[0].run_id)
            journal.append(run[9:])
            await journal.durable(run[0].run_id)

    async def delete() -> None:
        while not done:
            finished = [run.run_id for run in other.runs() if run.finished]
            await other.delete(finished[: len(finished) // 2 + 1])

    done = False
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(delete)
        async with anyio.create_task_group() as writers:
            for writer in range(4):
                writers.start_soon(write, writer)
        done = True

    left = everything(other)
    assert all(
        events == [item.event for item in a_run(turns=5, run_id=run_id)] for run_id, events in left.items()
    )
    used = "SELECT count(*) FROM harness.content WHERE hash NOT IN (SELECT hash FROM harness.uses)"
    assert query(postgres, used) == [(0,)]


async def test_nothing_is_deleted_if_one_run_is_in_the_hands_of_a_live_process(
    journal: PostgresJournal, other: PostgresJournal
):
    journal.append([*a_run(run_id="done"), *a_run()[:4]])
    await journal.durable()

    with pytest.raises(RunTaken, match="run run is being written by process"):
        await other.delete(["done", "run"])

    assert list(other.read("done")) == a_run(run_id="done")
    await journal.claim("done")
    journal.append(a_run()[4:])
    await journal.close()
    await other.delete(["done", "run"])
    assert other.runs() == []


async def test_the_list_of_runs_looks_at_the_ends_of_each_only(postgres: str, journal: PostgresJournal):
    for number in range(10):
        journal.append(a_run(turns=200, run_id=f"run-{number}"))
    await journal.durable()
    query(postgres, "ANALYZE")
    # Reported when the connection ends.
    fetched = "SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'events'"
    reader = open_journal(postgres, write=False)
    before = query(postgres, fetched)[0][0]
    assert len(reader.runs()) == 10
    await reader.close()

    await until(lambda: query(postgres, fetched)[0][0] != before)
    assert int(str(query(postgres, fetched)[0][0])) - int(str(before)) == 20


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://owner:p@s3cret@host/db",
        "postgresql://owner:p/as3cret@host/db",
        "postgresql://owner:s3cret%zz@host/db",
        "postgresql://owner:s3cret@host/db?nothing=1",
        "postgres://owner:s3cret@host:many/db",
    ],
)
def test_an_address_that_is_wrong_is_told_without_its_password(url: str):
    with pytest.raises((UsageError, StoreError)) as caught:
        open_journal(url, write=True)

    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("url", ["postgresql://owner:s3cret@{}/db", "postgres://owner@{}/db?password=s3cret"])
def test_a_server_that_is_not_there_is_named_without_the_password(url: str, write: bool):
    with pytest.raises(
        StoreError, match=r"postgresql://owner@127.0.0.1:1/db cannot be used: .*refused"
    ) as caught:
        open_journal(url.format("127.0.0.1:1"), write=write)

    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)


def test_what_a_server_says_is_told_in_one_line_and_without_the_password():
    address = Address("postgresql://ada:s3%40cret@host:5433/db")

    assert address.explain(Exception("no such role:\n  ada (s3@cret)")) == "no such role: ada (***)"
    assert address.name == "postgresql://ada@host:5433/db"


async def test_a_newer_format_is_refused_and_named(postgres: str):
    await PostgresJournal(postgres).close()
    query(postgres, "UPDATE harness.meta SET value = '99' WHERE key = 'format'")

    for write in (True, False):
        with pytest.raises(StoreError, match=r"was written by a newer harness.* in format 99"):
            open_journal(postgres, write=write)


def test_a_database_without_a_store_says_so_and_stays_as_it_is(postgres: str):
    with pytest.raises(UsageError, match="no runs here yet: postgresql://harness@"):
        open_journal(postgres, write=False)
    assert query(postgres, "SELECT to_regnamespace('harness')") == [(None,)]


async def test_many_processes_may_set_up_a_store_at_once(postgres: str, in_process: Start):
    processes = [in_process("forget", postgres) for _ in range(4)]
    for process in processes:
        process.communicate()

    # One of them began the run first; what the others found out at the end nobody was there to hear.
    assert [process.returncode for process in processes] == [0] * 4
    assert query(postgres, "SELECT value FROM harness.meta WHERE key = 'format'") == [(str(FORMAT),)]
    assert list(open_journal(postgres, write=False).read("run")) == a_run()


def test_psycopg_is_loaded_by_those_who_need_it_only():
    script = "import sys, harness.journal; print('psycopg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"


def test_without_psycopg_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("harness.journal.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(UsageError, match=r"pip install 'harness-agents\[postgres\]'"):
        open_journal("postgresql://host/db", write=True)


def test_a_path_cannot_name_a_database():
    with pytest.raises(UsageError, match="must be given as text"):
        open_journal(Path("postgresql://host/db"), write=True)

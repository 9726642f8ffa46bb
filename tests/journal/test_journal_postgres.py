"""What a PostgreSQL store promises beyond what every journal does."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import psycopg
import pytest
from journal_samples import a_run, an_answer, numbered, started, turn
from postgres_cluster import PostgresCluster
from postgres_proxy import Break, Proxy

from harness.errors import Fenced, RunTaken, StoreError, UsageError
from harness.events import FORMAT, Event
from harness.journal import Journal, open_journal
from harness.journal.postgres import LeaseTimes, PostgresJournal

pytestmark = pytest.mark.anyio

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
async def journal(postgres: str) -> AsyncIterator[PostgresJournal]:
    journal = PostgresJournal(postgres)
    yield journal
    await journal.close()


@pytest.fixture
async def other(postgres: str) -> AsyncIterator[PostgresJournal]:
    """What another process would hold."""
    journal = PostgresJournal(postgres)
    yield journal
    await journal.close()


@pytest.fixture
def proxy(postgres_cluster: PostgresCluster) -> Iterator[Proxy]:
    with tempfile.TemporaryDirectory(prefix="harness-proxy-") as folder:
        proxy = Proxy(Path(folder), postgres_cluster.folder)
        yield proxy
        proxy.stop()


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def let_time_pass(url: str) -> None:
    """Let all processes of a store count as dead."""
    query(url, "UPDATE harness.writers SET expires_at = clock_timestamp() - interval '1 second'")


def everything(journal: Journal) -> dict[str, list[Event]]:
    return {run.run_id: [item.event for item in journal.read(run.run_id)] for run in journal.runs()}


async def test_a_run_has_one_writer_at_a_time(journal: PostgresJournal, other: PostgresJournal):
    journal.append(a_run()[:4])
    await journal.durable("run")

    with pytest.raises(RunTaken) as caught:
        await other.claim("run")
    assert re.fullmatch(
        rf"run run is being written by process {os.getpid()} on \S+, which counts as alive for another "
        r"(29|30) s; wait until it ends, or end it, and try again",
        str(caught.value),
    )
    journal.append(a_run()[4:])
    await journal.durable("run")


async def test_a_run_that_is_finished_can_be_carried_on_by_any_process(
    journal: PostgresJournal, other: PostgresJournal
):
    run = a_run()
    journal.append(run)
    await journal.durable("run")

    await other.claim("run")
    other.append(numbered(turn(3), start=len(run)))
    await other.durable("run")

    assert list(journal.read("run")) == [*run, *numbered(turn(3), start=len(run))]


async def test_closing_lets_others_have_the_runs(postgres: str, other: PostgresJournal):
    journal = PostgresJournal(postgres)
    journal.append(a_run()[:4])
    await journal.close()

    await other.claim("run")
    other.append(a_run()[4:])
    await other.durable("run")

    assert list(other.read("run")) == a_run()


async def test_a_run_of_a_silent_process_is_taken_over_and_that_one_hears_of_it(
    postgres: str, journal: PostgresJournal, other: PostgresJournal
):
    journal.append([*a_run()[:4], *a_run(run_id="kept")[:4]])
    await journal.durable()
    let_time_pass(postgres)
    await other.claim("run")
    other.append(a_run()[4:6])
    await other.durable("run")

    journal.append([*numbered(turn(7), start=4), *a_run(run_id="kept")[4:6]])
    await journal.durable("kept")
    with pytest.raises(Fenced, match=rf"run run has been taken over by process {os.getpid()} on "):
        await journal.durable("run")
    with pytest.raises(Fenced):
        journal.append(numbered(turn(8), start=9))
    journal.append(a_run(run_id="kept")[6:])
    await journal.durable()
    other.append(a_run()[6:])
    await other.durable("run")

    assert list(other.read("run")) == a_run()
    assert list(other.read("kept")) == a_run(run_id="kept")


async def test_a_process_that_was_silent_but_lost_nothing_goes_on(postgres: str, journal: PostgresJournal):
    journal.append(a_run()[:4])
    await journal.durable("run")
    let_time_pass(postgres)
    query(postgres, "DELETE FROM harness.writers")

    journal.append(a_run()[4:])
    await journal.durable("run")

    assert list(journal.read("run")) == a_run()


async def test_a_run_may_come_back_to_the_process_that_lost_it(
    postgres: str, journal: PostgresJournal, other: PostgresJournal
):
    run = a_run()
    journal.append(run[:4])
    await journal.durable()
    let_time_pass(postgres)
    await other.claim("run")
    other.append(run[4:6])
    await other.durable()
    journal.append(run[4:5])
    with pytest.raises(Fenced):
        await journal.durable("run")

    let_time_pass(postgres)
    await journal.claim("run")
    journal.append(run[6:])
    await journal.durable("run")

    assert list(journal.read("run")) == run
    other.append(run[6:7])
    with pytest.raises(Fenced):
        await other.durable("run")


async def test_a_batch_that_meets_a_takeover_waits_for_it_and_is_refused(
    postgres: str, journal: PostgresJournal
):
    journal.append([*a_run()[:4], *a_run(run_id="kept")[:4]])
    await journal.durable()

    with closing(psycopg.connect(postgres)) as connection:
        connection.execute("UPDATE harness.runs SET owner = 'x', epoch = epoch + 1 WHERE run_id = 'run'")
        journal.append([*a_run()[4:], *a_run(run_id="kept")[4:]])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(journal.durable, "kept")
            waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
            await until(lambda: query(postgres, waiting))
            connection.commit()

    with pytest.raises(Fenced):
        await journal.durable("run")
    assert list(journal.read("run")) == a_run()[:4]
    assert list(journal.read("kept")) == a_run(run_id="kept")


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while True:
            if await anyio.to_thread.run_sync(condition):
                return
            await anyio.sleep(0.02)


async def test_a_new_run_whose_id_is_taken_is_refused(journal: PostgresJournal, other: PostgresJournal):
    journal.append(a_run()[:4])
    await journal.durable()

    other.append([*a_run(), *a_run(run_id="kept")])
    await other.durable("kept")
    with pytest.raises(RunTaken, match="run run is being written by process"):
        await other.durable("run")
    assert list(journal.read("run")) == a_run()[:4]


async def test_a_finished_run_cannot_begin_anew(journal: PostgresJournal, other: PostgresJournal):
    journal.append(a_run())
    await journal.durable()

    other.append([*a_run(turns=3, at=5000.0), *a_run(run_id="kept")])
    await other.durable("kept")
    with pytest.raises(Fenced, match="run run has been taken over by another process"):
        await other.durable("run")
    assert list(journal.read("run")) == a_run()


async def test_an_unclaimed_run_is_continued_where_it_ends(journal: PostgresJournal, other: PostgresJournal):
    run = a_run()
    journal.append(run)
    await journal.durable()

    with pytest.raises(StoreError, match=f"leaves a gap: the next one is {len(run)}"):
        other.append(numbered(turn(3), start=len(run) + 1))
    other.append(numbered(turn(3), start=len(run)))
    await other.durable("run")

    assert len(list(other.read("run"))) == len(run) + len(turn(3))


async def test_a_frozen_process_that_thaws_loses_the_run_it_lost_and_no_other(
    postgres: str, in_process: Start, other: PostgresJournal
):
    process = in_process("two", postgres)
    assert process.stdout
    for _ in range(10):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(RunTaken, match=f"process {process.pid} on "):
        await other.claim("run")
    alive = "SELECT 1 FROM harness.writers WHERE process LIKE '{} on %' AND expires_at > clock_timestamp()"
    await until(lambda: not query(postgres, alive.format(process.pid)))
    await other.claim("run")
    taken_at = len(list(other.read("run")))
    other.append(numbered(turn(1000), start=taken_at))
    await other.durable("run")

    os.kill(process.pid, signal.SIGCONT)
    said: list[str] = []
    while "run Fenced" not in said:
        said.append(process.stdout.readline().strip())
    said += [process.stdout.readline().strip() for _ in range(5)]
    process.kill()
    said += process.communicate()[0].split("\n")[:-1]

    acknowledged = {line.split()[0]: int(line.split()[1]) for line in said if line[-1].isdigit()}
    assert acknowledged.get("run", 0) <= taken_at
    other.append(numbered(turn(1001), start=taken_at + len(turn(0))))
    await other.durable("run")
    events = everything_of(other, "run")
    assert events[taken_at:] == [*turn(1000), *turn(1001)]
    assert events[:taken_at] == turns(taken_at)
    rest = everything_of(other, "other")
    assert len(rest) >= acknowledged["other"]
    assert rest == turns(len(rest))


def everything_of(journal: Journal, run_id: str) -> list[Event]:
    recorded = list(journal.read(run_id))
    assert [item.sequence for item in recorded] == list(range(len(recorded)))
    return [item.event for item in recorded]


def turns(length: int) -> list[Event]:
    return [event for number in range(length // len(turn(0)) + 1) for event in turn(number)][:length]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [0, 4])
async def test_a_batch_whose_connection_breaks_is_neither_lost_nor_doubled(
    postgres: str, proxy: Proxy, when: Break, at: int
):
    journal = PostgresJournal(proxy.address(postgres))
    if at:
        journal.append([*a_run()[:at], *a_run(run_id="second")[:at]])
        await journal.durable()

    proxy.break_at(b"second", when)
    journal.append([*a_run()[at:6], *a_run(run_id="second")[at:6]])
    await journal.durable()
    assert proxy.broken.is_set()
    journal.append([*a_run()[6:], *a_run(run_id="second")[6:]])
    await journal.durable()

    assert list(journal.read("run")) == a_run()
    assert list(journal.read("second")) == a_run(run_id="second")
    await journal.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_takeover_while_the_connection_is_away_is_found_out(
    postgres: str, proxy: Proxy, other: PostgresJournal, when: Break
):
    run = a_run()
    journal = PostgresJournal(proxy.address(postgres))
    journal.append([*run[:4], *a_run(run_id="kept")[:4]])
    await journal.durable()

    proxy.break_at(b"kept", when)
    async with anyio.create_task_group() as tasks:
        journal.append([*run[4:6], *a_run(run_id="kept")[4:]])
        tasks.start_soon(journal.durable, "kept")
        await anyio.to_thread.run_sync(proxy.broken.wait, 20)
        proxy.stop()
        let_time_pass(postgres)
        await other.claim("run")
        there = len(list(other.read("run")))
        assert there == {"before": 4, "after": 6}[when]
        theirs = numbered(turn(7), start=there, at=9000.0)
        other.append(theirs)
        await other.durable("run")
        proxy.start()

    if when == "after":
        await journal.durable("run")
        journal.append(run[6:7])
    with pytest.raises(Fenced):
        await journal.durable("run")
    assert list(other.read("run")) == [*run[:there], *theirs]
    assert list(other.read("kept")) == a_run(run_id="kept")
    await journal.close()


async def test_runs_go_on_through_restarts_of_the_server(postgres: str, postgres_cluster: PostgresCluster):
    journal = PostgresJournal(postgres)
    runs = {f"run-{number}": a_run(turns=60, run_id=f"run-{number}") for number in range(8)}
    written = 0

    async def write(run_id: str) -> None:
        nonlocal written
        for recorded in runs[run_id]:
            journal.append([recorded])
            await journal.durable(run_id)
            written += 1
            await anyio.sleep(random.random() / 100)

    def restart(mode: str) -> None:
        postgres_cluster.stop(mode)
        postgres_cluster.start()

    async with anyio.create_task_group() as tasks:
        for run_id in runs:
            tasks.start_soon(write, run_id)
        for number, mode in enumerate(("immediate", "fast", "immediate"), 1):
            await until(lambda: written > number * 400)  # noqa: B023
            await anyio.to_thread.run_sync(restart, mode)

    for run_id, run in runs.items():
        assert list(journal.read(run_id)) == run
    await journal.close()


async def test_a_database_that_stays_away_is_given_up(postgres: str, proxy: Proxy):
    journal = PostgresJournal(proxy.address(postgres), patience=0.3)
    journal.append(a_run()[:4])
    await journal.durable()
    proxy.stop()

    journal.append(a_run()[4:])
    with pytest.raises(
        StoreError, match=r"could not be written: .*connection to server .* nothing more is accepted"
    ):
        await journal.durable("run")
    with pytest.raises(StoreError, match="could not be written"):
        journal.append(a_run(run_id="another"))
    with pytest.raises(StoreError, match="could not be written"):
        await journal.claim("run")
    await journal.close()
    assert list(open_journal(postgres, write=False).read("run")) == a_run()[:4]


async def test_a_journal_at_rest_does_not_mind_a_database_that_is_away(postgres: str, proxy: Proxy):
    times = LeaseTimes(refreshed=0.02, dead=5.0)
    journal = PostgresJournal(proxy.address(postgres), times=times, patience=0.1)
    seen = query(postgres, "SELECT expires_at FROM harness.writers")
    proxy.stop()
    await anyio.sleep(0.3)
    proxy.start()

    await until(lambda: query(postgres, "SELECT expires_at FROM harness.writers") != seen)
    journal.append(a_run())
    await journal.durable()
    await journal.close()


async def test_a_reader_outlives_a_restart(postgres: str, postgres_cluster: PostgresCluster):
    journal = PostgresJournal(postgres)
    journal.append(a_run())
    await journal.close()
    reader = open_journal(postgres, write=False)
    assert list(reader.read("run")) == a_run()

    postgres_cluster.stop("fast")
    postgres_cluster.start()

    assert list(reader.read("run")) == a_run()
    reader.answer("run", an_answer())
    assert reader.answers("run") == [an_answer()]


async def test_a_reader_takes_answers_but_neither_runs_nor_deletions(postgres: str, journal: PostgresJournal):
    reader = open_journal(postgres, write=False)
    reader.answer("run", an_answer())

    assert journal.answers("run") == [an_answer()]
    with pytest.raises(UsageError, match="answered before: approved by Ada"):
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
    journal.append(a_run()[4:])
    await journal.durable()
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
        "postgresql://ada:p@s3cret@host/db",
        "postgresql://ada:p/as3cret@host/db",
        "postgresql://ada:s3cret%zz@host/db",
        "postgresql://ada:s3cret@host/db?nothing=1",
        "postgres://ada:s3cret@host:many/db",
    ],
)
def test_an_address_that_is_wrong_is_told_without_its_password(url: str):
    with pytest.raises((UsageError, StoreError)) as caught:
        open_journal(url, write=True)

    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("url", ["postgresql://ada:s3cret@{}/db", "postgres://ada@{}/db?password=s3cret"])
def test_a_server_that_is_not_there_is_named_without_the_password(url: str, write: bool):
    with pytest.raises(
        StoreError, match=r"postgresql://ada@127.0.0.1:1/db cannot be used: .*refused"
    ) as caught:
        open_journal(url.format("127.0.0.1:1"), write=write)

    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)


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


async def test_an_event_of_another_run_does_not_wait_for_one_that_is_refused(
    journal: PostgresJournal, other: PostgresJournal
):
    journal.append(numbered([started()], run_id="taken"))
    await journal.durable()
    other.append([*numbered([started()], run_id="taken"), *a_run()])

    await other.durable("run")
    await other.durable()
    with pytest.raises(RunTaken):
        await other.durable("taken")

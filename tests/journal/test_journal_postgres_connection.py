"""Connections that break, and servers that go away and come back."""

from __future__ import annotations

import random

import anyio
import anyio.to_thread
import pytest
from journal_postgres import let_time_pass, query, until
from journal_postgres_proxy import Break, Proxy
from journal_samples import a_run, an_answer, numbered, turn
from postgres_cluster import PostgresCluster

from harness.errors import Fenced, StoreError
from harness.journal import open_journal
from harness.journal.postgres import LeaseTimes, PostgresJournal

pytestmark = pytest.mark.anyio


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


async def test_a_run_whose_end_was_committed_unseen_is_carried_on(postgres: str, proxy: Proxy):
    run = a_run(run_id="second")
    journal = PostgresJournal(proxy.address(postgres))
    journal.append(run[:4])
    await journal.durable()

    proxy.break_at(b"second", "after")
    journal.append(run[4:])
    await journal.durable("second")
    assert proxy.broken.is_set()
    more = numbered(turn(3), run_id="second", start=len(run))
    journal.append(more)
    await journal.durable("second")

    assert list(journal.read("second")) == [*run, *more]
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
    runs = {f"run-{number}": a_run(turns=20, run_id=f"run-{number}") for number in range(8)}
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
            await until(lambda: written > number * 150)  # noqa: B023
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

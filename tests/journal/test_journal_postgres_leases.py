"""Who may write to a run, when several processes share a PostgreSQL store."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing

import anyio
import psycopg
import pytest
from journal_postgres import let_time_pass, query, until
from journal_samples import a_run, numbered, started, turn

from harness.errors import Fenced, RunTaken, StoreError
from harness.events import Event
from harness.journal import Journal
from harness.journal.postgres import PostgresJournal

pytestmark = pytest.mark.anyio

Start = Callable[..., "subprocess.Popen[str]"]


async def test_a_run_has_one_writer_at_a_time(journal: PostgresJournal, other: PostgresJournal):
    journal.append(a_run()[:4])
    await journal.durable("run")

    with pytest.raises(RunTaken) as caught:
        await other.claim("run")
    assert re.fullmatch(
        rf"run run is being written by process {os.getpid()} on \S+, which counts as alive for another "
        r"(2\d|30) s; wait until it ends, or end it, and try again",
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


async def test_a_silent_process_cannot_write_to_a_run_that_was_begun_anew(
    postgres: str, journal: PostgresJournal, other: PostgresJournal
):
    journal.append(a_run()[:4])
    await journal.durable()
    let_time_pass(postgres)
    await other.delete(["run"])
    other.append(a_run()[:2])
    await other.durable()

    journal.append(a_run()[4:6])
    with pytest.raises(Fenced):
        await journal.durable("run")
    assert list(other.read("run")) == a_run()[:2]


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
    assert query(postgres, "SELECT epoch FROM harness.runs") == [(3,)]
    other.append(run[6:7])
    with pytest.raises(Fenced):
        await other.durable("run")


async def test_content_that_was_refused_with_its_run_counts_as_used_when_it_comes_again(
    postgres: str, journal: PostgresJournal, other: PostgresJournal
):
    run = a_run()
    journal.append(run[:2])
    await journal.durable()
    let_time_pass(postgres)
    await other.claim("run")
    journal.append(run[2:])
    with pytest.raises(Fenced):
        await journal.durable("run")

    let_time_pass(postgres)
    await journal.claim("run")
    journal.append(run[2:])
    other.append(a_run(run_id="twin"))
    await journal.durable()
    await other.durable()
    await other.delete(["twin"])

    assert list(journal.read("run")) == run


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

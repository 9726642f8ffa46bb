"""What every journal promises, in memory and on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from journal_samples import a_run, finished, numbered, started, turn

from harness.errors import StoreError
from harness.events import Recorded
from harness.journal import Journal, RunSummary, open_journal

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[":memory:", "journal.db", "store"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    place = request.param if request.param == ":memory:" else tmp_path / request.param
    journal = open_journal(place, write=True)
    yield journal
    await journal.close()


async def test_events_are_read_as_they_were_appended(journal: Journal):
    run = a_run(turns=3)

    for recorded in run:
        journal.append([recorded])
    await journal.durable()

    assert list(journal.read("run")) == run


async def test_what_was_appended_is_read_before_it_is_durable(journal: Journal):
    journal.append(a_run())

    assert list(journal.read("run")) == a_run()


async def test_reading_starts_anywhere(journal: Journal):
    run = a_run()
    journal.append(run)

    assert list(journal.read("run", start=5)) == run[5:]
    assert list(journal.read("run", start=len(run))) == []
    assert list(journal.read("nobody")) == []


async def test_a_long_run_is_read_whole(journal: Journal):
    run = a_run(turns=300)
    journal.append(run)

    assert list(journal.read("run")) == run


async def test_runs_do_not_mix(journal: Journal):
    first, second = a_run(run_id="first"), a_run(run_id="second")

    for pair in zip(first, second, strict=True):
        journal.append(pair)

    assert list(journal.read("first")) == first
    assert list(journal.read("second")) == second


async def test_runs_are_listed_newest_first_with_how_they_ended(journal: Journal):
    journal.append(a_run(turns=1, run_id="older", at=1000.0))
    journal.append(numbered([started("other"), *turn(1)], run_id="newer", at=2000.0))

    assert journal.runs() == [
        RunSummary("newer", 2000.0, started("other"), None, None),
        RunSummary("older", 1000.0, started(), 1006.0, finished("older")),
    ]


async def test_a_new_journal_has_no_runs(journal: Journal):
    assert journal.runs() == []


@pytest.mark.parametrize(("sequence", "fault"), [(1, "was written before"), (3, "leaves a gap")])
async def test_a_sequence_comes_once_and_in_order(journal: Journal, sequence: int, fault: str):
    journal.append(a_run()[:2])

    with pytest.raises(StoreError, match=f"event {sequence} of run run {fault}: the next one is 2"):
        journal.append([a_run()[sequence]])


async def test_of_a_refused_append_nothing_is_kept(journal: Journal):
    run = a_run()

    with pytest.raises(StoreError):
        journal.append([run[0], run[1], run[3]])

    journal.append(run)
    assert list(journal.read("run")) == run


async def test_a_run_begins_at_zero(journal: Journal):
    with pytest.raises(StoreError, match="leaves a gap: the next one is 0"):
        journal.append([a_run()[1]])


async def test_appending_nothing_is_no_fault(journal: Journal):
    journal.append([])
    await journal.durable()


async def test_many_tasks_write_at_once(journal: Journal):
    async def write(run_id: str) -> None:
        for recorded in a_run(run_id=run_id):
            journal.append([recorded])
            await journal.durable()

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(write, f"run-{number}")

    for number in range(20):
        assert list(journal.read(f"run-{number}")) == a_run(run_id=f"run-{number}")


async def test_a_reader_that_stops_early_disturbs_nobody(journal: Journal):
    journal.append(a_run()[:-1])
    reading = journal.read("run")
    assert next(reading) == a_run()[0]

    journal.append(a_run()[-1:])
    await journal.durable()

    assert rest_is_a_prefix(list(reading))


def rest_is_a_prefix(rest: list[Recorded]) -> bool:
    """Whether a reading that began earlier went on in order; it may or may not see what came later."""
    return rest == a_run()[1 : 1 + len(rest)]


async def test_closing_twice_is_no_fault(journal: Journal):
    journal.append(a_run())
    await journal.close()
    await journal.close()

"""What every journal promises, in memory and on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from journal_samples import a_run, an_answer, finished, numbered, started, turn

from harness.errors import StoreError, UsageError
from harness.events import Recorded
from harness.journal import Answer, Journal, RunSummary, open_journal

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[":memory:", "journal.db", "store", "postgresql"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    match request.param:
        case ":memory:":
            place = ":memory:"
        case "postgresql":
            place = request.getfixturevalue("postgres")
        case name:
            place = tmp_path / name
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


async def test_a_claimed_run_is_continued(journal: Journal):
    run = a_run()
    await journal.claim("run")
    journal.append(run[:4])
    await journal.durable("run")

    await journal.claim("run")
    journal.append(run[4:])

    assert list(journal.read("run")) == run


async def test_waiting_for_one_run_is_enough_to_have_it_on_disk(journal: Journal):
    journal.append(a_run())
    journal.append(a_run(run_id="other"))
    await journal.durable("run")
    await journal.durable("nobody")

    assert list(journal.read("run")) == a_run()


async def test_answers_are_found_by_whoever_carries_on_the_run(journal: Journal):
    answers = [an_answer(), an_answer("denied", number=2), an_answer("did_not_happen", turn=2)]
    journal.append(a_run())

    for answer in answers:
        journal.answer("run", answer)

    assert sorted(journal.answers("run"), key=lambda answer: (answer.key, answer.number)) == answers
    assert journal.answers("other") == []


async def test_a_question_is_answered_once(journal: Journal):
    journal.answer("run", an_answer())
    journal.answer("other", an_answer("denied"))

    with pytest.raises(UsageError) as caught:
        journal.answer("run", an_answer("denied"))

    assert str(caught.value) == (
        "question 1 of call lead/turn-1/0 has been answered before: approved by owner, "
        "2026-11-25 01:34:15 UTC; resume the run to carry on with that answer"
    )
    assert journal.answers("run") == [an_answer()]
    assert journal.answers("other") == [an_answer("denied")]


async def test_an_answer_needs_neither_words_nor_a_name(journal: Journal):
    answer = Answer(key="lead/turn-1/0", number=1, decision="expired", at=1000.0)
    journal.answer("run", answer)

    assert journal.answers("run") == [answer]
    with pytest.raises(UsageError, match="expired by somebody, 1970-01-01 00:16:40 UTC"):
        journal.answer("run", answer)


async def test_a_deleted_run_is_gone_and_all_others_are_as_before(journal: Journal):
    for run_id in ("first", "second", "third"):
        # All hold the same pages, and one more each.
        own = numbered([*turn(hash(run_id))], run_id=run_id, start=len(a_run(turns=3)))
        journal.append([*a_run(turns=3, run_id=run_id), *own])
        journal.answer(run_id, an_answer())
    await journal.durable()
    kept = {run_id: list(journal.read(run_id)) for run_id in ("first", "third")}

    await journal.delete(["second", "nobody"])

    assert {run.run_id for run in journal.runs()} == {"first", "third"}
    assert {run_id: list(journal.read(run_id)) for run_id in ("first", "third")} == kept
    assert [journal.answers(run_id) for run_id in ("first", "second", "third")] == [
        [an_answer()],
        [],
        [an_answer()],
    ]
    assert list(journal.read("second")) == []


async def test_what_was_deleted_may_come_again(journal: Journal):
    journal.append(a_run())
    await journal.delete(["run"])

    # The same content, which the journal must not believe to be there still.
    journal.append(a_run())
    journal.append(a_run(run_id="other"))
    await journal.durable()

    assert list(journal.read("run")) == a_run()
    assert list(journal.read("other")) == a_run(run_id="other")


async def test_runs_go_on_while_others_are_deleted(journal: Journal):
    for number in range(10):
        journal.append(a_run(turns=20, run_id=f"old-{number}"))

    async def write(run_id: str) -> None:
        for recorded in a_run(turns=20, run_id=run_id):
            journal.append([recorded])
            await journal.durable(run_id)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(write, f"new-{number}")
        for number in range(10):
            await journal.delete([f"old-{number}"])

    assert {run.run_id for run in journal.runs()} == {f"new-{number}" for number in range(5)}
    for number in range(5):
        assert list(journal.read(f"new-{number}")) == a_run(turns=20, run_id=f"new-{number}")


async def test_deleting_nothing_is_no_fault(journal: Journal):
    assert await journal.delete([]) == 0


async def test_closing_twice_is_no_fault(journal: Journal):
    journal.append(a_run())
    await journal.close()
    await journal.close()

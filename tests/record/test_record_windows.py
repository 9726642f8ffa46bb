"""A record holds the windows that the loop had, turn by turn, however a run came about."""

from __future__ import annotations

from pathlib import Path
from random import Random

import anyio
import pytest

from harness import MemoryJournal, calls, fold, says
from harness.events import EntryReplaced, WindowCompacted
from harness.messages import Message
from harness.record import record_of
from harness.replay import Changes, carry_out_again
from tests.loop.stage import ALONE, delegates, reports
from tests.record.accounts import Reporting, assert_accounts, open_team, standing_in, windows_in
from tests.replay.scenes import play

TEAM = """\
agents:
  lead:
    instructions: Lead the search.
    tools: [desk]
    delegates: [scout]
    context: {window: 3k, target: 0.4, strategies: [{summarise: {model: default, keep: 0}}, {drop_turns: {keep: 0}}]}
  scout: {description: Finds things., instructions: Scout., tools: [desk]}
"""


ASKED = ("model_call.started", "summary.started")


async def note(page: int) -> str:
    """Read a page."""
    return f"page-{page:06d} " + "It was a plain day and nothing of note was seen. " * 25


def cast() -> dict[str, Reporting]:
    """A lead that reads more than its window holds and has a scout, who reads too."""
    pages = [calls("desk.note", page=page) for page in range(4)]
    return {
        "lead": Reporting(*pages, delegates("scout"), *pages, says("Done.")),
        "scout": Reporting(*pages[:2], reports("It is at page-000001."), name="scout"),
        "default": Reporting(lambda messages: says("Summed up."), name="cheap"),
    }


async def compacted(folder: Path) -> MemoryJournal:
    """A journal with a run whose window was summed up, and more than once."""
    journal = MemoryJournal()
    async with open_team(folder, TEAM, tools=[note], store=journal, **cast()) as opened:
        run = await opened.start("Where is X?")
        assert (await run.result()).output == "Done."
    [summary] = journal.runs()
    assert sum(isinstance(i.event, WindowCompacted) for i in journal.read(summary.run_id)) > 1
    return journal


@pytest.mark.parametrize("seed", range(0, 60, 10))
def test_the_windows_of_random_runs_are_those_of_the_loop(seed: int):
    """They are stopped, left alone, carried on with other teams, answered and forked."""
    for number in range(seed, seed + 10):
        scene = anyio.run(play, number)
        for summary in scene.journal.runs():
            recorded = scene.recorded(summary.run_id)
            assert_accounts(recorded)
            assert_accounts(recorded[: Random(number).randint(1, len(recorded))])


def test_a_compacted_run_is_read_as_far_as_it_goes(tmp_path: Path):
    journal = anyio.run(compacted, tmp_path)
    [summary] = journal.runs()
    recorded = list(journal.read(summary.run_id))

    for end in range(1, len(recorded) + 1):
        assert_accounts(recorded[:end])


def test_a_run_that_was_killed_and_carried_on_has_the_windows_of_one_that_was_not(tmp_path: Path):
    async def killed() -> None:
        lost = 0
        whole = await compacted(tmp_path)
        [summary] = whole.runs()
        recorded = list(whole.read(summary.run_id))
        wanted = windows_in(record_of(recorded))
        asked = [i + 1 for i, item in enumerate(recorded) if item.event.type in ASKED]
        for end in sorted({*asked, *range(3, len(recorded), 11)}):
            journal = MemoryJournal()
            journal.append(recorded[:end])
            async with open_team(tmp_path, TEAM, tools=[note], store=journal, **cast()) as opened:
                run = await opened.resume(summary.run_id)
                assert (await run.result()).output == "Done."
            resumed = list(journal.read(summary.run_id))
            ledger = assert_accounts(resumed)
            assert windows_in(ledger.record) == wanted
            lost += sum(aside.kind == "lost" for aside in ledger.asides)
        assert lost == sum(item.event.type == "model_call.started" for item in recorded)

    anyio.run(killed)


def test_a_replay_comes_to_the_windows_of_the_record(tmp_path: Path):
    async def replayed() -> None:
        journal = await compacted(tmp_path)
        [summary] = journal.runs()
        recorded = list(journal.read(summary.run_id))
        async with open_team(tmp_path, TEAM, tools=[note], **cast()) as opened:
            again = await carry_out_again(recorded, opened.team, dict(cast()))
        assert again.exact
        assert standing_in(record_of(recorded)) == {
            path: [(one.origin, one.message) for one in agent.window.entries]
            for path, agent in again.state.agents.items()
        }

    anyio.run(replayed)


def test_the_place_of_an_entry_is_the_number_that_a_fork_takes(tmp_path: Path):
    async def forked() -> None:
        journal = await compacted(tmp_path)
        [summary] = journal.runs()
        recorded = list(journal.read(summary.run_id))
        lead = record_of(recorded).agents["lead"]
        compactions = {item.event.turn for item in recorded if isinstance(item.event, WindowCompacted)}
        last = max({turn.number for turn in lead.turns} - compactions)
        held = lead.window(last)
        changed = held[-1]
        assert changed.place != changed.number
        place = int(changed.place)
        async with open_team(tmp_path, TEAM, tools=[note], store=journal, **cast()) as opened:
            changes = Changes(edit={str(place): "Nothing."})
            run = await opened.fork(summary.run_id, f"lead/turn-{last}", changes=changes)
            await run.result()
        events = list(journal.read(run.id))
        assert [item.event.entry for item in events if isinstance(item.event, EntryReplaced)] == [place]
        window = assert_accounts(events).record.agents["lead"].window(last)
        assert [entry.message for entry in window[:-1]] == [entry.message for entry in held[:-1]]
        assert window[-1].text == "Nothing."

    anyio.run(forked)


def test_a_summary_is_an_entry_of_its_own_kind_and_its_request_is_accounted_for(tmp_path: Path):
    journal = anyio.run(compacted, tmp_path)
    [summary] = journal.runs()
    events = list(journal.read(summary.run_id))

    ledger = assert_accounts(events)

    [first, *_] = [line for line in ledger.lines["lead"] if line.kind == "summary"]
    assert first.entry.origin == "summary"
    assert "Summed up." in first.entry.text
    aside = ledger.asides[0]
    assert (aside.kind, aside.agent, aside.reported, aside.error) == ("summary", "lead", True, "")
    assert aside.turn == first.entry.first
    assert set(aside.turns) <= set(range(1, aside.turn))
    assert ledger.cost == pytest.approx(fold(events).cost)
    assert ledger.cost > sum(turn.cost or 0 for turn in ledger.record.turns())


def test_an_entry_that_left_after_the_last_request_was_sent_as_often_as_it_stood_in_one(tmp_path: Path):
    journal = anyio.run(compacted, tmp_path)
    [summary] = journal.runs()
    recorded = list(journal.read(summary.run_id))
    end = next(i for i, item in enumerate(recorded) if isinstance(item.event, WindowCompacted)) + 1

    agent = assert_accounts(recorded[:end]).record.agents["lead"]

    left = [entry for entry in agent.entries if entry.gone]
    assert left
    assert {entry.last for entry in left if entry.first} == {len(agent.turns)}


def test_a_message_is_nobodys_twice(tmp_path: Path):
    """Two equal results are two entries, each sent as often as it stood in a window."""
    same = Message("assistant", calls("desk.note", page=1).parts * 2)

    async def run() -> None:
        async with open_team(
            tmp_path, ALONE, tools=[note], lead=Reporting(same, same, says("Done."))
        ) as opened:
            started = await opened.start("Where is X?")
            ledger = assert_accounts([item async for item in started.events()])
        results = [line.entry for line in ledger.lines["lead"] if line.kind == "result"]
        assert [(entry.first, entry.sent) for entry in results] == [(2, 2), (2, 2), (3, 1), (3, 1)]

    anyio.run(run)

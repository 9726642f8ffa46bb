"""A run from outside: who watches it, who stops it, and what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

import harness
from harness import MemoryJournal, Recorded, StoreError, calls, fold, says, scripted, together
from harness.events import AgentRunFinished, Event, RunFinished
from harness.journal import open_journal
from tests.loop.stage import (
    ALONE,
    CHAIN,
    PAIR,
    OpenTeam,
    RunTeam,
    assert_balanced,
    delegates,
    plans,
    reports,
    task,
    told,
)

pytestmark = pytest.mark.anyio


class Gate:
    """A tool that tells when it is called and returns when it is let go."""

    def __init__(self, callers: int = 1) -> None:
        self.reached = anyio.Event()
        self.opened = anyio.Event()
        self._missing = callers

    async def wait(self) -> str:
        self._missing -= 1
        if not self._missing:
            self.reached.set()
        await self.opened.wait()
        return "through"


async def test_a_late_subscriber_misses_nothing_and_sees_nothing_twice(open_team: OpenTeam):
    gate = Gate()
    seen: dict[str, list[int]] = {"first": [], "late": [], "last": []}

    async def watch(name: str, run: harness.Run) -> None:
        seen[name] = [recorded.sequence async for recorded in run.events()]

    async with open_team(desk=[gate.wait], lead=scripted(calls("desk.wait"), says("Done."))) as opened:
        run = await opened.start("Go.")
        async with anyio.create_task_group() as watching:
            watching.start_soon(watch, "first", run)
            await gate.reached.wait()
            watching.start_soon(watch, "late", run)
            await anyio.lowlevel.checkpoint()
            gate.opened.set()
        await watch("last", run)

    assert seen == dict.fromkeys(seen, list(range(run.state.events)))


async def test_a_subscriber_that_goes_away_does_not_disturb_the_run(open_team: OpenTeam):
    async with open_team(lead=scripted(calls("desk.none"), says("Done."))) as opened:
        run = await opened.start("Go.")
        events = run.events()
        async for _ in events:
            break
        await events.aclose()  # type: ignore[attr-defined]

        assert (await run.result()).output == "Done."


async def test_two_runs_at_once_do_not_mix(open_team: OpenTeam):
    gate = Gate(callers=2)
    journal = MemoryJournal()

    async with open_team(
        PAIR,
        store=journal,
        desk=[gate.wait],
        lead=scripted(delegates("scout"), lambda messages: says(f"Done: {messages[1].text}")),
        scout=scripted(calls("desk.wait"), says("Through.")),
    ) as opened:
        one, two = await opened.start("One."), await opened.start("Two.")
        await gate.reached.wait()
        gate.opened.set()
        results = [await one.result(), await two.result()]

    assert [result.output for result in results] == ["Done: One.", "Done: Two."]
    for run in (one, two):
        recorded = list(journal.read(run.id))
        assert {item.run_id for item in recorded} == {run.id}
        assert_balanced(recorded)
        assert fold(recorded) == run.state


@pytest.mark.parametrize("place", ["runs.db", "runs"])
async def test_cancelling_leaves_a_consistent_journal_on_disk(
    open_team: OpenTeam, tmp_path: Path, place: str
):
    gate = Gate(callers=2)

    async with open_team(
        CHAIN,
        store=tmp_path / place,
        desk=[gate.wait],
        lead=scripted(delegates("middle")),
        middle=scripted(plans(task("a"), task("b"), task("c", "scout", "a"))),
        scout=scripted(calls("desk.wait")),
    ) as opened:
        run = await opened.start("Go.")
        await gate.reached.wait()
        await run.cancel()
        recorded = list(open_journal(tmp_path / place, write=False).read(run.id))
        result = await run.result()

    assert_balanced(recorded)
    assert fold(recorded) == run.state
    assert (result.stop_reason, recorded[-1].event) == ("cancelled", run.state.finished)
    assert [item.event for item in recorded if isinstance(item.event, AgentRunFinished)] == []
    assert list(fold(recorded).agents["lead/middle-1/scout-1"].running.values()) == [("desk.wait", "{}")]


async def test_cancelling_a_run_that_is_over_changes_nothing(open_team: OpenTeam):
    async with open_team(lead=scripted(says("Done."))) as opened:
        run = await opened.start("Go.")
        result = await run.result()
        await run.cancel()

        assert await run.result() == result


async def test_cancelling_a_run_that_has_hardly_begun_ends_it(open_team: OpenTeam):
    async with open_team(lead=scripted(says("Done."))) as opened:
        run = await opened.start("Go.")
        await run.cancel()

        assert (await run.result()).stop_reason == "cancelled"
        assert_balanced((await told(run)).recorded)


async def test_one_run_is_cancelled_and_the_other_goes_on(open_team: OpenTeam):
    gate = Gate(callers=2)

    async with open_team(desk=[gate.wait], lead=scripted(calls("desk.wait"), says("Done."))) as opened:
        one, two = await opened.start("One."), await opened.start("Two.")
        await gate.reached.wait()
        await one.cancel()
        gate.opened.set()

        assert [(await run.result()).stop_reason for run in (one, two)] == ["cancelled", "done"]


async def test_leaving_the_harness_marks_a_run_that_goes_on_as_interrupted(open_team: OpenTeam):
    gate = Gate()
    journal = MemoryJournal()

    async with open_team(
        PAIR,
        store=journal,
        desk=[gate.wait],
        lead=scripted(delegates("scout")),
        scout=scripted(calls("desk.wait")),
    ) as opened:
        run = await opened.start("Go.")
        await gate.reached.wait()

    recorded = list(journal.read(run.id))
    assert_balanced(recorded)
    assert fold(recorded) == run.state
    assert (await run.result()).stop_reason == "interrupted"


async def test_leaving_the_harness_at_once_still_ends_the_run(open_team: OpenTeam):
    async with open_team(lead=scripted(says("Done."))) as opened:
        run = await opened.start("Go.")

    assert (await run.result()).stop_reason == "interrupted"


class FullDisk(MemoryJournal):
    """A journal that takes so many events and no more."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def append(self, recorded: Sequence[Recorded]) -> None:
        if not self._left:
            raise StoreError("the disk is full")
        self._left -= 1
        super().append(recorded)


@pytest.mark.parametrize("size", [1, 5, 9, 14, 20])
async def test_a_run_that_breaks_raises_from_its_result_and_its_events_end(open_team: OpenTeam, size: int):
    journal = FullDisk(size)
    seen: list[Recorded] = []

    async with open_team(
        PAIR,
        store=journal,
        lead=scripted(together(delegates("scout"), delegates("scout")), says("Done.")),
        scout=scripted(calls("desk.none"), reports("Done.")),
    ) as opened:
        run = await opened.start("Go.")
        with pytest.raises(StoreError, match="the disk is full"):
            seen.extend([recorded async for recorded in run.events()])
        with pytest.raises(StoreError, match="the disk is full"):
            await run.result()

    assert len(list(journal.read(run.id))) == size


async def test_a_run_that_cannot_be_recorded_does_not_begin(open_team: OpenTeam):
    model = scripted(says("Done."))

    async with open_team(store=FullDisk(0), lead=model) as opened:
        with pytest.raises(StoreError, match="the disk is full"):
            await opened.start("Go.")

        assert (opened.live, model.requests) == ({}, [])


async def test_a_model_that_breaks_in_its_own_way_breaks_only_its_agent(run_team: RunTeam):
    run = await run_team(
        PAIR,
        lead=scripted(
            together(delegates("scout", "Do a."), delegates("scout", "Do b.")), says("Half of it.")
        ),
        scout=scripted(
            lambda messages: says("Done.") if "Do a." in messages[1].text else [][1]  # an IndexError
        ),
    )

    assert run.result.output == "Half of it."
    assert [
        report.status
        for report in map(lambda path: run.state.agents[path].report, ("lead/scout-1", "lead/scout-2"))
        if report
    ] == ["done", "failed"]
    assert run.state.errors == {"lead/scout-2": "IndexError: list index out of range"}
    assert_balanced(run.recorded)


async def test_the_same_scripts_give_the_same_events(run_team: RunTeam):
    async def once() -> list[Event]:
        run = await run_team(
            CHAIN,
            lead=scripted(
                plans(task("a", "middle"), task("b", "middle"), task("c", "middle", "a")), says("Done.")
            ),
            middle=scripted(together(delegates("scout"), delegates("scout")), says("Passed on.")),
            scout=scripted(calls("desk.none"), reports("Found.")),
        )
        return [item.event for item in run.recorded if not isinstance(item.event, RunFinished)]

    assert await once() == await once()


async def test_an_empty_task_is_refused(open_team: OpenTeam):
    async with open_team(ALONE) as opened:
        with pytest.raises(harness.UsageError, match="the task is empty"):
            await opened.start("  ")


@pytest.mark.parametrize("store", ["runs.db", "runs"])
async def test_a_run_read_back_from_disk_is_the_run_that_was_live(
    run_team: RunTeam, tmp_path: Path, store: str
):
    def flood() -> str:
        return "0123456789" * 5000

    run = await run_team(
        PAIR,
        store=tmp_path / store,
        desk=[flood],
        lead=scripted(plans(task("a"), task("b", "scout", "a")), says("Done.")),
        scout=scripted(calls("desk.flood"), reports("Found.", artifacts=["x"], evidence=[])),
    )

    again = list(open_journal(tmp_path / store, write=False).read(run.result.run_id))
    assert again == run.recorded
    assert fold(again) == run.state

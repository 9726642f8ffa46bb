"""Runs that share a process and a journal do not suffer from each other."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from crowd import ANSWER, TEAM, write_next_line

import harness
from harness import FunctionToolset, StoreError, UsageError, scripted
from harness.journal import Journal, open_journal

pytestmark = pytest.mark.anyio

DEADLINE = 30


@asynccontextmanager
async def opened(
    folder: Path, write: Callable[[int, int], object], *, lines: int = 3, store: Any = None
) -> AsyncIterator[harness.Harness]:
    """Open a team in a folder whose runs write lines with `write`, which is a tool."""
    file = folder / "team.yaml"
    file.write_text(TEAM)
    models = {"writer": scripted(lambda messages: write_next_line(messages, lines=lines))}
    tools = [FunctionToolset("diary", write)]
    with anyio.fail_after(DEADLINE):
        async with harness.open(file, store=store or folder / "store", models=models, toolsets=tools) as h:
            yield h


async def write(writer: int, line: int) -> str:
    return f"line {line} is written"


async def interrupted_runs(folder: Path, number: int) -> list[str]:
    """Leave runs that were interrupted in their first call; return their ids."""
    at_work = [anyio.Event() for _ in range(number)]

    async def write(writer: int, line: int) -> str:
        at_work[writer].set()
        await anyio.sleep_forever()
        return "never"

    async with opened(folder, write) as h:
        runs = [await h.start(f"Write your lines down, number {n}") for n in range(number)]
        for event in at_work:
            await event.wait()
        await h.drain()
        return [run.id for run in runs]


async def test_when_the_journal_fails_a_run_at_work_ends_with_that_error_and_breaks_nothing(tmp_path: Path):
    at_work = anyio.Event()

    async def write(writer: int, line: int) -> str:
        if writer == 0:
            at_work.set()
            await anyio.sleep_forever()
        (tmp_path / "store" / "journal.db").unlink(missing_ok=True)
        return "written"

    async with opened(tmp_path, write) as h:
        waiting = await h.start("Write your lines down, number 0")
        await at_work.wait()
        other = await h.start("Write your lines down, number 1")
        with pytest.raises(StoreError, match="was deleted, moved or replaced"):
            await other.result()
        assert not waiting.is_over

    with pytest.raises(StoreError, match="was deleted, moved or replaced"):
        await waiting.result()


async def test_a_run_that_cannot_be_carried_on_keeps_no_other_from_it(tmp_path: Path):
    broken, *others = await interrupted_runs(tmp_path, 4)
    with closing(sqlite3.connect(tmp_path / "store" / "journal.db")) as connection, connection:
        connection.execute("UPDATE events SET body = X'7B' WHERE run_id = ? AND sequence = 3", (broken,))

    async with opened(tmp_path, write) as h:
        with pytest.raises(StoreError, match="is damaged"):
            await h.resume_all()

        for run in list(h.live.values()):
            await run.wait()
        ends = {run.run_id: run.finished.stop_reason for run in h.journal.runs() if run.finished}
    assert ends == {broken: "interrupted"} | dict.fromkeys(others, "suspended")


async def test_resumed_twice_at_the_same_time_a_run_is_carried_once(tmp_path: Path):
    [run_id] = await interrupted_runs(tmp_path, 1)
    refused: list[UsageError] = []
    carried: list[harness.Run] = []

    async with opened(tmp_path, write) as h:

        async def resume() -> None:
            try:
                carried.append(await h.resume(run_id))
            except UsageError as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resume)
            tasks.start_soon(resume)

        assert [str(error) for error in refused] == [f"run {run_id} is going on in this process"]
        await carried[0].wait()
        run = await h.approve(run_id, happened=False)
        assert (await run.result()).output == ANSWER


async def release(journal: Halting) -> None:
    journal.go_on.set()


class Halting:
    """A journal that halts at one of its steps, and fails there if it is told to."""

    def __init__(self, journal: Journal, step: str) -> None:
        self._journal = journal
        self._step = step
        self.reached = anyio.Event()
        self.go_on = anyio.Event()
        self.failure: StoreError | None = None

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._journal, name)
        return partial(self._halt, real) if name == self._step else real

    async def _halt(self, real: Callable[[str], Awaitable[None]], run_id: str) -> None:
        self.reached.set()
        await self.go_on.wait()
        if self.failure:
            raise self.failure
        await real(run_id)


async def test_what_is_being_resumed_when_the_harness_is_drained_does_not_begin(tmp_path: Path):
    [run_id] = await interrupted_runs(tmp_path, 1)
    journal = Halting(open_journal(tmp_path / "store", write=True), "claim")
    before = len(list(journal.read(run_id)))

    async with opened(tmp_path, write, store=journal) as h, anyio.create_task_group() as tasks:

        async def resume() -> None:
            with pytest.raises(UsageError, match="shutting down"):
                await h.resume(run_id)

        tasks.start_soon(resume)
        await journal.reached.wait()
        await h.drain()
        journal.go_on.set()
    assert len(list(journal.read(run_id))) == before
    await journal.close()


@pytest.mark.parametrize("failure", [None, StoreError("the disk is gone")])
async def test_draining_waits_for_what_is_being_started_and_not_for_ever(
    tmp_path: Path, failure: StoreError | None
):
    journal = Halting(open_journal(tmp_path / "store", write=True), "durable")
    journal.failure = failure

    async with opened(tmp_path, write, store=journal) as h, anyio.create_task_group() as tasks:

        async def start() -> None:
            if failure:
                with pytest.raises(StoreError, match="the disk is gone"):
                    await h.start("Write your lines down, number 0")
            else:
                run = await h.start("Write your lines down, number 0")
                assert (await run.result()).output == ANSWER

        tasks.start_soon(start)
        await journal.reached.wait()
        tasks.start_soon(release, journal)
        await h.drain(grace=10 * DEADLINE)
        assert not h.live
    await journal.close()

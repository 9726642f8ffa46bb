"""Answers find their questions, whoever gives them, and whatever the run is doing meanwhile."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import orjson
import pytest
from gated_world import GATED, RUN, GatedWorld, Process, Script
from virtual_time import VirtualTimeLoop

import harness
from harness import FunctionToolset, MemoryJournal, UsageError, calls, fold, says, scripted, together
from harness.events import ApprovalDecided, ApprovalRequested, RunFinished
from harness.harness import Harness

pytestmark = pytest.mark.anyio

SERVER = Path(__file__).with_name("outside_server.py")

TEAM = """\
harness: 1
name: asking
entry: lead
mcpServers: {desk: {module: given.by.the.test, disabled: true}}
agents: {lead: {instructions: Lead., tools: [desk]}}
permissions: [{tool: desk.pay, allow: ask}]
"""

KEYS = ("lead/turn-1/0", "lead/turn-1/1", "lead/turn-1/2")


@asynccontextmanager
async def asking(folder: Path, paid: list[int], store: Path | None = None) -> AsyncIterator[Harness]:
    """A team that wants to pay three times at once, and asks each time."""
    file = folder / "team.yaml"
    file.write_text(TEAM)

    async def pay(amount: int) -> str:
        paid.append(amount)
        return f"paid {amount}"

    lead = scripted(together(*(calls("desk.pay", amount=amount) for amount in (1, 2, 3))), says("Paid."))
    with anyio.fail_after(20):
        async with harness.open(
            file,
            store=store or MemoryJournal(),
            models={"lead": lead},
            toolsets=[FunctionToolset("desk", pay)],
        ) as opened:
            yield opened


async def test_several_questions_are_answered_one_after_the_other(tmp_path: Path):
    paid: list[int] = []
    async with asking(tmp_path, paid) as opened:
        run = await opened.start("Pay.")
        suspended = await run.result()
        for key in KEYS:
            run = await opened.approve(run.id, key, allow=key != KEYS[1])
        result = await run.result()

    assert (suspended.stop_reason, suspended.waiting) == ("suspended", KEYS)
    assert (result.stop_reason, result.output) == ("done", "Paid.")
    assert sorted(paid) == [1, 3]


@pytest.mark.parametrize("store", [None, "store", "store.db"])
async def test_several_people_answer_at_once(tmp_path: Path, store: str | None):
    paid: list[int] = []
    runs: list[harness.Run] = []
    async with asking(tmp_path, paid, tmp_path / store if store else None) as opened:
        run = await opened.start("Pay.")
        await run.result()

        async def approve(key: str) -> None:
            runs.append(await opened.approve(run.id, key))

        async with anyio.create_task_group() as people:
            for key in KEYS:
                people.start_soon(approve, key)
        results = [await one.result() for one in runs]

    assert [result.output for result in results] == ["Paid."] * 3
    assert sorted(paid) == [1, 2, 3]


@pytest.mark.parametrize("store", [None, "store", "store.db"])
async def test_a_run_is_taken_up_by_one_of_those_who_try_at_once(tmp_path: Path, store: str | None):
    paid: list[int] = []
    refused: list[str] = []
    async with asking(tmp_path, paid, tmp_path / store if store else None) as opened:
        run = await opened.start("Pay.")
        await run.result()

        async def resume() -> None:
            try:
                await opened.resume(run.id)
            except UsageError as error:
                refused.append(str(error))

        async with anyio.create_task_group() as people:
            for _ in KEYS:
                people.start_soon(resume)
        again = opened.live[run.id]
        for key in KEYS:
            again = await opened.approve(run.id, key)
        result = await again.result()
        recorded = list(opened.journal.read(run.id))

    assert refused == [f"run {run.id} is going on in this process"] * 2
    assert (result.stop_reason, sorted(paid)) == ("done", [1, 2, 3])
    assert [item.sequence for item in recorded] == list(range(len(recorded)))


async def test_the_second_answer_is_refused_and_changes_nothing(tmp_path: Path):
    paid: list[int] = []
    async with asking(tmp_path, paid) as opened:
        run = await opened.start("Pay.")
        await run.result()
        run = await opened.approve(run.id, KEYS[0], allow=False)
        with pytest.raises(UsageError, match="answered before|no call"):
            await opened.approve(run.id, KEYS[0])
        for key in KEYS[1:]:
            run = await opened.approve(run.id, key)
        result = await run.result()
        with pytest.raises(UsageError, match="nothing in this run waits"):
            await opened.approve(run.id, KEYS[0])

    assert result.stop_reason == "done"
    assert sorted(paid) == [2, 3]


async def test_a_suspended_run_goes_on_at_once_though_its_servers_are_still_closing(tmp_path: Path):
    file = tmp_path / "team.yaml"
    arguments = ["-S", str(SERVER), str(tmp_path / "world")]
    server = {"command": sys.executable, "args": arguments, "scope": "run"}
    text = TEAM.replace("{module: given.by.the.test, disabled: true}", orjson.dumps(server).decode())
    pays = "calls: [{tool: desk.pay, arguments: {label: %s}}]"
    turns = f"[{{{pays % 'one'}}}, {{{pays % 'two'}}}, {{say: Paid.}}]"
    file.write_text(f"{text}models: {{default: {{api: scripted, script: {turns}}}}}\n")

    with anyio.fail_after(20):
        async with harness.open(file, store=MemoryJournal()) as opened:
            run = await opened.start("Pay.")
            first = await run.result()
            suspended = await (await opened.resume(run.id)).result()
            again = await opened.approve(run.id)
            again.be_patient()
            async for recorded in again.events():
                if isinstance(recorded.event, ApprovalRequested) and recorded.event.turn == 2:
                    break
            live = opened.live.get(run.id)
            result = await (await opened.approve(run.id)).result()

    assert (first.stop_reason, suspended.stop_reason) == ("suspended", "suspended")
    assert (result.stop_reason, result.output) == ("done", "Paid.")
    assert live is again


@pytest.fixture
def loop() -> Iterator[VirtualTimeLoop]:
    loop = VirtualTimeLoop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_an_answer_never_outlives_its_question(loop: VirtualTimeLoop):
    """Otherwise it would answer what the run asks at this place the next time, about something else."""
    world = GatedWorld(Script([["look", "sign"]], []))
    with living(world, loop) as process:
        process.begin(lambda opened: opened.start("Do it.", run_id=RUN))
        let_on(world, loop, "disk", "model", until=lambda: process.is_asked)
        (question,) = process.harness.live[RUN].waiting

        process.begin(lambda opened: opened.approve(RUN, question.key))
        loop.settle()
        on_disk = any(isinstance(item.event, ApprovalRequested) for item in world.disk.recorded[RUN])

    assert (on_disk, world.disk.left) == (False, {})


@pytest.mark.parametrize("seconds", [3599, 3601])
def test_an_answer_that_comes_too_late_is_a_no(loop: VirtualTimeLoop, seconds: int):
    world = GatedWorld(Script([["sign"]], []))
    with living(world, loop) as process:
        process.begin(lambda opened: opened.start("Do it.", run_id=RUN))
        let_on(world, loop, "disk", "model", until=lambda: not process.carries)
    (question,) = fold(world.disk.recorded[RUN]).waiting.values()

    world.now += seconds
    with living(world, loop) as process:
        process.begin(lambda opened: opened.approve(RUN, question.key))
        let_on(world, loop, "disk", "model", "effect", "result", until=lambda: not process.carries)

    decided = [item.event for item in world.disk.recorded[RUN] if isinstance(item.event, ApprovalDecided)]
    in_time = seconds < 3600
    assert [event.decision for event in decided] == ["approved" if in_time else "expired"]
    assert world.effects == ({"w#1.0": 1} if in_time else {})
    (left,) = world.disk.left.values()
    assert left.decision == ("approved" if in_time else "expired")


@pytest.mark.parametrize("moving", [False, True])
def test_a_question_nobody_answers_in_time_is_a_no(loop: VirtualTimeLoop, moving: bool):
    """The time may run out while nobody carries the run, and while something else in it still moves."""
    world = GatedWorld(Script([["look", "sign"] if moving else ["sign"]], []))
    with living(world, loop) as process:
        process.begin(lambda opened: opened.start("Do it.", run_id=RUN))
        let_on(world, loop, "disk", "model", until=lambda: process.is_asked or not process.carries)
        if moving:
            world.now += 3601
        let_on(world, loop, "disk", "model", "effect", "result", until=lambda: not process.carries)

    if not moving:
        world.now += 3601
        with living(world, loop) as process:
            process.begin(lambda opened: opened.resume(RUN))
            let_on(world, loop, "disk", "model", until=lambda: not process.carries)

    last = world.disk.recorded[RUN][-1].event
    assert isinstance(last, RunFinished)
    assert last.stop_reason == "done"
    decided = [item.event for item in world.disk.recorded[RUN] if isinstance(item.event, ApprovalDecided)]
    assert [event.decision for event in decided] == ["expired"]
    assert world.effects == ({"w#1.0": 1} if moving else {})


@contextmanager
def living(world: GatedWorld, loop: VirtualTimeLoop) -> Iterator[Process]:
    """A process that is killed in the end."""
    process = Process(world, GATED, loop, alert=True)
    loop.settle()
    try:
        yield process
    finally:
        process.die(kept=0)


def let_on(world: GatedWorld, loop: VirtualTimeLoop, *at: str, until: Callable[[], bool]) -> None:
    """Let everything go on that waits at these gates, until something is the case."""
    loop.settle()
    while not until():
        for waiter in world.waiters:
            if waiter.at in at:
                waiter.let_go()
        loop.settle()

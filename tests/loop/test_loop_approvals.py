"""Asking a person: only the call waits, an answer is used once, and holds for exactly what was asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

import harness
from harness import FunctionToolset, Harness, UsageError, calls, fold, says, scripted, together
from harness.events import ApprovalDecided, ApprovalRequested, ToolCallFinished
from harness.messages import Message
from harness.replay import carry_out_again

DAYS = 24 * 3600.0

TEAM = """\
harness: 1
name: clerks
entry: lead
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [clerk]}
  clerk: {instructions: Pay., tools: [desk]}
limits: {parallel: 1}
permissions:
  - {tool: desk.pay, when: {amount: {above: 2}}, allow: ask, expires: 3d, reason: real money}
  - {tool: desk.burn, allow: no}
"""

pytestmark = pytest.mark.anyio


class World:
    """A desk whose calls can be counted, and a clock that only moves when told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paid: list[int] = []
        self.looked = 0
        self.now = 1_800_000_000.0
        self.team = TEAM
        self.pay: Callable[..., str] = self.pay_amount

    def pay_amount(self, amount: int) -> str:
        """Pay."""
        self.paid.append(amount)
        return f"paid {amount}"

    def look(self) -> str:
        """Look."""
        self.looked += 1
        return "a desk"

    def open(self, **models: harness.ScriptedModel) -> AbstractAsyncContextManager[Harness]:
        """Open the team as another process would, over the same store."""
        (self.folder / "team.yaml").write_text(self.team)
        tools = FunctionToolset("desk", _named(self.pay, "pay"), self.look, effect="once")
        return harness.open(
            self.folder / "team.yaml",
            store=self.folder / "runs",
            models=models,
            toolsets=[tools],
            clock=lambda: self.now,
        )


def _named(function: Callable[..., str], name: str) -> Callable[..., str]:
    def call(amount: int) -> str:
        return function(amount)

    call.__name__, call.__doc__ = name, function.__doc__
    return call


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def delegate(objective: str) -> Message:
    return calls(
        "delegate", agent="clerk", objective=objective, expected_output="A line.", sources="", boundaries=""
    )


def payers() -> dict[str, harness.ScriptedModel]:
    return {
        "lead": scripted(together(delegate("Pay 3."), delegate("Look.")), says("All done.")),
        "clerk": scripted(
            lambda messages: (
                calls("desk.pay", amount=3) if "Pay 3." in messages[1].text else calls("desk.look")
            ),
            lambda messages: says(messages[-1].text),
        ),
    }


async def test_only_the_call_waits_and_its_agent_lends_its_place(world: World):
    async with world.open(**payers()) as opened:
        run = await opened.start("Go.")
        result = await run.result()

    assert (result.stop_reason, result.waiting) == ("suspended", ("lead/clerk-1/turn-1/0",))
    assert (world.paid, world.looked) == ([], 1)
    assert run.state.agents["lead/clerk-2"].report is not None


async def test_an_answer_of_another_process_days_later_carries_the_run_on(world: World):
    async with world.open(**payers()) as opened:
        run = await opened.start("Go.")
        await run.result()
    world.now += 2 * DAYS

    async with world.open(**payers()) as later:
        carried_on = await later.approve(run.id, by="owner")
        result = await carried_on.result()
        with pytest.raises(UsageError, match="nothing in this run waits"):
            await later.approve(run.id)
        recorded = list(later.journal.read(run.id))

    assert (result.output, world.paid, world.looked) == ("All done.", [3], 1)
    assert fold(recorded) == carried_on.state
    decided = [item.event for item in recorded if isinstance(item.event, ApprovalDecided)]
    assert [(event.decision, event.by) for event in decided] == [("approved", "owner")]
    assert (await carry_out_again(recorded, later.team, payers())).exact


async def test_a_second_answer_is_refused_even_before_the_first_is_used(world: World):
    async with world.open(**payers()) as opened:
        run = await opened.start("Go.")
        await run.result()
        question = run.waiting[0]
        answer = harness.journal.Answer(
            key=question.key, number=question.number, decision="denied", at=world.now, by="owner"
        )
        opened.journal.answer(run.id, answer)

        with pytest.raises(UsageError, match="owner"):
            await opened.approve(run.id)

        assert (await (await opened.resume(run.id)).result()).succeeded
    assert world.paid == []


async def test_no_answer_in_time_is_a_no(world: World):
    async with world.open(**payers()) as opened:
        run = await opened.start("Go.")
        await run.result()
        world.now += 4 * DAYS
        carried_on = await opened.approve(run.id)
        await carried_on.result()
        recorded = list(opened.journal.read(run.id))

    assert world.paid == []
    assert [i.event.decision for i in recorded if isinstance(i.event, ApprovalDecided)] == ["expired"]
    shown = [i.event.shown for i in recorded if isinstance(i.event, ToolCallFinished) and i.event.is_error]
    assert shown == ["desk.pay was not run: nobody answered in time"]


async def test_time_alone_ends_a_question_on_resuming(world: World):
    async with world.open(**payers()) as opened:
        run = await opened.start("Go.")
        await run.result()
        world.now += 4 * DAYS
        result = await (await opened.resume(run.id)).result()

    assert (result.stop_reason, world.paid) == ("done", [])


async def test_an_approval_holds_for_these_arguments_only(world: World):
    lead = scripted(calls("desk.pay", amount=3), calls("desk.pay", amount=4), says("Done."))

    async with world.open(lead=lead, clerk=scripted()) as opened:
        run = await opened.start("Go.")
        await run.result()
        again = await opened.approve(run.id)
        result = await again.result()

    assert (result.stop_reason, result.waiting, world.paid) == ("suspended", ("lead/turn-2/0",), [3])


async def test_a_tool_that_changed_meanwhile_is_asked_about_again(world: World):
    models = {"lead": scripted(calls("desk.pay", amount=3), says("Done.")), "clerk": scripted()}
    async with world.open(**models) as opened:
        run = await opened.start("Go.")
        await run.result()

    def pay_twice(amount: int) -> str:
        """Pay, and pay again."""
        world.paid.extend([amount, amount])
        return "paid twice"

    world.pay = pay_twice
    async with world.open(**models) as opened:
        again = await opened.approve(run.id)
        result = await again.result()
        asked = [i.event for i in opened.journal.read(run.id) if isinstance(i.event, ApprovalRequested)]

        assert (result.stop_reason, world.paid) == ("suspended", [])
        assert [event.number for event in asked] == [1, 2]
        assert asked[0].fingerprint != asked[1].fingerprint

        assert (await (await opened.approve(run.id)).result()).succeeded
    assert world.paid == [3, 3]


async def test_a_person_may_change_the_arguments(world: World):
    lead = scripted(calls("desk.pay", amount=3), lambda messages: says(messages[-1].text))

    async with world.open(lead=lead, clerk=scripted()) as opened:
        run = await opened.start("Go.")
        await run.result()
        result = await (await opened.approve(run.id, arguments='{"amount": 1}')).result()
        recorded = list(opened.journal.read(run.id))

    assert (result.output, world.paid) == ("paid 1", [1])
    assert (await carry_out_again(recorded, opened.team, {"lead": lead, "clerk": scripted()})).exact


async def test_a_team_file_that_allows_the_call_by_now_answers_for_the_person(world: World):
    async with world.open(**payers()) as opened:
        run = await opened.start("Go.")
        await run.result()
    world.team = TEAM.replace("allow: ask, expires: 3d", "allow: yes")

    async with world.open(**payers()) as opened:
        result = await (await opened.resume(run.id)).result()

    assert (result.output, world.paid) == ("All done.", [3])


async def test_a_live_run_takes_an_answer_at_once(world: World):
    async with world.open(**payers()) as opened:
        run = await opened.start("Go.")
        run.be_patient()
        async for recorded in run.events():
            if isinstance(recorded.event, ApprovalRequested):
                assert await opened.approve(run.id, recorded.event.call_id) is run
        result = await run.result()

    assert (result.output, world.paid) == ("All done.", [3])


async def test_rules_below_what_is_asked_about_let_the_call_through(world: World):
    lead = scripted(calls("desk.pay", amount=2), says("Done."))

    async with world.open(lead=lead, clerk=scripted()) as opened:
        result = await opened.run("Go.")

    assert (result.output, world.paid) == ("Done.", [2])

"""Forks: recorded before a turn, live from it on, with something changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

import harness
from harness import FunctionToolset, Harness, Run, UsageError, calls, fold, says, scripted, together
from harness.events import ToolCallStarted
from harness.messages import Message
from harness.replay import Changes, carry_out_again
from harness.replay.difference import compare_runs

TEAM = """\
harness: 1
name: forks
entry: lead
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [scout]}
  scout: {instructions: Scout., tools: [desk]}
"""

pytestmark = pytest.mark.anyio


def delegate(objective: str) -> Message:
    return calls(
        "delegate", agent="scout", objective=objective, expected_output="A line.", sources="", boundaries=""
    )


def words(messages: list[Message]) -> Message:
    """Answer with everything the window holds, so that a change anywhere shows."""
    return says(" | ".join(message.text for message in messages[1:]))


class Desk:
    """Tools that remember what was really done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def look(self, place: str) -> str:
        """Look."""
        self.done.append(place)
        return f"{place} number {len(self.done)}"


Opener = Callable[[], AbstractAsyncContextManager[Harness]]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def lead() -> harness.ScriptedModel:
    return scripted(
        together(delegate("Find a."), delegate("Find b.")), calls("desk.look", place="drawer"), words
    )


@pytest.fixture
def scout() -> harness.ScriptedModel:
    return scripted(calls("desk.look", place="shelf"), words)


@pytest.fixture
async def opened(
    tmp_path: Path, desk: Desk, lead: harness.ScriptedModel, scout: harness.ScriptedModel
) -> AsyncIterator[Harness]:
    (tmp_path / "team.yaml").write_text(TEAM)
    async with harness.open(
        tmp_path / "team.yaml",
        store=tmp_path / "runs",
        models={"lead": lead, "scout": scout},
        toolsets=[FunctionToolset("desk", desk.look, effect="read")],
    ) as opened:
        yield opened


@pytest.fixture
async def parent(opened: Harness) -> Run:
    run = await opened.start("Where is it?")
    assert (await run.result()).succeeded
    return run


async def test_what_came_before_the_turn_is_not_asked_or_done_again(
    opened: Harness, parent: Run, desk: Desk, lead: harness.ScriptedModel, scout: harness.ScriptedModel
):
    done, asked = list(desk.done), (len(lead.requests), len(scout.requests))

    fork = await opened.fork(parent.id, "lead/turn-3")
    result = await fork.result()

    assert result.output == (await parent.result()).output
    assert desk.done == done
    assert (len(lead.requests), len(scout.requests)) == (asked[0] + 1, asked[1])
    recorded = list(opened.journal.read(fork.id))
    assert fold(recorded) == fork.state
    assert (await carry_out_again(recorded, opened.team, {"lead": lead, "scout": scout})).exact


async def test_a_fork_inside_a_sub_agent_keeps_its_sibling_and_redoes_what_rested_on_it(
    opened: Harness, parent: Run, desk: Desk, lead: harness.ScriptedModel, scout: harness.ScriptedModel
):
    done, asked = list(desk.done), (len(lead.requests), len(scout.requests))

    fork = await opened.fork(parent.id, "lead/scout-1/turn-2", changes=Changes(brief="Find c."))
    await fork.result()

    assert (len(lead.requests), len(scout.requests)) == (asked[0] + 2, asked[1] + 1)
    assert desk.done == [*done, "drawer"]
    brief = fork.state.agents["lead/scout-1"].window.entries[1].message.text
    assert "Find c." in brief
    assert "Find b." in fork.state.agents["lead/scout-2"].window.entries[1].message.text


async def test_tool_calls_that_equal_recorded_ones_can_be_answered_from_the_record(
    opened: Harness, parent: Run, desk: Desk
):
    done = list(desk.done)

    fork = await opened.fork(parent.id, "lead/scout-1/turn-1", changes=Changes(reuse_tools=True))
    await fork.result()

    assert desk.done == done
    assert any(
        isinstance(item.event, ToolCallStarted) and item.event.tool == "desk.look"
        for item in opened.journal.read(fork.id)
    )


async def test_an_edited_result_is_what_the_agent_then_sees(opened: Harness, parent: Run):
    fork = await opened.fork(
        parent.id, "lead/turn-3", changes=Changes(results={"lead/turn-2/0": "an empty drawer"})
    )
    result = await fork.result()

    assert result.output.endswith("an empty drawer")
    assert fork.state.readings["lead/turn-2/0"].text == "an empty drawer"


async def test_an_edited_entry_counts_from_the_forked_turn_on(
    opened: Harness, parent: Run, lead: harness.ScriptedModel
):
    fork = await opened.fork(parent.id, "lead/turn-3", changes=Changes(edit={"1": "What is it?"}))
    await fork.result()

    assert lead.requests[-1][1].text == "What is it?"
    assert fold(opened.journal.read(fork.id)) == fork.state


async def test_a_dropped_call_goes_with_its_result(opened: Harness, parent: Run, lead: harness.ScriptedModel):
    window = parent.state.agents["lead"].window
    result = next(entry for entry in window.entries if entry.origin == "tool:desk.look")

    asked = len(lead.requests)

    fork = await opened.fork(parent.id, "lead/turn-3", changes=Changes(drop=(f"lead/entry-{result.number}",)))
    await fork.result()

    first = lead.requests[asked]
    names = [call.name for message in first for call in message.tool_calls]
    answered = [part for message in first if message.role == "tool" for part in message.parts]
    assert names == ["delegate", "delegate"]
    assert len(answered) == 2


async def test_a_fork_says_where_it_comes_from_and_what_it_took_over(opened: Harness, parent: Run):
    fork = await opened.fork(
        parent.id,
        "lead/turn-2",
        set={"agents.lead.instructions": "Lead well."},
        changes=Changes(reuse_tools=True),
    )
    await fork.result()

    started = fork.state.started
    assert started is not None
    assert started.forked_from is not None
    assert (started.forked_from.run_id, started.forked_from.at) == (parent.id, "lead/turn-2")
    assert started.forked_from.changes == (
        "--set agents.lead.instructions=Lead well.",
        "--reuse-tools",
    )
    assert 0 < started.forked_from.usage.calls < fork.state.usage.calls
    assert fork.state.agents["lead"].window.entries[0].message.text == "Lead well."


async def test_the_fork_of_a_fork_works_when_its_ancestors_are_gone(opened: Harness, parent: Run):
    fork = await opened.fork(parent.id, "lead/turn-3")
    await fork.result()
    await opened.journal.delete([parent.id])

    again = await opened.fork(fork.id, "lead/turn-2")

    assert (await again.result()).succeeded
    assert list(opened.journal.read(parent.id)) == []


@pytest.mark.parametrize(
    ("at", "changes", "message"),
    [
        ("lead", Changes(), "is no turn: write it as in lead/turn-3"),
        ("lead/turn-9", Changes(), "this run has no turn lead/turn-9; its turns are"),
        ("lead/turn-2", Changes(drop=("77",)), "has no entry '77' before this turn; it holds"),
        ("lead/turn-2", Changes(results={"lead/turn-2/0": ""}), "no recorded tool call before the fork"),
    ],
)
async def test_a_fork_that_cannot_be_is_refused_with_what_there_is(
    opened: Harness, parent: Run, at: str, changes: Changes, message: str
):
    with pytest.raises(UsageError, match=message):
        await opened.fork(parent.id, at, changes=changes)


async def test_the_difference_to_a_fork_names_the_first_divergence(opened: Harness, parent: Run):
    fork = await opened.fork(
        parent.id, "lead/turn-3", changes=Changes(results={"lead/turn-2/0": "an empty drawer"})
    )
    await fork.result()

    difference = compare_runs(*(list(opened.journal.read(run.id)) for run in (parent, fork)))

    assert difference.first is not None
    assert (difference.first.place, difference.first.what) == ("lead/turn-2/0", "tool result")
    assert difference.first.right == "an empty drawer"
    assert (
        difference.ancestry == f"{fork.id} is a fork of {parent.id} at lead/turn-3 --result lead/turn-2/0=…"
    )
    assert [one.what for one in difference.outcome] == ["answer"]
    assert not difference.same


async def test_a_run_does_not_differ_from_its_unchanged_fork(opened: Harness, parent: Run):
    fork = await opened.fork(parent.id, "lead/turn-3")
    await fork.result()

    difference = compare_runs(*(list(opened.journal.read(run.id)) for run in (parent, fork)))

    assert difference.same
    assert {measure.name for measure in difference.measures if measure.left != measure.right} <= {"seconds"}

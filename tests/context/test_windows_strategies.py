"""Each way to make room: what leaves, what stays, and how the model gets back what left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness import Message, calls, says, scripted
from harness.events import SummaryFinished, SummaryStarted
from harness.messages import Reasoning, Text, ToolCall
from harness.models.scripted import ScriptedModel
from tests.context.rooms import alone, assert_lawful, assert_pairs, compactions, lines, reads_again
from tests.loop.stage import RunTeam, delegates, loads, plans, reports, task

pytestmark = pytest.mark.anyio

PAIR = """\
agents:
  lead: {{instructions: Lead., delegates: [scout], context: {context}}}
  scout: {{description: Finds things., instructions: Scout.}}
"""


def desk(**pages: str) -> list[Any]:
    """Tools that read pages and change them."""

    async def read(page: str) -> str:
        """Read a page."""
        return pages[page]

    async def write(page: str, text: str) -> str:
        """Change a page."""
        pages[page] = text
        return f"{page} was changed. {lines(1_500)}"

    return [read, write]


def texts(messages: Sequence[Message]) -> str:
    return "\n".join(message.text for message in messages)


async def test_cleared_results_can_be_read_again_by_the_handle_that_stands_in_their_place(run_team: RunTeam):
    page = f"{lines(3_000)} The canary sings."
    lead = scripted(
        calls("desk.read", page="one"),
        calls("desk.read", page="two"),
        calls("desk.read", page="three"),
        reads_again("The result of desk.read was cleared"),
        says("It sings."),
    )

    told = await run_team(
        alone("{window: 2k, strategies: [{clear_results: {keep: 0}}]}"),
        desk=desk(one=page, two=lines(3_000), three=lines(3_000)),
        lead=lead,
    )

    assert told.result.output == "It sings."
    assert "The canary sings." not in texts(lead.requests[-2])
    assert "The canary sings." in texts(lead.requests[-1])
    assert [event.strategies for event in compactions(told)][0] == ("clear_results",)
    assert_lawful(told)


async def test_results_are_cleared_from_the_oldest_and_the_newest_stay(run_team: RunTeam):
    pages = {f"p{number}": f"mark{number} {lines(1_400)}" for number in range(6)}
    lead = scripted(*[calls("desk.read", page=name) for name in pages], says("Done."))

    told = await run_team(
        alone("{window: 2k, target: 0.3, strategies: [{clear_results: {keep: 2}}]}"),
        desk=desk(**pages),
        lead=lead,
    )

    last = texts(lead.requests[-1])
    assert [name for name in ("mark0 ", "mark1 ", "mark5 ") if name in last] == ["mark5 "]
    assert all(event.after < event.before for event in compactions(told))
    for request in lead.requests:
        assert_pairs(request)
        assert [message.role for message in request[:2]] == ["system", "user"]
        assert request[1].text == "Where is X?"


async def test_a_newer_result_of_the_same_read_replaces_the_older_one_but_a_repeated_deed_does_not(
    run_team: RunTeam,
):
    def read(order: str) -> Message:
        return Message("assistant", (ToolCall("", "desk.read", order),))

    lead = scripted(
        read('{"page": "one"}'),
        calls("desk.write", page="one", text=f"new {lines(1_500)}"),
        calls("desk.write", page="one", text=f"new {lines(1_500)}"),
        read('{"page":"one"}'),
        calls("desk.read", page="two"),
        says("Done."),
    )
    from harness.tools.functions import FunctionToolset
    from harness.tools.port import Tool

    class Graded:
        """The desk, whose reading changes nothing."""

        def __init__(self) -> None:
            self.inner = FunctionToolset("desk", *desk(one=f"old {lines(1_500)}", two="2"))

        async def tools(self, patterns: Sequence[str]) -> list[Tool]:
            tools = list(await self.inner.tools(patterns))
            return [
                Tool(tool.definition, tool.invoke, "read" if tool.definition.name == "desk.read" else "once")
                for tool in tools
            ]

    agents = alone("{window: 3k, compact_at: 0.7, target: 0.2, strategies: [drop_superseded]}")
    told = await run_team(
        agents.replace("tools: [desk]", "tools: ['desk.read', 'desk.write']"), toolsets=[Graded()], lead=lead
    )

    last = texts(lead.requests[-1])
    assert "replaced by a later one of the same call" in last
    assert "old It was" not in last
    assert last.count("one was changed") == 2
    assert "new It was" in last
    assert_lawful(told)


async def test_a_large_result_is_shown_as_head_and_tail_at_once_so_that_no_prefix_breaks(run_team: RunTeam):
    lead = scripted(calls("desk.read", page="one"), reads_again("left out"), says("Done."))

    told = await run_team(
        alone("{window: 32k, strategies: [{offload: {above: 500}}]}"),
        desk=desk(one=f"{lines(6_000)} canary {lines(3_000)}"),
        lead=lead,
    )

    assert len(lead.requests[1][-1].text) < 2_300
    assert "canary" not in texts(lead.requests[1])
    assert "canary" in texts(lead.requests[2])
    assert compactions(told) == []


async def test_results_that_were_small_when_they_came_are_offloaded_when_room_is_needed(run_team: RunTeam):
    pages = {f"p{number}": lines(1_900) for number in range(5)}
    lead = scripted(*[calls("desk.read", page=name) for name in pages], says("Done."))

    told = await run_team(
        alone("{window: 2k, target: 0.3, strategies: [{offload: {above: 100}}]}"),
        desk=desk(**pages),
        lead=lead,
    )

    assert told.result.output == "Done."
    assert all(len(result.text) < 700 for result in told.results())
    assert_lawful(told)


async def test_whole_turns_are_dropped_and_a_note_says_what_was_done_in_them(run_team: RunTeam):
    thinking = Reasoning("I should read one.", payload='{"signature": "s"}')
    first = Message(
        "assistant", (thinking, Text("I begin with ref-4711."), ToolCall("", "desk.read", '{"page":"one"}'))
    )
    lead = scripted(
        first,
        calls("desk.read", page="two"),
        calls("desk.read", page="three"),
        reads_again("left this window"),
        says("Done."),
    )

    told = await run_team(
        alone("{window: 2k, target: 0.3, strategies: [{drop_turns: {keep: 0}}]}"),
        desk=desk(one=f"{lines(2_500)} canary", two=lines(2_500), three=lines(2_500)),
        lead=lead,
    )

    noted = next(m.text for m in lead.requests[-2] if "left this window" in m.text)
    assert "desk.read ×" in noted
    assert "ref-4711" in noted
    for request in lead.requests:
        assert_pairs(request)
    assert not any(part == thinking for message in lead.requests[-2] for part in message.parts)
    assert "canary" in texts(lead.requests[-1])
    assert "I should read one." not in texts(lead.requests[-1])
    assert told.origins()[:3] == ["system", "task", "summary"]
    assert_lawful(told)


async def test_finished_branches_fold_into_what_they_answered_and_the_current_plan_stays(run_team: RunTeam):
    def report(messages: Sequence[Message]) -> Message:
        quotes = [{"source": "s", "locator": "l", "quote": lines(700)} for _ in range(3)]
        return reports(f"Answer to {messages[1].text.splitlines()[2]}", evidence=quotes)

    lead = scripted(
        delegates("scout", "Find A."),
        plans(task("b", objective="Find B.")),
        plans(task("b", objective="Find B."), task("c", objective="Find C.")),
        delegates("scout", "Find D."),
        says("Done."),
    )

    told = await run_team(
        PAIR.format(context="{window: 4k, compact_at: 0.5, target: 0.1, strategies: [fold_branches]}"),
        lead=lead,
        scout=scripted(report),
    )

    folded = [loads(result.text) for result in told.results()]
    assert "evidence" not in folded[0]
    assert folded[0]["answer"] == "Answer to Find A."
    assert folded[1]["tasks"][0].keys() == {"id", "agent", "handle", "status"}
    assert "evidence" in folded[2]["tasks"][0]
    assert "evidence" in folded[3]
    assert_lawful(told)


async def test_a_summary_stands_in_the_place_of_the_turns_it_sums_up_and_is_paid_for(run_team: RunTeam):
    from harness import Usage

    cheap = scripted(says("Page one said canary-1."), name="cheap", usage=Usage(700, 30, calls=1))
    lead = scripted(
        calls("desk.read", page="one"),
        calls("desk.read", page="two"),
        calls("desk.read", page="three"),
        says("Done."),
    )

    told = await run_team(
        alone("{window: 2k, target: 0.4, strategies: [{summarise: {model: default, keep: 0}}]}"),
        desk=desk(one=f"{lines(2_500)} canary-1 path/to/file.txt", two=lines(2_500), three=lines(900)),
        lead=lead,
        default=cheap,
    )

    summary = next(m for m in lead.requests[-1] if "summed them up" in m.text)
    assert "Page one said canary-1." in summary.text
    assert "path/to/file.txt" in summary.text
    asked = texts(cheap.requests[0])
    assert "canary-1" in asked
    assert "Where is X?" in asked
    [started], [finished] = told.all(SummaryStarted), told.all(SummaryFinished)
    assert (started.agent, started.turns, finished.model) == ("lead", (1,), "cheap")
    assert told.state.usage.output_tokens >= 30
    assert told.origins()[:3] == ["system", "task", "summary"]
    assert_lawful(told)


async def test_where_the_summary_fails_the_next_strategy_makes_room(run_team: RunTeam):
    broken = scripted(RuntimeError("no capacity"), name="broken")
    lead = scripted(*[calls("desk.read", page=name) for name in ("one", "two", "three")], says("Done."))

    told = await run_team(
        alone(
            "{window: 2k, target: 0.4, strategies: [{summarise: {model: default, keep: 0}}, {drop_turns: {keep: 0}}]}"
        ),
        desk=desk(one=lines(2_500), two=lines(2_500), three=lines(2_500)),
        lead=lead,
        default=broken,
    )

    assert told.result.output == "Done."
    assert {event.strategies for event in compactions(told)} == {("drop_turns",)}
    assert [event.error for event in told.all(SummaryFinished)][0] == "no capacity"
    assert_lawful(told)


async def test_a_summary_for_a_sub_agent_holds_nothing_of_its_parents_window(run_team: RunTeam):
    model = scripted(says("Summed up."), name="summariser")
    scout: ScriptedModel = scripted(
        *[calls("desk.read", page=name) for name in ("one", "two", "three")], reports("Found.")
    )
    agents = """\
    context: {window: 2k, strategies: [{summarise: {model: default, keep: 0}}]}
    agents:
      lead: {instructions: The lead's secret is heron., tools: [desk], delegates: [scout]}
      scout: {description: Finds things., instructions: Scout., tools: [desk]}
    """
    lead = scripted(calls("desk.read", page="heron"), delegates("scout", "Find A."), says("Done."))

    told = await run_team(
        agents,
        desk=desk(
            heron="only the lead may know the heron", one=lines(2_500), two=lines(2_500), three=lines(2_500)
        ),
        lead=lead,
        scout=scout,
        default=model,
    )

    assert told.result.output == "Done."
    assert {event.agent for event in told.all(SummaryStarted)} == {"lead/scout-1"}
    assert "heron" not in "".join(texts(request) for request in model.requests)
    assert "Find A." in texts(model.requests[0])


async def test_identifiers_that_would_vanish_are_kept_and_those_that_do_not_fit_are_flagged(
    run_team: RunTeam,
):
    many = " ".join(f"item-{number:04d}" for number in range(400))
    lead = scripted(
        calls("desk.read", page="one"),
        calls("desk.read", page="two"),
        calls("desk.read", page="three"),
        says("Done."),
    )

    told = await run_team(
        alone("{window: 3k, target: 0.2, strategies: [{clear_results: {keep: 0}}]}"),
        desk=desk(one=f"see https://example.org/a?b=1 {lines(3_000)}", two=many, three=lines(3_000)),
        lead=lead,
    )

    last = texts(lead.requests[-1])
    assert "https://example.org/a?b=1" in last
    kept = [name for name in many.split() if name in last]
    lost = {name for event in compactions(told) for name in event.lost}
    assert kept
    assert lost
    assert lost.isdisjoint(kept)
    assert sum(event.lost_count for event in compactions(told)) == 400 - len(kept)

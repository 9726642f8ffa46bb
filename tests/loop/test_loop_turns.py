"""One turn after another: tool calls, their faults, and replies that are no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest

from harness import Message, ToolError, calls, says, scripted, together
from harness.events import AgentRunFinished, Report, ToolCallFinished, ToolCallStarted
from harness.messages import ToolDefinition, ToolResult, user
from harness.tools.port import CallContext, Tool, ToolOutput
from tests.loop.stage import Meeting, RunTeam, Stopping, raw_call, results_in, silence

pytestmark = pytest.mark.anyio

DENYING = """\
agents: {lead: {instructions: Answer., tools: [desk]}}
permissions: [{tool: desk.shred, allow: no}]
"""


async def test_calls_made_together_run_at_the_same_time(run_team: RunTeam):
    meeting = Meeting(3)
    lead = scripted(together(*[calls("desk.join")] * 3), says("We met."))

    run = await run_team(desk=[meeting.join], lead=lead)

    assert run.result.output == "We met."
    assert run.results() == [ToolResult(f"call_0_{index}", "met") for index in range(3)]


async def test_results_stand_in_the_order_of_the_calls_whatever_ends_first(run_team: RunTeam):
    second_is_over = anyio.Event()

    async def slow() -> str:
        await second_is_over.wait()
        return "slow"

    async def quick() -> str:
        second_is_over.set()
        return "quick"

    lead = scripted(together(calls("desk.slow"), calls("desk.quick")), says("Done."))

    run = await run_team(desk=[slow, quick], lead=lead)

    assert [event.tool for event in run.all(ToolCallFinished)] == ["desk.quick", "desk.slow"]
    assert run.results() == [ToolResult("call_0_0", "slow"), ToolResult("call_0_1", "quick")]
    assert run.origins() == ["system", "task", "assistant", "tool:desk.slow", "tool:desk.quick", "assistant"]


async def test_a_call_that_fails_does_not_cancel_its_siblings(run_team: RunTeam):
    failed = anyio.Event()

    async def fail() -> str:
        failed.set()
        raise ToolError("the drawer is stuck")

    async def work() -> str:
        await failed.wait()
        await anyio.lowlevel.checkpoint()
        return "worked"

    lead = scripted(together(calls("desk.fail"), calls("desk.work")), says("Done."))

    run = await run_team(desk=[fail, work], lead=lead)

    assert run.results() == [
        ToolResult("call_0_0", "the drawer is stuck", is_error=True),
        ToolResult("call_0_1", "worked"),
    ]


async def test_faulty_calls_go_back_with_what_to_mend_and_run_nothing(run_team: RunTeam):
    opened: list[int] = []

    def open_drawer(number: int) -> str:
        opened.append(number)
        return f"drawer {number} is open"

    def shred(name: str) -> str:
        raise AssertionError("this is denied")

    lead = scripted(
        together(
            raw_call("desk.open_drawer", '{"number": 3'),
            raw_call("desk.open_drawer", "[3]"),
            calls("desk.open_drawer", number="three"),
            calls("desk.open_drawr", number=3),
            calls("desk.shred", name="contract"),
            calls("desk.open_drawer", number=3),
        ),
        says("It is open."),
    )

    run = await run_team(DENYING, desk=[open_drawer, shred], lead=lead)

    assert opened == [3]
    assert run.result.output == "It is open."
    assert run.results() == [
        ToolResult(
            "call_0_0",
            "the arguments are not valid JSON: unexpected end of data: line 1 column 13 (char 12)",
            is_error=True,
        ),
        ToolResult("call_0_1", "the arguments must be one JSON object", is_error=True),
        ToolResult(
            "call_0_2",
            "the arguments do not fit desk.open_drawer: number: 'three' is not of type 'integer'",
            is_error=True,
        ),
        ToolResult(
            "call_0_3",
            "there is no tool desk.open_drawr; your tools are: desk.open_drawer, desk.shred, read_result",
            is_error=True,
        ),
        ToolResult("call_0_4", "the team file denies desk.shred to lead (permissions[0])", is_error=True),
        ToolResult("call_0_5", "drawer 3 is open"),
    ]
    assert [event.error_type for event in run.all(ToolCallFinished)] == [
        "arguments",
        "arguments",
        "arguments",
        "unknown_tool",
        "denied",
        "",
    ]


async def test_a_fault_deep_in_the_arguments_is_named_by_its_path(run_team: RunTeam):
    def file(pages: list[dict[str, int]]) -> str:
        return "filed"

    lead = scripted(calls("desk.file", pages=[{"number": 1}, {"number": "two"}]), says("No."))

    run = await run_team(desk=[file], lead=lead)

    assert run.results() == [
        ToolResult(
            "call_0_0",
            "the arguments do not fit desk.file: pages[1].number: 'two' is not of type 'integer'",
            is_error=True,
        )
    ]


async def test_a_tool_whose_schema_is_broken_can_still_be_called(run_team: RunTeam):
    async def invoke(arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        return ToolOutput(f"called with {dict(arguments)}")

    class Shelf:
        async def tools(self, patterns: Sequence[str]) -> list[Tool]:
            schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/nowhere"}}}
            return [Tool(ToolDefinition("desk.odd", "Odd.", schema), invoke)]

    run = await run_team(toolsets=[Shelf()], lead=scripted(calls("desk.odd", x=1), says("Done.")))

    assert run.results() == [ToolResult("call_0_0", "called with {'x': 1}")]


async def test_every_call_is_answered_in_the_next_request_exactly_once(run_team: RunTeam):
    def echo(text: str) -> str:
        return text

    lead = scripted(
        together(says("Looking."), calls("desk.echo", text="a"), calls("desk.none"), calls("desk.echo")),
        together(calls("desk.echo", text="b")),
        says("Done."),
    )

    run = await run_team(desk=[echo], lead=lead)

    last = lead.requests[-1]
    asked = [call.id for message in last for call in message.tool_calls]
    assert len(set(asked)) == 4
    assert [result.call_id for result in results_in(last)] == asked
    assert [event.call_id for event in run.all(ToolCallStarted)] == asked
    assert [event.key for event in run.all(ToolCallStarted)] == [
        "lead/turn-1/0",
        "lead/turn-1/1",
        "lead/turn-1/2",
        "lead/turn-2/0",
    ]


async def test_a_function_that_breaks_becomes_an_error_the_model_sees(run_team: RunTeam):
    def divide(by: int) -> float:
        return 1 / by

    run = await run_team(desk=[divide], lead=scripted(calls("desk.divide", by=0), says("It cannot be done.")))

    assert run.results() == [ToolResult("call_0_0", "ZeroDivisionError: division by zero", is_error=True)]
    assert run.result.succeeded


async def test_a_function_may_return_anything_json_can_say(run_team: RunTeam):
    def look() -> dict[str, list[int]]:
        return {"found": [1, 2]}

    run = await run_team(desk=[look], lead=scripted(calls("desk.look"), says("Two.")))

    assert run.results() == [ToolResult("call_0_0", '{"found":[1,2]}')]


async def test_half_a_surrogate_pair_in_a_result_does_no_harm(run_team: RunTeam):
    def look() -> str:
        return "name: \udcff"

    run = await run_team(desk=[look], lead=scripted(calls("desk.look"), says("Odd.")))

    assert run.result.output == "Odd."


async def test_a_reply_cut_off_at_the_length_limit_runs_nothing(run_team: RunTeam):
    sent: list[str] = []

    def send(letter: str) -> str:
        sent.append(letter)
        return "sent"

    lead = Stopping("length", calls("desk.send", letter="half"), says("I shall write less."))

    run = await run_team(desk=[send], lead=lead)

    assert sent == []
    assert run.results() == [
        ToolResult("call_0_0", "your reply was cut off at the length limit; nothing was run", is_error=True)
    ]
    assert run.result.output == "I shall write less."


async def test_a_text_cut_off_at_the_length_limit_is_asked_for_again_once(run_team: RunTeam):
    lead = Stopping("length", says("It is a long"), says("It is short."))

    run = await run_team(lead=lead)

    assert run.result.output == "It is short."
    assert run.origins() == ["system", "task", "assistant", "nudge", "assistant"]
    assert lead.requests[1][-1] == user("Your reply was cut off at the length limit. Say it again, shorter.")


async def test_an_empty_reply_is_nudged_once_and_then_fails(run_team: RunTeam):
    run = await run_team(lead=scripted(silence(), silence(), says("Too late.")))

    assert run.origins() == ["system", "task", "assistant", "nudge", "assistant"]
    assert (run.result.stop_reason, run.result.error) == (
        "failed",
        "the model scripted gave an empty reply twice",
    )


async def test_after_a_nudge_for_something_else_the_first_empty_reply_is_only_nudged(run_team: RunTeam):
    lead = Stopping("length", says("It is a long"), silence(), says("It is short."))

    run = await run_team(lead=lead)

    assert run.result.output == "It is short."


async def test_after_an_empty_reply_the_agent_goes_on(run_team: RunTeam):
    run = await run_team(lead=scripted(Message("assistant", ()), says("X is 4.")))

    assert (run.result.stop_reason, run.result.output) == ("done", "X is 4.")


async def test_a_refusal_ends_the_agent_run(run_team: RunTeam):
    run = await run_team(lead=Stopping("refusal", says("I cannot help with that."), says("Well, perhaps.")))

    (ended,) = run.all(AgentRunFinished)
    assert ended == AgentRunFinished(
        agent="lead",
        report=Report(
            status="failed", answer="", stop_reason=f"refused: {ended.error}", usage=run.state.usage
        ),
        turns=1,
        report_tokens=ended.report_tokens,
        error="the model scripted refused: I cannot help with that.",
        error_type="ModelRefused",
    )
    assert (run.result.stop_reason, run.result.error) == ("failed", ended.error)

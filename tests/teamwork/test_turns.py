"""One turn: calls side by side, one result for each, mistakes that the model can mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from loop_teams import brief, play

from harness import calls, says, scripted, together
from harness.events import ModelCallFinished, ToolCallFinished
from harness.messages import Message, Text, ToolCall, ToolResult

pytestmark = pytest.mark.anyio


def results(request: tuple[Message, ...]) -> list[ToolResult]:
    return [part for message in request for part in message.parts if isinstance(part, ToolResult)]


async def test_the_calls_of_one_reply_run_at_the_same_time(folder: Path):
    lead = scripted(together(*(calls("desk.meet", people=3) for _ in range(3))), says("done"))

    played = await play(folder, lead=lead)

    assert [result.text for result in results(lead.requests[1])] == ["met", "met", "met"]
    assert played.result.output == "done"


async def test_a_failing_call_leaves_its_siblings_and_every_id_has_one_result_in_order(folder: Path):
    reply = Message(
        "assistant",
        (
            ToolCall("one", "desk.fail", '{"why": "bad luck"}'),
            ToolCall("two", "desk.echo", '{"text": "fine"}'),
            ToolCall("three", "desk.nothing", "{}"),
        ),
    )
    lead = scripted(reply, says("done"))

    await play(folder, lead=lead)

    answered = results(lead.requests[1])
    assert [(result.call_id, result.is_error) for result in answered] == [
        ("one", True),
        ("two", False),
        ("three", True),
    ]
    assert "it failed: bad luck" in answered[0].text
    assert answered[1].text == "fine"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("desk.echo", '{"text": ', "not valid JSON"),
        ("desk.echo", "[1]", "one JSON object"),
        ("desk.echo", "{}", "'text' is a required property"),
        ("desk.echo", '{"text": "x", "times": "many"}', "times: 'many' is not of type 'integer'"),
        ("desk.ecco", "{}", "your tools are: desk.echo"),
        ("delegate", '{"agent": "nobody"}', "agent: 'nobody' is not one of"),
    ],
)
async def test_a_wrong_call_goes_back_to_the_model_with_what_to_mend(folder: Path, name, arguments, said):
    lead = scripted(Message("assistant", (ToolCall("x", name, arguments),)), says("done"))

    played = await play(folder, lead=lead)

    (result,) = results(lead.requests[1])
    assert result.is_error
    assert said in result.text
    assert played.result.output == "done"


async def test_an_empty_reply_gets_one_nudge_and_the_second_fails_the_run(folder: Path):
    mended = await play(folder, lead=scripted(says(""), says("done")))
    given_up = await play(folder, lead=scripted(says(""), says(" ")))

    assert mended.result.output == "done"
    assert (given_up.result.stop_reason, "empty reply twice" in given_up.result.error) == ("failed", True)


async def test_a_large_result_is_shown_as_head_and_tail_and_read_on_by_its_handle(folder: Path):
    lead = scripted(
        calls("desk.echo", text="word", times=20_000),
        lambda messages: calls("read_result", handle="result:lead/turn-1/0", offset=50_000, limit=100),
        says("done"),
    )

    played = await play(folder, lead=lead)

    shown = results(lead.requests[1])[0].text
    assert len(shown) < 25_000
    assert 'read_result(handle="result:lead/turn-1/0"' in shown
    assert results(lead.requests[2])[1].text.startswith("word word")
    assert played.of(ToolCallFinished)[0].whole == " ".join(["word"] * 20_000)


async def test_a_third_identical_failure_asks_an_orchestrator_for_another_way_exactly_once(folder: Path):
    again = [calls("desk.fail", why="same") for _ in range(5)]
    lead = scripted(*again, says("done"))

    played = await play(folder, lead=lead)

    (request,) = played.state.agents["lead"].replans
    assert request.reason == "desk.fail failed 3 times in the same way"
    assert played.state.agents["lead"].window.origins.count("nudge") == 1


async def test_a_third_identical_failure_ends_a_sub_agent_with_a_failed_report(folder: Path):
    lead = scripted(calls("delegate", **brief("scout")), says("done"))
    scout = scripted(*(calls("desk.fail", why="same") for _ in range(9)))

    played = await play(folder, lead=lead, scout=scout)

    report = played.state.agents["lead/scout-1"].report
    assert (report.status, len(scout.requests)) == ("failed", 3)
    assert played.result.output == "done"


async def test_missing_usage_is_estimated_and_flagged(folder: Path):
    played = await play(folder, lead=scripted(Message("assistant", (Text("done"),))))

    (call,) = played.of(ModelCallFinished)
    assert call.usage.estimated
    assert call.usage.input_tokens > 0

"""A budget of thinking that the harness holds, whatever the server does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from server import FaultServer, Forever, Hang, Script, answer, event_stream, fault_server

import harness
from harness import FunctionToolset, MemoryJournal, Recorded, RunResult
from harness.adapters import build_models
from harness.events import AgentRunFinished, ModelCallFinished, ThinkingDecided, ThinkingOverran
from harness.journal import Journal
from harness.messages import Reasoning
from harness.models.dialects import NAMES
from harness.replay import carry_out_again

pytestmark = pytest.mark.anyio

BUDGET = 400
ALWAYS = "qwen3-30b-a3b-thinking-2507"

TEAM = """\
harness: 1
name: thinkers
entry: lead
models:
  default: {{api: openai-chat, dialect: {dialect}, model: {model}, base_url: {url}, stream: {stream}{more}}}
thinking: {{mode: on, budget: {budget}, allow_degraded: {degraded}}}
mcpServers: {{desk: {{module: given.by.the.test, disabled: true}}}}
agents: {{lead: {{instructions: Answer., tools: [desk]}}}}
"""


def data(**delta: Any) -> bytes:
    """One event of a stream."""
    chunk = {"id": "r", "model": "m", "choices": [{"index": 0, "delta": delta}]}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def ended(reason: str = "stop", **usage: int) -> bytes:
    """The last events of a stream."""
    last: dict[str, Any] = {
        "choices": [{"index": 0, "delta": {}, "finish_reason": reason}],
        "usage": usage or None,
    }
    return b"data: " + orjson.dumps(last) + b"\n\ndata: [DONE]\n\n"


def thinks_forever() -> Script:
    """A stream of thinking without end."""
    piece = data(reasoning=" word and")
    return [*event_stream(end=False), Forever(b"%x\r\n%b\r\n" % (len(piece), piece))]


def looks() -> bytes:
    """A piece of a stream that calls the tool."""
    function = {"name": "desk__look", "arguments": "{}"}
    return data(tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": function}])


def look() -> str:
    """Look."""
    return "It is 4."


async def carried_out(
    server: FaultServer, folder: Path, *, store: Journal | None = None, **settings: Any
) -> tuple[RunResult, Sequence[Recorded]]:
    """Run a team of one on the server and return what came of it."""
    values = {"dialect": "vllm", "model": "qwen3-8b", "stream": "true", "budget": BUDGET}
    values |= {"degraded": "false", "more": ", retries: 0", **settings}
    file = folder / "team.yaml"
    file.write_text(TEAM.format(url=server.base_url, **values))
    with anyio.fail_after(20):
        async with harness.open(
            file, store=store or MemoryJournal(), toolsets=[FunctionToolset("desk", look)]
        ) as opened:
            run = await opened.start("What is X?")
            recorded = [item async for item in run.events()]
            return await run.result(), recorded


def only(recorded: Sequence[Recorded], kind: type[Any]) -> list[Any]:
    return [item.event for item in recorded if isinstance(item.event, kind)]


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_thinking_without_end_is_ended_and_the_model_goes_on_from_it(tmp_path: Path, stream: str):
    acts = event_stream(
        looks(), ended("tool_calls", prompt_tokens=500, completion_tokens=9, total_tokens=509)
    )
    says = event_stream(data(content="It is 4."), ended())
    async with fault_server(thinks_forever(), acts, says) as server:
        result, recorded = await carried_out(server, tmp_path, stream=stream)

    first, second, _ = server.requests
    assert (result.stop_reason, result.output) == ("done", "It is 4.")
    assert first.json["stream"] is second.json["stream"] is True
    begun = second.json["messages"][-1]
    assert (begun["role"], second.json["continue_final_message"]) == ("assistant", True)
    assert begun["content"].startswith("<think>\nword and word and")
    assert begun["content"].endswith("directly now.\n</think>\n\n")
    finished = only(recorded, ModelCallFinished)[0]
    assert BUDGET <= finished.cut.tokens <= 1.1 * BUDGET
    assert finished.cut.then == "continued"
    assert finished.usage.reasoning_tokens == finished.cut.tokens
    assert (finished.usage.calls, finished.usage.estimated) == (2, True)
    assert finished.usage.output_tokens == finished.cut.tokens + 9
    [thought] = [part for part in finished.message.parts if isinstance(part, Reasoning)]
    assert thought.text.endswith(finished.cut.forced)
    assert "limited time" in finished.cut.forced


async def test_silence_is_a_fault_where_the_harness_streams_although_the_team_does_not(tmp_path: Path):
    stalls = [*event_stream(data(reasoning="word"), end=False), Hang()]
    says = event_stream(data(content="It is 4."), ended())
    async with fault_server(stalls, says) as server:
        result, _ = await carried_out(
            server, tmp_path, stream="false", more=", retries: 1, idle_seconds: 0.2"
        )

    assert (result.output, len(server.requests)) == ("It is 4.", 2)


async def test_a_model_that_thinks_on_whatever_is_done_ends_the_run_with_its_budget(tmp_path: Path):
    async with fault_server(*[thinks_forever()] * 4) as server:
        result, recorded = await carried_out(server, tmp_path)

    assert result.stop_reason == "budget_exhausted"
    assert "budget of 400" in result.error
    [finished] = only(recorded, ModelCallFinished)
    assert finished.error_type == "ThinkingBudgetExhausted"
    assert BUDGET <= result.usage.reasoning_tokens <= 1.1 * BUDGET
    [ended_with] = only(recorded, AgentRunFinished)
    assert ended_with.report.stop_reason == "budget_exhausted"


async def test_a_server_that_cannot_go_on_is_asked_again_without_thinking(tmp_path: Path):
    refuses = answer({"error": {"message": "the final message does not appear in the chat"}}, status=400)
    says = event_stream(data(content="It is 4."), ended(prompt_tokens=300, completion_tokens=5))
    async with fault_server(thinks_forever(), refuses, says) as server:
        result, recorded = await carried_out(server, tmp_path)

    assert result.output == "It is 4."
    assert server.requests[2].json["chat_template_kwargs"] == {"enable_thinking": False}
    [finished] = only(recorded, ModelCallFinished)
    assert (finished.cut.then, finished.cut.forced) == ("asked-without", "")
    assert finished.usage.input_tokens == 600
    assert not [part for part in finished.message.parts if isinstance(part, Reasoning)]


async def test_a_model_that_always_thinks_is_asked_for_a_call(tmp_path: Path):
    refuses = answer({"error": {"message": "no"}}, status=400)
    acts = event_stream(looks(), ended("tool_calls"))
    says = event_stream(data(content="It is 4."), ended())
    async with fault_server(thinks_forever(), refuses, acts, says) as server:
        result, recorded = await carried_out(server, tmp_path, model=ALWAYS)

    assert (result.stop_reason, result.output) == ("done", "It is 4.")
    assert "tool_choice" not in server.requests[0].json
    assert server.requests[2].json["tool_choice"] == "required"
    assert only(recorded, ModelCallFinished)[0].cut.then == "asked-for-call"


@pytest.mark.parametrize("dialect", NAMES)
async def test_no_server_thinks_more_than_a_tenth_beyond_its_budget(tmp_path: Path, dialect: str):
    async with fault_server(*[thinks_forever()] * 5) as server:
        result, _ = await carried_out(server, tmp_path, dialect=dialect, degraded="true")

    assert result.stop_reason == "budget_exhausted"
    assert 0.9 * BUDGET <= result.usage.reasoning_tokens <= 1.1 * BUDGET


def whole(thought: str, **message: Any) -> bytes:
    """A reply that does not stream."""
    fields = {"role": "assistant", "content": None, "reasoning": thought, **message}
    usage = {"prompt_tokens": 100, "completion_tokens": 4_100}
    return answer({"choices": [{"message": fields, "finish_reason": "stop"}], "usage": usage})


async def test_a_whole_reply_of_nothing_but_too_much_thinking_is_gone_on_from(tmp_path: Path):
    says = event_stream(data(content="It is 4."), ended())
    async with fault_server(whole(" word and" * 2_000), says) as server:
        result, recorded = await carried_out(server, tmp_path)

    assert (result.stop_reason, result.output) == ("done", "It is 4.")
    assert only(recorded, ModelCallFinished)[0].cut.tokens == pytest.approx(4_000, rel=0.05)
    assert only(recorded, ThinkingOverran)[0].budget == BUDGET


async def test_a_reply_that_overran_and_acts_is_taken_and_its_endpoint_is_not_believed_any_more(
    tmp_path: Path,
):
    function = {"name": "desk__look", "arguments": "{}"}
    acts = whole(" word and" * 2_000, tool_calls=[{"id": "c1", "type": "function", "function": function}])
    says = event_stream(data(reasoning="So"), data(content="It is 4."), ended())
    async with fault_server(acts, says) as server:
        result, recorded = await carried_out(server, tmp_path)

    assert (result.stop_reason, result.output) == ("done", "It is 4.")
    [overran] = only(recorded, ThinkingOverran)
    assert (overran.turn, overran.budget) == (1, BUDGET)
    assert overran.tokens == pytest.approx(4_000, rel=0.05)
    first, second = only(recorded, ThinkingDecided)
    assert (first.enforcement, second.enforcement) == ("hard", "soft")
    assert "passed its budget" in second.enforced_by


async def test_thinking_that_is_shown_and_not_reported_is_counted(tmp_path: Path):
    says = event_stream(
        data(reasoning="word " * 50), data(content="4."), ended(prompt_tokens=9, completion_tokens=60)
    )
    async with fault_server(says) as server:
        _, recorded = await carried_out(server, tmp_path)

    [finished] = only(recorded, ModelCallFinished)
    assert finished.usage.reasoning_tokens == pytest.approx(50, abs=8)
    assert (finished.usage.output_tokens, finished.usage.estimated) == (60, False)


@pytest.mark.parametrize("exhausted", [True, False])
async def test_a_run_whose_thinking_was_ended_is_replayed_exactly(tmp_path: Path, exhausted: bool):
    says = event_stream(data(content="It is 4."), ended())
    scripts = [thinks_forever()] * 4 if exhausted else [thinks_forever(), says]
    async with fault_server(*scripts) as server:
        result, recorded = await carried_out(server, tmp_path)
        asked = len(server.requests)
        team = harness.load_team(tmp_path / "team.yaml", servers=["desk"])
        again = await carry_out_again(recorded, team, build_models(team, {}))

    assert again.exact, (again.divergences, again.missing)
    assert len(server.requests) == asked
    assert result.stop_reason == ("budget_exhausted" if exhausted else "done")


async def test_a_run_that_ended_with_its_budget_can_be_gone_on_with(tmp_path: Path):
    says = event_stream(data(content="It is 4."), ended())
    store = MemoryJournal()
    async with fault_server(*[thinks_forever()] * 4, says) as server:
        ended_early, _ = await carried_out(server, tmp_path, store=store)
        async with harness.open(
            tmp_path / "team.yaml", store=store, toolsets=[FunctionToolset("desk", look)]
        ) as opened:
            result = await (await opened.resume(ended_early.run_id)).result()

    assert (result.stop_reason, result.output) == ("done", "It is 4.")

"""An agent run goes on with another model once its own cannot be had, and stays with it, whatever happens since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

import harness
from harness import FunctionToolset, MemoryJournal, fold
from harness.cli.progress import describe
from harness.events import ModelCallFinished, ModelCallStarted, ModelFellBack
from harness.replaying import replay_run
from harness.team import parse_team
from tests.models.server import FaultServer, Hang, Script, answer, fault_server

pytestmark = pytest.mark.anyio

DOWN = answer({"error": {"message": "down"}}, status=503)
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}


def reply(content: str | None, *calls: str, thought: str = "") -> bytes:
    message: dict[str, Any] = {"content": content}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [
            {"id": f"call-{name}-{number}", "function": {"name": name, "arguments": "{}"}}
            for number, name in enumerate(calls)
        ]
    return answer({"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE})


LOOKS = reply(None, "desk__look", thought="I had better look.")
DONE = reply("It is done.")


def team_file(own: FaultServer, other: FaultServer, more: str = "") -> str:
    return f"""
harness: 1
name: pair
entry: lead
models:
  main: {{api: openai-chat, dialect: vllm, base_url: '{own.base_url}', model: own, retries: 0, fallback: [spare],
    price: {{input: 1, output: 1}}}}
  spare: {{api: openai-chat, dialect: vllm, base_url: '{other.base_url}', model: other, retries: 0,
    price: {{input: 10, output: 10}}}}
agents: {{lead: {{instructions: Do it., model: main, tools: [desk]}}}}
{more}
"""


def opened(text: str, folder: Path, journal: MemoryJournal, **settings: Any) -> Any:
    def look() -> str:
        """Look."""
        return "a page"

    team = parse_team(text, base=folder, environment={}, servers=["desk"])
    return harness.open(team, store=journal, toolsets=[FunctionToolset("desk", look)], **settings)


async def test_it_goes_on_with_the_same_window_without_the_other_models_thinking(tmp_path: Path):
    journal = MemoryJournal()
    async with (
        fault_server(LOOKS, DOWN) as own,
        fault_server(LOOKS, DONE) as other,
        opened(team_file(own, other), tmp_path, journal) as team,
    ):
        result = await team.run("Do it.")
    assert result.output == "It is done."
    assert (len(own.requests), len(other.requests)) == (2, 2)
    before, after = own.requests[1].json["messages"], other.requests[0].json["messages"]
    assert any("I had better look." in orjson.dumps(message).decode() for message in before)
    assert "I had better look." not in other.requests[0].body.decode()

    def bare(message: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in message.items() if not name.startswith("reasoning")}

    assert list(map(bare, after)) == list(map(bare, before))
    assert other.requests[1].json["model"] == "other"


async def test_each_model_is_paid_its_own_price_and_everybody_is_told(tmp_path: Path):
    journal = MemoryJournal()
    trace = tmp_path / "spans.jsonl"
    async with (
        fault_server(LOOKS, DOWN) as own,
        fault_server(DONE) as other,
        opened(team_file(own, other), tmp_path, journal, trace=trace) as team,
    ):
        result = await team.run("Do it.")
    recorded = list(journal.read(result.run_id))
    (fell,) = [item.event for item in recorded if isinstance(item.event, ModelFellBack)]
    assert (fell.agent, fell.turn, fell.from_model, fell.to_model) == ("lead", 2, "own", "other")
    assert "HTTP 503: down" in fell.reason
    assert describe(fell).startswith("lead: goes on with other instead of own: own at ")
    assert result.cost == pytest.approx((1100 * 1 + 1100 * 10) / 1e6)
    (note,) = [one for one in result.notes if "is of no known family" not in one]
    assert note.startswith("lead went on with other instead of own: ")
    spans = trace.read_text()
    assert "harness.model.fell_back" in spans
    assert str(other.base_url.split(":")[2].removesuffix("/v1")) in spans
    assert fold(recorded).agents["lead"].model == "other"
    assert (await replay_run(recorded)).exact


async def test_a_resumed_run_stays_with_the_other_model(tmp_path: Path):
    """The run is stopped while the other model is asked a second time."""
    journal = MemoryJournal()
    scripts: list[Script] = [LOOKS, Hang(), DONE]
    async with fault_server(DOWN) as own, fault_server(*scripts) as other:
        text = team_file(own, other)
        async with opened(text, tmp_path, journal) as team:
            run = await team.start("Do it.")
            with anyio.fail_after(10):
                async for item in run.events():
                    if isinstance(item.event, ModelCallStarted) and item.event.turn == 3:
                        break
            await run.cancel(reason="interrupted")
        async with opened(text, tmp_path, journal) as team:
            with anyio.fail_after(10):
                result = await (await team.resume(run.id)).result()
        assert result.output == "It is done."
        assert len(own.requests) == 1
        forked = fault_server(DONE)
        async with forked as third:
            settings = {"models.spare.base_url": third.base_url}
            async with opened(text, tmp_path, journal) as team:
                with anyio.fail_after(10):
                    fork = await (await team.fork(run.id, "lead/turn-3", set=settings)).result()
        assert fork.output == "It is done."
        assert len(third.requests) == 1, "a fork goes on with the model its past had come to"
    for run_id in (run.id, fork.run_id):
        recorded = list(journal.read(run_id))
        assert (await replay_run(recorded)).exact
        asked = [item.event.model for item in recorded if isinstance(item.event, ModelCallStarted)]
        assert asked[0] == "own"
        assert set(asked[1:]) == {"other"}


async def test_an_agent_whose_stand_in_fails_too_says_so_of_the_last(tmp_path: Path):
    journal = MemoryJournal()
    async with (
        fault_server(DOWN) as own,
        fault_server(DOWN) as other,
        opened(team_file(own, other), tmp_path, journal) as team,
    ):
        result = await team.run("Do it.")
    assert not result.succeeded
    assert result.error.startswith("other at ")
    failed = [item.event for item in journal.read(result.run_id) if isinstance(item.event, ModelCallFinished)]
    assert [event.model for event in failed] == ["own", "other"]


async def test_the_window_of_the_stand_in_counts(tmp_path: Path):
    journal = MemoryJournal()
    async with fault_server(DOWN) as own, fault_server() as other:
        text = team_file(own, other).replace("model: other,", "model: other, context_window: 20,")
        async with opened(text, tmp_path, journal) as team:
            result = await team.run("Do it.")
    assert "other takes 20" in result.error
    assert other.requests == []

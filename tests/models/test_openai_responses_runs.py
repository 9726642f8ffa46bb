"""Whole runs against an endpoint that refuses what the real one refuses, through the public API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

import harness
from harness import FunctionToolset, Harness, Recorded
from harness.events import ModelCallFinished, ThinkingDecided, ToolCallFinished, WindowCompacted
from harness.messages import Reasoning
from harness.replaying import replay_run
from tests.models.strict_responses import StrictResponses, strict_responses

pytestmark = pytest.mark.anyio

TURNS = 20

TEAM = """\
harness: 1
name: thinking
entry: lead
models:
  default: {{api: openai-responses, base_url: "{url}", model: gpt-a, stream: {stream}, retries: 0}}
agents:
  lead: {{instructions: Look about., tools: [desk], thinking: {{effort: high}}{more}}}
"""


def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}" + " but the same plain wall as everywhere else" * 9


@pytest.fixture
async def server() -> AsyncIterator[StrictResponses]:
    with anyio.fail_after(60):
        async with strict_responses(turns=TURNS) as server:
            yield server


@asynccontextmanager
async def opened(
    folder: Path, server: StrictResponses, *, stream: str = "true", more: str = ""
) -> AsyncGenerator[Harness]:
    file = folder / "team.yaml"
    file.write_text(TEAM.format(url=server.base_url, stream=stream, more=more))
    toolset = FunctionToolset("desk", look, effect="read")
    async with harness.open(file, store=folder / "runs", toolsets=[toolset]) as opened:
        yield opened


def payloads(recorded: list[Recorded]) -> list[bytes]:
    """The reasoning items that were recorded, without what marks other items."""
    parts = [
        part
        for item in recorded
        if isinstance(item.event, ModelCallFinished) and item.event.message is not None
        for part in item.event.message.parts
        if isinstance(part, Reasoning)
    ]
    return [part.payload.encode() for part in parts if orjson.loads(part.payload)["type"] == "reasoning"]


def sent(server: StrictResponses) -> list[dict[str, Any]]:
    return [orjson.loads(body) for body in server.requests]


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_run_of_twenty_turns_is_accepted_and_replays_to_the_byte(
    tmp_path: Path, server: StrictResponses, stream: str
):
    async with opened(tmp_path, server, stream=stream) as team:
        run = await team.start("Look at everything.")
        result = await run.result()
        recorded = list(team.journal.read(run.id))

    assert (result.output, server.refusals) == (f"Now {server.count}, after 27.", [])
    assert len(server.requests) == TURNS + 1
    assert payloads(recorded) == server.reasoning
    assert all(item in server.requests[-1] for item in server.reasoning[:-1])
    asked = sent(server)
    assert all(request["reasoning"] == {"effort": "high", "summary": "auto"} for request in asked)
    assert all(request["instructions"].startswith("Look about.") for request in asked)
    assert (await replay_run(recorded)).exact
    assert len(server.requests) == TURNS + 1


async def test_a_turn_adds_to_what_was_sent_before_and_changes_nothing_of_it(
    tmp_path: Path, server: StrictResponses
):
    async with opened(tmp_path, server) as team:
        await team.run("Look at everything.")

    for before, after in zip(server.requests, server.requests[1:], strict=False):
        assert after.startswith(before[: before.rindex(b"]")])


async def test_a_run_that_was_stopped_goes_on_with_the_thinking_it_had(
    tmp_path: Path, server: StrictResponses
):
    async with opened(tmp_path, server) as team:
        run = await team.start("Look at everything.")
        async for item in run.events():
            if isinstance(item.event, ToolCallFinished) and item.event.turn == 10:
                break
        await run.cancel(reason="interrupted")
    before = len(server.requests)
    assert before < TURNS

    async with opened(tmp_path, server) as team:
        run = await team.resume(run.id)
        result = await run.result()
        recorded = list(team.journal.read(run.id))

    assert (result.succeeded, server.refusals) == (True, [])
    assert server.requests[before].startswith(
        server.requests[before - 2][: server.requests[before - 2].rindex(b"]")]
    )
    assert set(payloads(recorded)) <= set(server.reasoning)
    assert sum(item in server.requests[-1] for item in payloads(recorded)) == len(payloads(recorded)) - 1
    assert (await replay_run(recorded)).exact


async def test_another_model_gets_the_conversation_without_the_thinking_of_the_first(
    tmp_path: Path, server: StrictResponses
):
    async with opened(tmp_path, server) as team:
        run = await team.start("Look at everything.")
        assert (await run.result()).succeeded
        old = list(server.reasoning)
        before = len(server.requests)

        fork = await team.fork(run.id, "lead/turn-11", set={"models.default.model": "gpt-b"})
        result = await fork.result()
        recorded = list(team.journal.read(fork.id))

    assert (result.succeeded, server.refusals) == (True, [])
    asked = sent(server)[before:]
    assert {request["model"] for request in asked} == {"gpt-b"}
    assert not any(item in body for item in old for body in server.requests[before:])
    items = asked[0]["input"]
    assert sum(item["type"] == "function_call" for item in items) == 13
    assert not any("id" in item or "phase" in item for item in items)
    assert {item["type"] for item in asked[-1]["input"]} >= {"reasoning"}
    assert (await replay_run(recorded)).exact


@pytest.mark.parametrize("strategy", ["clear_results", "drop_turns"])
async def test_a_window_that_is_made_smaller_keeps_thinking_with_what_it_led_to(
    tmp_path: Path, server: StrictResponses, strategy: str
):
    more = f", limits: {{turns: 30}}, context: {{window: 4k, strategies: [{strategy}]}}"
    async with opened(tmp_path, server, more=more) as team:
        run = await team.start("Look at everything.")
        await run.result()
        recorded = list(team.journal.read(run.id))

    assert any(isinstance(item.event, WindowCompacted) for item in recorded)
    assert (server.refusals, len(server.requests) > TURNS) == ([], True)
    assert (await replay_run(recorded)).exact


async def test_what_was_asked_and_how_far_it_binds_is_on_record(tmp_path: Path, server: StrictResponses):
    async with opened(tmp_path, server) as team:
        run = await team.start("Look at everything.")
        await run.result()
        recorded = list(team.journal.read(run.id))

    decided = [item.event for item in recorded if isinstance(item.event, ThinkingDecided)]
    finished = [item.event for item in recorded if isinstance(item.event, ModelCallFinished)]
    assert {event.enforcement for event in decided} == {"soft"}
    assert finished[0].usage is not None
    assert (finished[0].usage.reasoning_tokens, finished[0].usage.cached_tokens) == (30, 5)

"""Runs of a team against servers that refuse reasoning which comes back otherwise than they want it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

import harness
from harness import FunctionToolset, RunResult
from harness.messages import user
from harness.replaying import replay_run
from tests.models.server import answer, event_stream, fault_server
from tests.models.strict_chat import Rule, StrictChat, strict_chat
from tests.models.test_openai_chat import ask, reply

pytestmark = pytest.mark.anyio

TURNS = 20

TEAM = """\
harness: 1
name: strict
entry: lead
models:
  default: {{api: openai-chat, dialect: {dialect}, base_url: "{url}", model: one, stream: {stream}, retries: 0}}
mcpServers: {{desk: {{module: given.by.the.test, disabled: true}}}}
limits: {{turns: 50}}
agents:
  lead: {{instructions: Look., tools: [desk], thinking: {{mode: "on"}}}}
"""

ENDPOINTS: list[tuple[str, Rule, bool]] = [
    ("deepseek", "reasoning_content", False),
    ("deepseek", "reasoning_content", True),
    ("kimi", "reasoning_content", True),
    ("openrouter", "reasoning_details", False),
    ("openrouter", "reasoning_details", True),
]

every_endpoint = pytest.mark.parametrize(("dialect", "rule", "stream"), ENDPOINTS)


@asynccontextmanager
async def opened(
    server: StrictChat, folder: Path, dialect: str, *, stream: bool
) -> AsyncIterator[harness.Harness]:
    def look(step: int) -> str:
        return f"seen {step}"

    file = folder / "team.yaml"
    file.write_text(TEAM.format(dialect=dialect, url=server.base_url, stream=str(stream).lower()))
    toolsets = [FunctionToolset("desk", look)]
    with anyio.fail_after(30):
        async with harness.open(file, store=folder / "store", toolsets=toolsets) as open_team:
            yield open_team


def assert_whole(result: RunResult, server: StrictChat) -> None:
    """Check that the run came to its end, and that each request only added to the one before it."""
    assert server.refusals == []
    assert result.output == f"done after {TURNS}", result
    bodies = [body["messages"] for body in server.requests]
    for before, after in zip(bodies, bodies[1:], strict=False):
        assert after[: len(before)] == before


async def replayed(opened_team: harness.Harness, run_id: str) -> str:
    """Carry a run out again from its record; return what was not as recorded."""
    return (await replay_run(list(opened_team.journal.read(run_id)))).text


@every_endpoint
async def test_twenty_turns_with_a_call_each_are_accepted(
    tmp_path: Path, dialect: str, rule: Rule, stream: bool
):
    async with (
        strict_chat(rule, turns=TURNS) as server,
        opened(server, tmp_path, dialect, stream=stream) as team,
    ):
        run = await team.start("Look twenty times.")
        result = await run.result()

        assert_whole(result, server)
        assert len(server.requests) == TURNS + 1
        assert await replayed(team, run.id) == ""
        assert len(server.requests) == TURNS + 1, "a replay asks nobody"


@every_endpoint
async def test_a_run_that_was_stopped_goes_on_with_the_same_reasoning(
    tmp_path: Path, dialect: str, rule: Rule, stream: bool
):
    async with strict_chat(rule, turns=TURNS) as server:
        server.hold_at = 9
        async with opened(server, tmp_path, dialect, stream=stream) as team:
            run = await team.start("Look twenty times.")
            await server.holds.wait()
            await run.cancel(reason="interrupted")
        server.hold_at = -1
        async with opened(server, tmp_path, dialect, stream=stream) as team:
            result = await (await team.resume(run.id)).result()

            assert_whole(result, server)
            assert len(server.requests) == TURNS + 2, "one request was made again"
            assert await replayed(team, run.id) == ""


@every_endpoint
async def test_another_model_gets_nothing_of_what_the_first_one_thought(
    tmp_path: Path, dialect: str, rule: Rule, stream: bool
):
    async with (
        strict_chat(rule, turns=TURNS) as server,
        opened(server, tmp_path, dialect, stream=stream) as team,
    ):
        run = await team.start("Look twenty times.")
        await run.result()
        fork = await team.fork(run.id, "lead/turn-11", set={"models.default.model": "two"})
        result = await fork.result()

        assert server.refusals == []
        assert result.output == f"done after {TURNS}"
        assert [body["model"] for body in server.requests] == ["one"] * (TURNS + 1) + ["two"] * (TURNS - 9)
        assert await replayed(team, fork.id) == ""


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("reasoning_content", {"reasoning_content": "Let me look"}),
        ("reasoning_content", {}),
        ("reasoning_details", {"reasoning_details": []}),
        ("reasoning_details", {"reasoning": "Let me look.\n\n"}),
    ],
)
async def test_the_server_is_strict(rule: Rule, message: dict[str, Any]):
    async with strict_chat(rule) as server:
        body: dict[str, Any] = {"model": "one", "messages": []}
        reply = server.reply(body)
        thought = {name: reply[name] for name in ("reasoning_content", "reasoning_details") if name in reply}
        call = {"role": "assistant", "tool_calls": reply["tool_calls"]}

        assert server.refusal({**body, "messages": [{**call, **thought}]}) == ""
        assert server.refusal({**body, "messages": [{**call, **message}]}) != ""
        assert server.refusal({**body, "model": "two", "messages": [{**call, **thought}]}) != ""


async def test_signed_blocks_that_come_in_pieces_go_back_as_they_were_signed():
    def chunk(**block: Any) -> bytes:
        delta = {"reasoning_content": block.get("thinking", ""), "thinking_blocks": [block]}
        return b"data: " + orjson.dumps({"choices": [{"delta": delta}]}) + b"\n\n"

    script = event_stream(
        chunk(type="thinking", thinking="One, ", signature=""),
        chunk(type="thinking", thinking="two.", signature=""),
        chunk(type="thinking", thinking="", signature="sig-1"),
        chunk(type="redacted_thinking", data="c2VhbGVk"),
        chunk(type="thinking", thinking="Three.", signature=""),
        chunk(type="thinking", thinking="", signature="sig-2"),
        b'data: {"choices": [{"delta": {"content": "Yes."}, "finish_reason": "stop"}]}\n\n',
        b"data: [DONE]\n\n",
    )
    async with fault_server(script, answer(reply())) as server:
        first = await ask(server, user("x"), dialect="litellm", stream=True)
        await ask(server, user("x"), first.message, user("y"), dialect="litellm")

    assert server.requests[1].json["messages"][1] == {
        "role": "assistant",
        "content": "Yes.",
        "thinking_blocks": [
            {"type": "thinking", "thinking": "One, two.", "signature": "sig-1"},
            {"type": "redacted_thinking", "data": "c2VhbGVk"},
            {"type": "thinking", "thinking": "Three.", "signature": "sig-2"},
        ],
    }

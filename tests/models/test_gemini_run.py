"""Whole runs against a server that refuses what Gemini refuses: signatures survive all that a run goes through."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

import harness
from harness import FunctionToolset, Harness
from harness.events import ModelCallFinished, ThinkingDecided
from harness.messages import Reasoning
from harness.replaying import replay_run
from tests.models.strict_gemini import KEY, SENTINEL, StrictGemini, Turn, call, strict_gemini

pytestmark = pytest.mark.anyio

FLASH, PRO, OLD = "gemini-3-flash-preview", "gemini-3.1-pro-preview", "gemini-2.5-flash"
TEAM = """\
harness: 1
name: looking
entry: lead
models:
  flash: {api: gemini, model: %(flash)s, base_url: "%(url)s", api_key: "${GEMINI_KEY}", stream: %(stream)s, retries: 0}
  pro: {api: gemini, model: %(pro)s, base_url: "%(url)s", api_key: "${GEMINI_KEY}", retries: 0}
  old: {api: gemini, model: %(old)s, base_url: "%(url)s", api_key: "${GEMINI_KEY}", retries: 0}
agents:
  lead: {instructions: Look things up., model: flash, tools: [desk], thinking: {effort: low, allow_degraded: true}}
"""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_KEY", KEY)


def conversation(turns: int) -> list[Turn]:
    """Return a conversation of that many replies: one call, two or three at once, and an answer at the end."""
    looking: list[Turn] = []
    for number in range(turns - 1):
        calls = [call("desk__look", place=f"{number}-{beside}") for beside in range(number % 3 + 1)]
        looking.append([{"text": f"Step {number}."}, *calls] if number % 2 else calls)
    return [*looking, [{"text": "It is in 18-0."}]]


class Light(BaseModel):
    """What it is seen by."""

    strength: int
    beside: Light | None = None


def look(place: str, by: Light | None = None, against: Light | None = None) -> str:
    """Look somewhere."""
    return f"seen {place}"


@asynccontextmanager
async def opened(
    directory: Path, server: StrictGemini, *, stream: bool = True, overrides: tuple[str, ...] = ()
) -> AsyncGenerator[Harness]:
    names = {"flash": FLASH, "pro": PRO, "old": OLD}
    text = TEAM % {"url": server.base_url, "stream": str(stream).lower(), **names}
    (directory / "team.yaml").write_text(text)
    with anyio.fail_after(60):
        async with harness.open(
            directory / "team.yaml",
            store=directory / "runs",
            toolsets=[FunctionToolset("desk", look, effect="read")],
            overrides=overrides,
        ) as team:
            yield team


def signatures(contents: list[dict[str, Any]]) -> list[str]:
    return [
        part["thoughtSignature"] for one in contents for part in one["parts"] if "thoughtSignature" in part
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_twenty_turns_of_single_and_parallel_calls_are_accepted(tmp_path: Path, stream: bool):
    async with strict_gemini(*conversation(20)) as server, opened(tmp_path, server, stream=stream) as team:
        result = await team.run("Where is it?")

    assert (result.output, server.refusals) == ("It is in 18-0.", [])
    assert len(server.requests) == 20
    assert len(set(signatures(server.requests[-1]["contents"]))) == 19
    assert server.requests[-1]["generationConfig"]["thinkingConfig"] == {
        "thinkingLevel": "LOW",
        "includeThoughts": True,
    }


async def test_signatures_survive_a_stop_and_the_disk_and_the_run_replays_byte_for_byte(tmp_path: Path):
    async with strict_gemini(*conversation(20)) as server:
        async with opened(tmp_path, server, overrides=("limits.turns=9",)) as team:
            run = await team.start("Where is it?")
            assert (await run.result()).stop_reason == "limit"
        first = len(server.requests)
        async with opened(tmp_path, server, overrides=("limits.turns=50",)) as team:
            result = await (await team.resume(run.id)).result()
            recorded = list(team.journal.read(run.id))

    assert (result.output, server.refusals) == ("It is in 18-0.", [])
    assert (first, len(server.requests)) == (9, 20)
    before, after = server.requests[8]["contents"], server.requests[9]["contents"]
    assert after[: len(before)] == before
    assert (await replay_run(recorded)).exact
    payloads = [
        part.payload
        for item in recorded
        if isinstance(item.event, ModelCallFinished) and item.event.message
        for part in item.event.message.parts
        if isinstance(part, Reasoning) and part.payload
    ]
    sent = signatures(server.requests[-1]["contents"])
    assert payloads[:19] == [f'{{"thoughtSignature":"{one}"}}' for one in sent]


async def test_after_a_change_of_model_no_signature_of_the_other_one_is_sent(tmp_path: Path):
    async with strict_gemini(*conversation(20)) as server, opened(tmp_path, server) as team:
        run = await team.start("Where is it?")
        await run.result()
        fork = await team.fork(run.id, "lead/turn-11", set={"agents.lead.model": "pro"})
        result = await fork.result()

    assert (result.output, server.refusals) == ("It is in 18-0.", [])
    assert server.models[20:] == [PRO] * 10
    sent = signatures(server.requests[-1]["contents"])
    assert sent[:10] == [SENTINEL] * 10
    assert SENTINEL not in sent[10:]
    assert len(sent) == 19


async def test_a_model_that_wants_no_signatures_gets_none_of_another_one(tmp_path: Path):
    async with strict_gemini(*conversation(8)) as server, opened(tmp_path, server) as team:
        run = await team.start("Where is it?")
        await run.result()
        fork = await team.fork(run.id, "lead/turn-5", set={"agents.lead.model": "old"})
        result = await fork.result()

    assert (result.output, server.refusals) == ("It is in 18-0.", [])
    assert len(signatures(server.requests[-1]["contents"])) == 3


async def test_what_was_decided_about_thinking_stands_in_the_record(tmp_path: Path):
    async with strict_gemini(*conversation(2)) as server, opened(tmp_path, server) as team:
        run = await team.start("Where is it?")
        await run.result()
        events = [item.event for item in team.journal.read(run.id)]

    decided = [event for event in events if isinstance(event, ThinkingDecided)]
    assert [(one.effort, one.enforcement) for one in decided] == [("low", "soft"), ("low", "soft")]
    usage = [event.usage for event in events if isinstance(event, ModelCallFinished)]
    assert [(one.output_tokens, one.reasoning_tokens, one.cached_tokens) for one in usage] == [
        (40, 30, 40)
    ] * 2

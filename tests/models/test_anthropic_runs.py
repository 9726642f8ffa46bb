"""Long runs of a team that thinks, against a server that refuses what the Messages API refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

import harness
from harness import FunctionToolset
from harness.events import TurnFinished, WindowCompacted
from harness.harness import Harness
from harness.replaying import replay_run
from harness.run import RunResult
from tests.models.server import FaultServer, fault_server
from tests.models.strict_anthropic import Block, StrictClaude, call, hidden, said, thought

pytestmark = pytest.mark.anyio

TURNS = 20

TEAM = """\
harness: 1
name: reading
entry: reader
models:
  default: {{api: anthropic, base_url: "{url}", api_key: "${{STRICT_KEY}}", model: {model}, stream: {stream}, retries: 0}}
agents: {{reader: {{instructions: Read., tools: [notes], thinking: {thinking}, context: {context}}}}}
limits: {{turns: 60}}
mcpServers: {{notes: {{module: given.by.the.test, disabled: true}}}}
"""

MANUAL = "{budget: 2k}"
ADAPTIVE = "{effort: low}"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRICT_KEY", "sk-of-the-strict-server")


def turn(number: int) -> list[Block]:
    """Think, sometimes between calls, sometimes unseen, and call one tool or several."""
    calls = [
        call(f"toolu_{number}_{index}", "notes__read", line=number * 100 + index)
        for index in range(12 if number == 7 else 1 + number % 3)
    ]
    begins = [hidden()] if number % 5 == 4 else [thought(f"Line {number} – „wörtlich“?\n")]
    if len(calls) > 2:
        return [*begins, said(f"Reading {number}."), calls[0], thought("And on."), *calls[1:]]
    return [*begins, *calls]


SCRIPT = [*map(turn, range(TURNS - 1)), [thought("That is all."), said("Read.")]]


@dataclass
class Reading:
    """A team that reads notes, and the server that its model is at."""

    file: Path
    claude: StrictClaude
    server: FaultServer
    read: list[int]
    """The lines that were read."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Harness]:
        """Open the team on its store."""

        async def read(line: int) -> str:
            self.read.append(line)
            return f"line {line} " * 20 if line % 3 else ""

        tools = FunctionToolset("notes", read)
        with anyio.fail_after(30):
            async with harness.open(self.file, store=self.file.parent / "store", toolsets=[tools]) as opened:
                yield opened

    async def run(self) -> RunResult:
        """Run the team once."""
        async with self.opened() as opened:
            return await opened.run("Read it all.")


@asynccontextmanager
async def reading(
    folder: Path,
    *,
    model: str,
    thinking: str,
    stream: bool = False,
    context: str = "{}",
    script: Sequence[Sequence[Block]] = SCRIPT,
) -> AsyncIterator[Reading]:
    claude, file = StrictClaude(script), folder / "team.yaml"
    async with fault_server(*[claude.respond] * 80) as server:
        told = {"url": server.base_url, "model": model, "thinking": thinking, "context": context}
        file.write_text(TEAM.format(**told, stream=str(stream).lower()))
        yield Reading(file, claude, server, [])


def check(reading: Reading, result: RunResult) -> None:
    """Hold that the run came to its end, and nothing was refused or done twice."""
    assert (reading.claude.refusals, result.error, result.output) == ([], "", "Read.")
    asked = [block["input"]["line"] for blocks in SCRIPT for block in blocks if "input" in block]
    assert sorted(reading.read) == asked
    assert len(reading.server.requests) == TURNS


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-haiku-4-5", MANUAL),
        ("claude-opus-4-6", MANUAL),
        ("claude-opus-4-6", ADAPTIVE),
        ("claude-opus-4-8", "{effort: max, visible: hidden}"),
        ("claude-opus-5-5", ADAPTIVE),
        ("claude-opus-5-5", "{mode: auto}"),
        ("claude-haiku-4-5", "{mode: auto}"),
        ("claude-sonnet-5-5", "{mode: off}"),
    ],
)
async def test_twenty_turns_of_thinking_and_calling_are_accepted(
    tmp_path: Path, model: str, thinking: str, stream: bool
):
    async with reading(tmp_path, model=model, thinking=thinking, stream=stream) as scene:
        check(scene, await scene.run())


@pytest.mark.parametrize(
    ("model", "thinking"),
    [("claude-haiku-4-5", MANUAL), ("claude-opus-5-5", ADAPTIVE), ("claude-opus-5-5", "{mode: auto}")],
)
async def test_what_was_thought_goes_back_after_a_stop_and_a_new_beginning(
    tmp_path: Path, model: str, thinking: str
):
    async with reading(tmp_path, model=model, thinking=thinking) as scene:
        async with scene.opened() as opened:
            run = await opened.start("Read it all.")
            async for recorded in run.events():
                if isinstance(recorded.event, TurnFinished) and recorded.event.turn == 11:
                    await run.cancel(reason="interrupted")
                    break
        stopped_after = len(scene.server.requests)
        async with scene.opened() as opened:
            result = await (await opened.resume(run.id)).result()
            recorded = list(opened.journal.read(run.id))

        assert 11 <= stopped_after < TURNS
        assert (scene.claude.refusals, result.output) == ([], "Read.")
        replayed = await replay_run(recorded)
        assert replayed.exact, replayed.text


@pytest.mark.parametrize("at", [1, 4, 8, 15, 20])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("claude-opus-4-6", ADAPTIVE), ("claude-opus-4-8", {"effort": "high"})),
        (("claude-opus-4-6", MANUAL), ("claude-haiku-4-5", {"budget": 4000})),
        (("claude-opus-5-5", ADAPTIVE), ("claude-haiku-4-5", {"budget": 4000})),
        (("claude-haiku-4-5", MANUAL), ("claude-opus-5-5", {"effort": "high"})),
    ],
)
async def test_another_model_goes_on_without_what_the_first_one_thought(
    tmp_path: Path, before: tuple[str, str], after: tuple[str, dict[str, Any]], at: int
):
    async with reading(tmp_path, model=before[0], thinking=before[1]) as scene:
        settings = {"models.default.model": after[0], "agents.reader.thinking": after[1]}
        async with scene.opened() as opened:
            first = await opened.run("Read it all.")
            fork = await opened.fork(first.run_id, f"reader/turn-{at}", set=settings)
            result = await fork.result()

    assert (scene.claude.refusals, result.error, result.output) == ([], "", "Read.")
    thoughts = [
        block
        for message in scene.server.requests[TURNS].json["messages"]
        for block in message["content"]
        if "thinking" in block["type"]
    ]
    assert thoughts == []


async def test_each_request_repeats_what_the_one_before_it_was_kept_for(tmp_path: Path):
    async with reading(tmp_path, model="claude-opus-4-8", thinking=ADAPTIVE) as scene:
        result = await scene.run()

    before = 0
    for usage in scene.claude.usages:
        assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (0, before)
        before += usage["cache_creation_input_tokens"]
    assert result.usage.cached_tokens == sum(one["cache_read_input_tokens"] for one in scene.claude.usages)
    assert result.usage.cache_write_tokens == before
    assert result.usage.input_tokens == result.usage.cached_tokens + before


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-5-5"])
async def test_a_window_that_was_changed_takes_only_thinking_along_that_is_still_accepted(
    tmp_path: Path, model: str
):
    """Old results are left out of the window, so that what stands before later thinking is not the same."""
    context = "{window: 6k, compact_at: 0.6, target: 0.4, strategies: [{clear_results: {keep: 1}}]}"
    thinking = MANUAL if model == "claude-haiku-4-5" else ADAPTIVE
    async with (
        reading(tmp_path, model=model, thinking=thinking, context=context) as scene,
        scene.opened() as opened,
    ):
        result = await opened.run("Read it all.")
        recorded = list(opened.journal.read(result.run_id))

    check(scene, result)
    assert any(isinstance(one.event, WindowCompacted) for one in recorded)
    replayed = await replay_run(recorded)
    assert replayed.exact, replayed.text


async def test_no_thinking_of_a_reply_goes_back_that_thought_of_a_secret(tmp_path: Path):
    secret = [thought("The key is sk-of-the-strict-server."), *turn(41)[1:2], thought("So."), *turn(41)[2:]]
    script = [secret, *SCRIPT[1:]]
    async with (
        reading(tmp_path, model="claude-haiku-4-5", thinking=MANUAL, script=script) as scene,
        scene.opened() as opened,
    ):
        result = await opened.run("Read it all.")
        recorded = list(opened.journal.read(result.run_id))

    assert (scene.claude.refusals, result.output) == ([], "Read.")
    assert "sk-of-the-strict-server" not in repr(recorded)

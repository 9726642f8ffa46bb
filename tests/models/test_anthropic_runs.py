"""Long runs of a team that thinks, against a server that refuses what the Messages API refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

import harness
from harness import FunctionToolset
from harness.events import TurnFinished
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
  default: {{api: anthropic, base_url: "{url}", api_key: sk-test, model: {model}, stream: {stream}, retries: 0}}
agents: {{reader: {{instructions: Read., tools: [notes], thinking: {thinking}}}}}
limits: {{turns: 60}}
mcpServers: {{notes: {{module: given.by.the.test, disabled: true}}}}
"""

MANUAL = "{budget: 2k}"
ADAPTIVE = "{effort: low}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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

    harness: Harness
    claude: StrictClaude
    server: FaultServer
    read: list[int]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The requests that came, as JSON."""
        return [request.json for request in self.server.requests]


@asynccontextmanager
async def reading(folder: Path, *, model: str, thinking: str, stream: bool = False) -> AsyncIterator[Reading]:
    claude, lines = StrictClaude(SCRIPT), list[int]()

    async def read(line: int) -> str:
        lines.append(line)
        return f"line {line}" if line % 3 else ""

    tools = FunctionToolset("notes", read)
    async with fault_server(*[claude.respond] * 80) as server:
        file = folder / "team.yaml"
        file.write_text(
            TEAM.format(url=server.base_url, model=model, thinking=thinking, stream=str(stream).lower())
        )
        with anyio.fail_after(30):
            async with harness.open(file, store=folder / "store", toolsets=[tools]) as opened:
                yield Reading(opened, claude, server, lines)


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
        check(scene, await scene.harness.run("Read it all."))

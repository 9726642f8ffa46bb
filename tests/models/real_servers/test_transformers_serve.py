"""`transformers serve`, with a Qwen3 of random weights: what is asked of thinking arrives, and runs come to an end.

What such a model says is noise, so these tests hold what is around it: counts, reasons, fields, errors.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

import harness
from harness import FunctionToolset, RunResult
from harness.events import ModelCallFinished, ThinkingDecided
from harness.messages import Reasoning, Text
from tests.models.real_servers.started import environment, free_port, interpreter, served

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
MODEL = "./qwen3-tiny"
LONGEST = 12
TEAM = """\
harness: 1
name: real
entry: lead
models:
  default:
    {{api: openai-chat, dialect: transformers, base_url: "{url}/v1", model: {model}, stream: {stream},
     max_tokens: {longest}, temperature: 0, retries: 0}}
agents:
  lead: {{instructions: Look about., limits: {{turns: 2}}{more}}}
"""


def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python = interpreter(
        "transformers",
        needs=("transformers", "torch", "fastapi", "uvicorn", "openai"),
        install="'transformers[serving]' torch",
    )
    folder = tmp_path_factory.mktemp("transformers")
    texts = sorted((HERE.parents[2] / "harness").glob("*.py"))
    subprocess.run(
        [python, HERE / "tiny_qwen3.py", folder / MODEL, *texts],
        env=environment(folder),
        check=True,
        timeout=200,
    )
    port = free_port()
    command = [Path(python).with_name("transformers"), "serve", MODEL, "--device", "cpu"]
    with served(
        [*command, "--host", "127.0.0.1", "--port", str(port)], port, folder, health="/health"
    ) as url:
        yield url


@dataclass(frozen=True)
class Ran:
    """One run, and what its journal says of thinking and of the first reply."""

    result: RunResult
    first: ModelCallFinished
    thinking: list[ThinkingDecided]

    def said(self, kind: type[Text | Reasoning]) -> str:
        """Return all text of one kind in the first reply."""
        assert self.first.message is not None
        return "".join(part.text for part in self.first.message.parts if isinstance(part, kind))


async def run(server: str, folder: Path, *, stream: str = "false", more: str = "") -> Ran:
    file = folder / "team.yaml"
    file.write_text(TEAM.format(url=server, model=MODEL, longest=LONGEST, stream=stream, more=more))
    toolset = FunctionToolset("desk", look, effect="read")
    with anyio.fail_after(120):
        async with harness.open(file, store=folder / "runs", toolsets=[toolset]) as team:
            started = await team.start("Look at everything.")
            result = await started.result()
            events = [recorded.event for recorded in team.journal.read(started.id)]
    finished = [event for event in events if isinstance(event, ModelCallFinished)]
    return Ran(result, finished[0], [event for event in events if isinstance(event, ThinkingDecided)])


@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.parametrize("more", ["", ", thinking: on", ", thinking: off", ", thinking: on, tools: [desk]"])
async def test_a_run_comes_to_an_end_and_counts_as_the_server_does(
    server: str, tmp_path: Path, stream: str, more: str
):
    ran = await run(server, tmp_path, stream=stream, more=more)

    assert (ran.result.stop_reason, ran.first.error) == ("limit", "")
    assert (ran.first.stop_reason, ran.first.model) == ("length", MODEL)
    assert ran.first.usage.output_tokens == LONGEST
    assert not ran.first.usage.estimated
    if "thinking: on" in more:
        # The server does not say how much of the output it was, so that is our count of what it showed.
        assert 0 < ran.first.usage.reasoning_tokens <= LONGEST
    assert ran.first.usage.input_tokens > 0
    assert (ran.first.first_chunk_seconds is not None) == (stream == "true")


@pytest.mark.parametrize("stream", ["false", "true"])
async def test_the_template_is_told_whether_to_think(server: str, tmp_path: Path, stream: str):
    unsaid = await run(server, tmp_path, stream=stream)
    on = await run(server, tmp_path, stream=stream, more=", thinking: on")
    off = await run(server, tmp_path, stream=stream, more=", thinking: off")

    tokens = [ran.first.usage.input_tokens for ran in (unsaid, on, off)]
    assert [count - tokens[0] for count in tokens] == [0, 2, 5]
    assert (on.said(Reasoning) != "", on.said(Text)) == (True, "")
    assert (off.said(Reasoning), off.said(Text) != "") == ("", True)
    assert [event.enforcement for event in off.thinking[:1]] == ["hard"]


async def test_tools_that_are_offered_stand_in_the_prompt(server: str, tmp_path: Path):
    without = await run(server, tmp_path)
    offered = await run(server, tmp_path, more=", tools: [desk]")

    assert offered.first.usage.input_tokens > without.first.usage.input_tokens + 20


async def test_a_field_the_server_does_not_know_is_refused_with_its_own_words(server: str, tmp_path: Path):
    file = tmp_path / "team.yaml"
    text = TEAM.format(url=server, model=MODEL, longest=LONGEST, stream="false", more="")
    file.write_text(text.replace("retries: 0", "retries: 0, extra: {top_k: 20}"))
    async with harness.open(file, store=tmp_path / "runs") as team:
        result = await team.run("Look at everything.")

    assert result.stop_reason == "failed"
    assert "422" in result.error
    assert "top_k" in result.error

"""LiteLLM's proxy, with answers that it makes up itself: our three wire APIs against its three routes.

`mocked` is answered by the route that was asked. `translated` goes through the proxy once more: what it is
asked in one API becomes Chat Completions, and the answer, whole or in pieces, comes back in the API of the asking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

import harness
from harness import FunctionToolset, RunResult
from harness.events import ModelCallFinished, ToolCallFinished
from tests.models.real_servers.started import free_port, interpreter, served

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]

KEY = "sk-made-up"
SAID = "The tower is 324 m high."
CONFIG = """\
model_list:
  - model_name: mocked
    litellm_params: {{model: openai/gpt-4o, api_key: none, mock_response: {said}}}
  - model_name: calling
    litellm_params:
      model: openai/gpt-4o
      api_key: none
      mock_response: ""
      mock_tool_calls:
        - {{id: call_1, type: function, function: {{name: desk__look, arguments: '{{"place": "the tower"}}'}}}}
  - model_name: translated
    litellm_params: {{model: together_ai/mocked, api_base: "{url}/v1", api_key: {key}}}
  - model_name: translated-calling
    litellm_params: {{model: together_ai/calling, api_base: "{url}/v1", api_key: {key}}}
general_settings: {{master_key: {key}}}
"""
TEAM = """\
harness: 1
name: real
entry: lead
models:
  default:
    {{api: {api}, base_url: "{url}/v1", model: {model}, api_key: {key}, stream: {stream}, max_tokens: 100,
     retries: 0}}
agents:
  lead: {{instructions: Look about., tools: [desk], limits: {{turns: 2}}{more}}}
"""
APIS = ["openai-chat, dialect: litellm", "openai-responses", "anthropic"]


def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python = interpreter(
        "litellm", needs=("litellm", "fastapi", "uvicorn", "apscheduler"), install="'litellm[proxy]'"
    )
    folder, port = tmp_path_factory.mktemp("litellm"), free_port()
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(said=SAID, key=KEY, url=f"http://127.0.0.1:{port}"))
    command = [
        Path(python).with_name("litellm"),
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with served(command, port, folder, health="/health/liveliness") as url:
        yield url


@dataclass(frozen=True)
class Ran:
    """One run and what its journal says of replies and calls."""

    result: RunResult
    replies: list[ModelCallFinished]
    calls: list[ToolCallFinished]


async def run(
    proxy: str, folder: Path, api: str, model: str, *, stream: str = "false", key: str = KEY, more: str = ""
) -> Ran:
    file = folder / "team.yaml"
    file.write_text(TEAM.format(api=api, url=proxy, model=model, key=key, stream=stream, more=more))
    toolset = FunctionToolset("desk", look, effect="read")
    with anyio.fail_after(120):
        async with harness.open(file, store=folder / "runs", toolsets=[toolset]) as team:
            started = await team.start("How high is the tower?")
            result = await started.result()
            events = [recorded.event for recorded in team.journal.read(started.id)]
    return Ran(
        result,
        [event for event in events if isinstance(event, ModelCallFinished)],
        [event for event in events if isinstance(event, ToolCallFinished)],
    )


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("model", "stream"), [("mocked", "false"), ("translated", "false"), ("translated", "true")]
)
async def test_an_answer_arrives_with_its_count_and_its_end(
    proxy: str, tmp_path: Path, api: str, model: str, stream: str
):
    ran = await run(proxy, tmp_path, api, model, stream=stream)

    assert (ran.result.error, ran.result.output) == ("", SAID)
    (reply,) = ran.replies
    assert (reply.stop_reason, reply.notes) == ("end", ())
    assert (reply.usage.estimated, reply.usage.calls) == (False, 1)
    assert (reply.usage.input_tokens > 0, reply.usage.output_tokens > 0) == (True, True)
    assert (reply.first_chunk_seconds is not None) == (stream == "true")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_call_and_its_result_go_through_the_proxy(proxy: str, tmp_path: Path, api: str, stream: str):
    ran = await run(proxy, tmp_path, api, "translated-calling", stream=stream)

    assert [reply.error for reply in ran.replies] == ["", ""]
    assert [reply.stop_reason for reply in ran.replies] == ["tool_calls", "tool_calls"]
    assert [call.result.text for call in ran.calls] == ["nothing at the tower"] * 2
    assert ran.result.stop_reason == "limit"


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("more", ["{mode: on, effort: low}", "off"])
async def test_what_is_said_of_thinking_is_taken(proxy: str, tmp_path: Path, api: str, more: str):
    ran = await run(proxy, tmp_path, api, "mocked", more=f", thinking: {more}")

    assert (ran.result.error, ran.result.output) == ("", SAID)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_key_that_the_proxy_does_not_know_ends_the_run_at_once(
    proxy: str, tmp_path: Path, api: str, stream: str
):
    ran = await run(proxy, tmp_path, api, "mocked", stream=stream, key="sk-another")

    assert ran.result.stop_reason == "failed"
    assert "sk-another" not in ran.result.error
    assert ran.result.error == ""

"""LiteLLM's proxy, with answers that it makes up itself: our three wire APIs against its three routes.

`mocked` is answered by the route that was asked. `translated` goes through the proxy once more: what it is
asked in one API becomes Chat Completions, and the answer, whole or in pieces, comes back in the API of the asking.
So does what `thinker` says, an upstream of ours that thinks and calls a tool, which made-up answers cannot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

import harness
from harness import FunctionToolset, RunResult
from harness.events import ModelCallFinished, ToolCallFinished
from harness.messages import Reasoning
from tests.models.real_servers.started import free_port, interpreter, served
from tests.models.real_servers.upstream import ANSWER, ARGUMENTS, THOUGHT, upstream

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]

KEY = "sk-made-up"
SAID = "The tower is 324 m high."
CONFIG = """\
model_list:
  - model_name: mocked
    litellm_params: {{model: openai/gpt-5.1, api_key: none, mock_response: {said}}}
  - model_name: older
    litellm_params: {{model: openai/gpt-4o, api_key: none, mock_response: {said}}}
  - model_name: translated
    litellm_params: {{model: together_ai/mocked, api_base: "{url}/v1", api_key: {key}}}
  - model_name: thinker
    litellm_params: {{model: together_ai/thinker, api_base: "{upstream}", api_key: none}}
general_settings: {{master_key: {key}}}
"""
TEAM = """\
harness: 1
name: real
entry: lead
models:
  default:
    {{api: {api}, base_url: "{url}/v1", model: {model}, api_key: {key}, stream: {stream}, max_tokens: 8k,
     retries: 0}}
agents:
  lead: {{instructions: Look about., tools: [desk], limits: {{turns: 4}}{more}}}
"""
APIS = ["openai-chat, dialect: litellm", "openai-responses", "anthropic"]


def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


@dataclass(frozen=True)
class Proxy:
    """The proxy, and what it asked of what stands behind it."""

    url: str
    asked: list[dict[str, Any]]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    python = interpreter(
        "litellm", needs=("litellm", "fastapi", "uvicorn", "apscheduler"), install="'litellm[proxy]'"
    )
    folder, port, asked = tmp_path_factory.mktemp("litellm"), free_port(), list[dict[str, Any]]()
    config = folder / "config.yaml"
    script = Path(python).with_name("litellm")
    with upstream(asked) as behind:
        url = f"http://127.0.0.1:{port}"
        config.write_text(CONFIG.format(said=SAID, key=KEY, url=url, upstream=behind))
        command = [script, "--config", config, "--host", "127.0.0.1", "--port", str(port)]
        with served(command, port, folder, health="/health/liveliness") as url:
            yield Proxy(url, asked)


@dataclass(frozen=True)
class Ran:
    """One run and what its journal says of replies and calls."""

    result: RunResult
    replies: list[ModelCallFinished]
    calls: list[ToolCallFinished]


async def run(
    proxy: Proxy, folder: Path, api: str, model: str, *, stream: str = "false", key: str = KEY, more: str = ""
) -> Ran:
    file = folder / "team.yaml"
    file.write_text(TEAM.format(api=api, url=proxy.url, model=model, key=key, stream=stream, more=more))
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
    proxy: Proxy, tmp_path: Path, api: str, model: str, stream: str
):
    ran = await run(proxy, tmp_path, api, model, stream=stream)

    assert (ran.result.error, ran.result.output) == ("", SAID)
    (reply,) = ran.replies
    assert reply.stop_reason == "end"
    assert [note for note in reply.notes if "is of no known family" not in note] == []
    assert (reply.usage.estimated, reply.usage.calls) == (False, 1)
    assert (reply.usage.input_tokens > 0, reply.usage.output_tokens > 0) == (True, True)
    assert (reply.first_chunk_seconds is not None) == (stream == "true")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("stream", ["false", "true"])
async def test_thinking_and_a_call_come_back_and_the_result_goes_out(
    proxy: Proxy, tmp_path: Path, api: str, stream: str
):
    no_way_back = (api, stream) == ("openai-responses", "true")
    """Its stream shows the thinking in a summary alone, which is nothing that the API takes back."""
    proxy.asked.clear()

    ran = await run(proxy, tmp_path, api, "thinker", stream=stream)

    assert (ran.result.error, ran.result.output) == ("", ANSWER)
    assert [reply.stop_reason for reply in ran.replies] == ["tool_calls", "end"]
    assert [reply.usage.input_tokens for reply in ran.replies] == [40, 40]
    assert [reply.usage.output_tokens for reply in ran.replies] == [15, 15]
    assert [(call.shown, call.is_error) for call in ran.calls] == [("nothing at the tower", False)]
    first = ran.replies[0].message
    assert first is not None
    assert "".join(part.text for part in first.parts if isinstance(part, Reasoning)) == THOUGHT
    call, result = proxy.asked[-1]["messages"][-2:]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == json.loads(ARGUMENTS)
    assert call.get("reasoning_content", "") == ("" if no_way_back else THOUGHT)
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert result["content"] == "nothing at the tower"


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("thinking", ["{mode: on, effort: low}", "off"])
async def test_what_is_said_of_thinking_is_taken(proxy: Proxy, tmp_path: Path, api: str, thinking: str):
    ran = await run(proxy, tmp_path, api, "mocked", more=f", thinking: {thinking}")

    assert (ran.result.error, ran.result.output) == ("", SAID)


async def test_thinking_that_the_model_behind_does_not_know_is_refused_in_the_words_of_the_proxy(
    proxy: Proxy, tmp_path: Path
):
    ran = await run(proxy, tmp_path, APIS[0], "older", more=", thinking: {effort: low}")

    assert ran.result.stop_reason == "failed"
    assert "reasoning_effort" in ran.result.error


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_key_that_the_proxy_does_not_know_ends_the_run_at_once(
    proxy: Proxy, tmp_path: Path, api: str, stream: str
):
    ran = await run(proxy, tmp_path, api, "mocked", stream=stream, key="sk-another")

    assert (ran.result.stop_reason, len(ran.replies)) == ("failed", 1)
    assert "HTTP 40" in ran.result.error
    assert "sk-another" not in ran.result.error

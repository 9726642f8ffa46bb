"""The real `openai` client, in an environment of its own, against a team."""

from __future__ import annotations

import subprocess
from pathlib import Path

import anyio
import orjson
import pytest
from house import PAIR, house
from surroundings import virtual_environment

from harness import says, scripted
from harness.serve import ServeOptions

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ASKING = """\
import json, sys
import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="right")
asked = {"model": "house", "messages": [{"role": "user", "content": "Where is X?"}]}
plain = client.chat.completions.create(**asked)
told = {
    "models": [model.id for model in client.models.list()],
    "content": plain.choices[0].message.content,
    "finish_reason": plain.choices[0].finish_reason,
    "tokens": plain.usage.total_tokens,
    "id": plain.id,
    "harness": plain.model_extra["harness"],
}
pieces, usage = [], None
for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
    pieces += [choice.delta.content or "" for choice in chunk.choices]
    usage = chunk.usage or usage
told["streamed"] = "".join(pieces)
told["streamed_tokens"] = usage.total_tokens
for name, call in {
    "unknown": lambda: client.chat.completions.create(**{**asked, "model": "other"}),
    "token": lambda: openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="wrong").models.list(),
    "failed": lambda: client.chat.completions.create(**{**asked, "model": "house/scout"}),
    "failed_stream": lambda: list(client.chat.completions.create(**{**asked, "model": "house/scout"}, stream=True)),
}.items():
    try:
        call()
    except openai.APIError as error:
        told[name] = [type(error).__name__, error.code, error.message]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return virtual_environment(tmp_path_factory.mktemp("client") / "venv", "openai>=2")


async def test_the_openai_client_takes_a_team_for_a_model(tmp_path: Path, python: Path):
    options = ServeOptions(tokens=("right",), agents=("*",))
    lead, scout = scripted(says("X is at 4, as far as anybody can tell.")), scripted()
    async with house(tmp_path, PAIR, options=options, token="right", lead=lead, scout=scout) as served:
        done = await anyio.run_process(
            [str(python), "-c", ASKING, served.url], check=False, stderr=subprocess.PIPE
        )
        assert done.returncode == 0, done.stderr.decode()
        told = orjson.loads(done.stdout)
        runs = (await served.ask("GET", "/runs")).body["runs"]

    assert told["models"] == ["house", "house/lead", "house/scout"]
    assert told["content"] == told["streamed"] == "X is at 4, as far as anybody can tell."
    assert told["finish_reason"] == "stop"
    assert told["tokens"] == told["streamed_tokens"] > 0
    assert told["harness"]["run_id"] == told["id"]
    assert told["unknown"][:2] == ["NotFoundError", "model_not_found"]
    assert told["token"][0] == "AuthenticationError"
    assert told["failed"][:2] == ["InternalServerError", "run_failed"]
    assert told["failed_stream"][:2] == ["APIError", "run_failed"]
    # Two that were answered, two that failed, and none of them was tried again.
    assert [run["status"] for run in runs] == ["failed", "failed", "done", "done"]

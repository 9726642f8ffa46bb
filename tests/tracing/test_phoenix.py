"""A trace arrives in Arize Phoenix with agents, tools, messages and tokens in place.

Needs its executable: `phoenix` on PATH, or `HARNESS_PHOENIX` naming it; or a running one at
`HARNESS_PHOENIX_URL`. Phoenix takes a minute and a half to start.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from traced_runs import full_run, spans_of

from harness.tracing.sinks import CollectorSink

EXECUTABLE = os.environ.get("HARNESS_PHOENIX") or shutil.which("phoenix")
RUNNING = os.environ.get("HARNESS_PHOENIX_URL")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (EXECUTABLE or RUNNING),
        reason="Arize Phoenix is not installed: put phoenix on PATH or name it in HARNESS_PHOENIX",
    ),
]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.loads(answer.read() or b"null")


def wait_until_it_answers(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, "phoenix ended"
        try:
            get(f"{url}/v1/projects")
        except OSError:
            time.sleep(1)
        else:
            return
    raise TimeoutError("phoenix does not answer")


@pytest.fixture
def phoenix(tmp_path: Path) -> Iterator[str]:
    if RUNNING:
        yield RUNNING.rstrip("/")
        return
    assert EXECUTABLE
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        port, grpc = one.getsockname()[1], two.getsockname()[1]
    settings = {
        "PHOENIX_WORKING_DIR": str(tmp_path),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    process = subprocess.Popen(
        [EXECUTABLE, "serve"],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_it_answers(process, url)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def test_a_run_arrives_with_agents_tools_messages_and_tokens(phoenix: str):
    ours = spans_of(full_run(), "new")
    trace = f"{ours[0].context.trace_id:032x}"
    sink = CollectorSink(endpoint=f"{phoenix}/v1/traces")
    assert sink.send(ours) == ""
    sink.close()

    deadline = time.monotonic() + 30
    found: list[dict[str, Any]] = []
    while len(found) < len(ours) and time.monotonic() < deadline:
        listed = get(f"{phoenix}/v1/projects/default/spans?limit=1000")["data"]
        found = [span for span in listed if span["context"]["trace_id"] == trace]
        time.sleep(0.2)

    kinds = {span["name"]: span["span_kind"] for span in found}
    assert len(found) == len(ours)
    assert kinds["invoke_agent researcher"] == "AGENT"
    assert kinds["execute_tool corpus.search"] == "TOOL"
    assert kinds["chat qwen3"] == "LLM"
    chats = [span["attributes"] for span in found if span["name"] == "chat qwen3"]
    counted = [chat for chat in chats if chat.get("llm.token_count.prompt")]
    assert {chat["llm.token_count.prompt"] for chat in counted} == {100}
    assert {chat["llm.token_count.completion"] for chat in counted} == {10}
    said = json.dumps(found)
    for text in ("CANARY-BRIEF of t1", "CANARY-QUERY", "CANARY-RESULT head", "CANARY-ANSWER"):
        assert text in said
    assert any(name.startswith("llm.input_messages") for chat in chats for name in chat)
    agents = {span["attributes"].get("gen_ai.agent.name") for span in found if span["span_kind"] == "AGENT"}
    assert agents == {"lead", "researcher", "critic"}

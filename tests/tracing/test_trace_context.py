"""The trace goes on in MCP servers: what they emit are children of our spans of the calls."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import harness
from harness import calls, says, scripted, together
from harness.trace_ids import traceparent
from harness.tracing import export_run

SERVER = Path(__file__).parent / "tracing_server.py"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def _deadline() -> AsyncIterator[None]:
    with anyio.fail_after(40):
        yield


def team(server: dict[str, Any], folder: Path) -> Path:
    file = folder / "team.yaml"
    file.write_text(
        json.dumps(
            {
                "harness": 1,
                "name": "traced",
                "entry": "lead",
                "mcpServers": {"traced": {**server, "effects": {"*": "read"}}},
                "agents": {"lead": {"instructions": "Lead.", "tools": ["traced"]}},
            }
        )
    )
    return file


def stdio(spans: Path) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(SERVER), str(spans)]}


def served(file: Path) -> list[dict[str, str]]:
    spans = [json.loads(line) for line in file.read_text().splitlines()]
    return [span for span in spans if span["name"].startswith("tools/call")]


def tool_spans(recorded: Any) -> list[Any]:
    spans: list[Any] = []
    export_run(recorded, spans.append)
    return [span for span in spans if span.name.startswith("execute_tool")]


def ids(spans: list[Any]) -> set[tuple[str, str]]:
    return {(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") for span in spans}


async def run_two_calls(file: Path, folder: Path, **options: Any) -> Any:
    two = together(calls("traced.echo", text="a"), calls("traced.echo", text="b"))
    async with harness.open(
        file, store=folder / "runs", models={"lead": scripted(two, says("Done."))}
    ) as opened:
        run = await opened.start("Go.", **options)
        assert (await run.result()).succeeded
        return list(opened.journal.read(run.id))


async def test_spans_of_a_stdio_server_are_children_of_the_calls_made_at_once(tmp_path: Path):
    spans = tmp_path / "spans.jsonl"
    recorded = await run_two_calls(team(stdio(spans), tmp_path), tmp_path)
    ours, theirs = tool_spans(recorded), served(spans)

    assert len(theirs) == len(ours) == 2
    assert {span["kind"] for span in theirs} == {"SERVER"}
    assert {(span["trace"], span["parent"]) for span in theirs} == ids(ours)
    for span in ours:
        facts = dict(span.attributes)
        assert facts["mcp.method.name"] == "tools/call"
        assert facts["network.transport"] == "pipe"
        assert facts["mcp.protocol.version"]


@pytest.fixture
def http_server(tmp_path: Path) -> Any:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(tmp_path / "spans.jsonl"), str(port)],
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    )
    assert process.stderr
    for line in process.stderr:
        if b"running on" in line:
            break
    yield f"http://127.0.0.1:{port}/mcp", port
    process.terminate()
    process.wait(10)
    process.stderr.close()


async def test_spans_of_a_server_over_http_are_children_of_the_calls(tmp_path: Path, http_server: Any):
    url, port = http_server
    recorded = await run_two_calls(team({"url": url}, tmp_path), tmp_path)
    ours, theirs = tool_spans(recorded), served(tmp_path / "spans.jsonl")

    assert {(span["trace"], span["parent"]) for span in theirs} == ids(ours)
    facts = dict(ours[0].attributes)
    assert (facts["server.address"], facts["server.port"]) == ("127.0.0.1", port)
    assert facts["network.transport"] == "tcp"


async def test_the_trace_of_whoever_asked_for_the_run_goes_on_in_the_server(tmp_path: Path):
    spans = tmp_path / "spans.jsonl"
    recorded = await run_two_calls(team(stdio(spans), tmp_path), tmp_path, traceparent=CALLER)

    assert {span["trace"] for span in served(spans)} == {"0af7651916cd43dd8448eb211c80319c"}
    assert {(span["trace"], span["parent"]) for span in served(spans)} == ids(tool_spans(recorded))


@pytest.mark.parametrize("bad", ["nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff" + CALLER[2:]])
async def test_a_bad_trace_context_of_the_caller_is_ignored(bad: str):
    assert traceparent("run-1", "lead/turn-1/0", caller=bad) == traceparent("run-1", "lead/turn-1/0")


async def test_a_call_that_a_later_process_makes_again_is_the_parent_there(tmp_path: Path):
    """The first process is stopped while the call is under way; the second makes it again."""
    spans = tmp_path / "spans.jsonl"
    file = team(stdio(spans), tmp_path)
    model = scripted(calls("traced.echo", text="a"), says("Done."))
    begun = anyio.Event()

    async with harness.open(file, store=tmp_path / "runs", models={"lead": model}) as first:
        run = await first.start("Go.")
        async for item in run.events():
            if item.event.type == "tool_call.started":
                begun.set()
                break
        await run.cancel(reason="interrupted")
    async with harness.open(file, store=tmp_path / "runs", models={"lead": model}) as second:
        assert (await (await second.resume(run.id)).result()).succeeded
        recorded = list(second.journal.read(run.id))

    ours = tool_spans(recorded)
    last = served(spans)[-1]
    assert begun.is_set()
    assert (last["trace"], last["parent"]) in ids([ours[-1]])

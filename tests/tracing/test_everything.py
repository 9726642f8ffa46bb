"""A run with every feature over real servers: its spans keep to the conventions, its secret is nowhere.

The model speaks HTTP and streams, fails with 429 and 500 and once for good; servers are reached over pipes and
HTTP; tools fail, are refused and ask a person; the window is compacted; a sub-agent works; the run is stopped
and resumed by another process. All that comes from outside says the secret in every form.
"""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
from chat_server import ChatServer, Reply
from conventions import faults_of, faults_of_event, faults_of_metric
from opentelemetry.sdk.trace import ReadableSpan
from otlp_collector import Collector
from test_secrets import SECRET, forms
from traced_runs import attributes, named
from tracing_server import secret_in_every_form

import harness
from harness import FunctionToolset
from harness.diagnosing import diagnose, evaluations_of
from harness.events import ModelCallRetried, RunResumed, WindowCompacted
from harness.redaction import REDACTED
from harness.replay.bundle import write_bundle
from harness.tracing import Tracing, encode_evaluations, encode_line, export_run
from harness.tracing.export import resource_from_environment

pytestmark = pytest.mark.anyio

SERVER = Path(__file__).parent / "tracing_server.py"
BRIEF = {"objective": "Pay.", "expected_output": "A line.", "sources": "", "boundaries": ""}
LONG = " ".join(f"word{number}" for number in range(500))


@pytest.fixture
def http_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of an MCP server over streamable HTTP, in a process of its own."""
    monkeypatch.setenv("SERVICE_TOKEN", SECRET)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(tmp_path / "http.jsonl"), str(port)], stderr=subprocess.DEVNULL
    )
    with anyio.from_thread.start_blocking_portal() as portal:
        portal.call(_listening, process, port)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


async def _listening(process: subprocess.Popen[bytes], port: int) -> None:
    with anyio.fail_after(60):
        while True:
            try:
                await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                return
            except OSError:
                assert process.poll() is None
                await anyio.sleep(0.05)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_AND_EVENT")
    yield collector
    collector.close()


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("SERVICE_TOKEN", SECRET)
    leak = secret_in_every_form()
    lead: list[Reply] = [
        (429, leak),
        (500, leak),
        [
            ("piped.echo", {"text": leak}),
            ("piped.fail", {}),
            ("web.echo", {"text": "over http"}),
            ("web.leak", {}),
            ("desk.burn", {}),
            ("nowhere.found", {}),
            ("piped.echo", {"nonsense": leak}),
        ],
        [("piped.ask", {})],
        [("delegate", {"agent": "clerk", **BRIEF})],
        [("piped.echo", {"text": LONG})],
        [("piped.echo", {"text": LONG + " again"})],
        *[(500, leak)] * 3,
        f"Done. {leak}",
    ]
    clerk: list[Reply] = [[("desk.pay", {})], f"Paid. {leak}"]
    wire = {
        "lead": [_on_the_wire(reply) for reply in lead],
        "clerk": [_on_the_wire(reply) for reply in clerk],
    }
    server = ChatServer(wire, signature=f"sent-with-{SECRET}")
    yield server
    server.close()


def _on_the_wire(reply: Reply) -> Reply:
    return [(name.replace(".", "__"), given) for name, given in reply] if isinstance(reply, list) else reply


def team(folder: Path, chat_url: str, http_url: str) -> Path:
    model = {
        "api": "openai-chat",
        "base_url": chat_url,
        "api_key": "${SERVICE_TOKEN}",
        "context_window": 12_000,
    }
    spec = {
        "harness": 1,
        "name": "everything",
        "entry": "lead",
        "models": {
            "lead": {**model, "model": "lead", "stream": True, "retries": 2, "temperature": 0.5},
            "clerk": {**model, "model": "clerk"},
        },
        "mcpServers": {
            "piped": {
                "command": sys.executable,
                "args": [str(SERVER), str(folder / "piped.jsonl")],
                "env": {"SERVICE_TOKEN": "${SERVICE_TOKEN}"},
                "effects": {"*": "read"},
            },
            "web": {"url": http_url, "effects": {"*": "read"}},
        },
        "agents": {
            "lead": {
                "instructions": "Lead.",
                "model": "lead",
                "tools": ["piped", "web", "desk"],
                "delegates": ["clerk"],
                "context": {
                    "window": "8k",
                    "compact_at": 0.6,
                    "strategies": [{"clear_results": {"keep": 0}}, "drop_turns"],
                },
            },
            "clerk": {"instructions": "Pay.", "model": "clerk", "tools": ["desk"]},
        },
        "permissions": [{"tool": "desk.burn", "allow": "no"}],
    }
    (folder / "team.yaml").write_text(json.dumps(spec))
    return folder / "team.yaml"


def pay() -> str:
    """Pay."""
    raise harness.ToolError(f"no money: {secret_in_every_form()}")


def burn() -> str:
    """Burn."""
    return "burnt"


async def test_a_run_with_every_feature_keeps_to_the_conventions_and_its_secret(
    tmp_path: Path, chat_server: ChatServer, http_server: str, collector: Collector
):
    store, tools = tmp_path / "runs", [FunctionToolset("desk", pay, burn)]
    file = team(tmp_path, chat_server.url, http_server)
    outcomes: list[str] = []
    run_id = ""
    with anyio.fail_after(180):
        for _ in range(4):
            async with harness.open(file, store=store, toolsets=tools) as opened:
                if not run_id:
                    run = await opened.start(f"Go with {SECRET}.", session="s")
                    run_id = run.id
                elif outcomes[-1] == "suspended":
                    run = await opened.approve(run_id, content={"ok": True})
                else:
                    run = await opened.resume(run_id)
                result = await run.result()
                recorded = list(opened.journal.read(run_id))
                write_bundle(opened.journal, [run_id], tmp_path / "run.harness")
            outcomes.append(result.stop_reason)
            if result.stop_reason == "done":
                break
    assert outcomes == ["suspended", "failed", "done"], (outcomes, result.error)
    kinds = [type(item.event) for item in recorded]
    assert {WindowCompacted, RunResumed, ModelCallRetried} <= set(kinds)

    files: list[bytes] = [one.read_bytes() for one in store.rglob("*") if one.is_file()]
    files.append(gzip.decompress((tmp_path / "run.harness").read_bytes()))
    for content in ("off", "new", "full"):
        spans: list[ReadableSpan] = []
        export_run(recorded, spans.append, content=content)
        assert [fault for span in spans for fault in faults_of(span)] == []
        files.append(encode_line(spans))
        check_features(spans)
    found = evaluations_of(diagnose(run_id, store=store))
    assert [
        fault for one in found for fault in faults_of_event("gen_ai.evaluation.result", one.attributes)
    ] == []
    files.append(encode_evaluations(found, 1, resource_from_environment()))

    posted = Tracing.from_environment(tmp_path / "trace.jsonl")
    assert posted
    posted.export(recorded)
    assert posted.close(30).problems == ()
    assert collector.records
    metrics = [
        metric
        for request in collector.metrics
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    assert metrics
    assert [fault for metric in metrics for fault in faults_of_metric(metric)] == []
    files += [*collector.bodies, (tmp_path / "trace.jsonl").read_bytes()]

    for written in files:
        assert [form for form in forms(SECRET) if form in written] == []
    assert sum(written.count(REDACTED.encode()) for written in files) > 100


def check_features(spans: list[ReadableSpan]) -> None:
    """What the run was made for did happen, and is told."""
    piped = [attributes(span) for span in named(spans, "execute_tool piped.echo")]
    web = [attributes(span) for span in named(spans, "execute_tool web.echo")]
    assert {one.get("network.transport") for one in piped} >= {"pipe"}
    assert (web[0]["network.transport"], web[0]["network.protocol.name"]) == ("tcp", "http")
    assert web[0]["server.address"] == "127.0.0.1"
    chats = [attributes(span) for span in named(spans, "chat lead")]
    assert all(one["gen_ai.request.stream"] for one in chats)
    assert any("gen_ai.response.time_to_first_chunk" in one for one in chats)
    assert any(one.get("gen_ai.conversation.compacted") for one in chats)
    assert any(one.get("gen_ai.usage.cache_read.input_tokens") == 50 for one in chats)
    assert {"invoke_agent clerk", "execute_tool desk.burn"} <= {span.name for span in spans}
    errors: set[Any] = {attributes(span).get("error.type") for span in spans}
    assert "tool_error" in errors

"""The service example: a FastAPI application around one harness, run as its reader would run it."""

from __future__ import annotations

import json
import signal
import sysconfig
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import orjson
import pytest
from anyio.abc import Process
from house import Sent, read_events
from served_process import running
from stubborn_client import Milestones, StubbornClient
from surroundings import REPOSITORY, free_port, virtual_environment

from harness.journal import open_journal
from harness.views import event_view

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

APP = REPOSITORY / "examples" / "service" / "app.py"
QUESTIONS = [
    "How long does a refund take?",
    "When does a parcel count as lost?",
    "What does the warranty cover?",
]

Start = Callable[..., AbstractAsyncContextManager[tuple[Process, str]]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with FastAPI, which sees what this project depends on behind it."""
    folder = tmp_path_factory.mktemp("service") / "venv"
    python = virtual_environment(folder, "fastapi>=0.115")
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def start(python: Path, tmp_path: Path) -> Start:
    def run(port: int = 0, *options: str) -> AbstractAsyncContextManager[tuple[Process, str]]:
        command = [str(python), str(APP), "--port", str(port), "--store", "runs", *options]
        return running(command, tmp_path, seconds=120, XDG_CACHE_HOME=str(tmp_path / "cache"))

    return run


class Asking(StubbornClient):
    """A client of the service that does not give up."""

    @property
    def events_path(self) -> str:
        return f"/questions/{self.run_id}/events"

    async def _start(self) -> None:
        name, text = f"q{self.number}", QUESTIONS[self.number % len(QUESTIONS)]
        async with self.http.put(f"{self.url}/questions/{name}", json={"text": text}) as response:
            if response.status == 202:
                self.run_id = name
            else:
                await anyio.sleep(0.2)


async def ask(http: aiohttp.ClientSession, method: str, url: str, **body: Any) -> tuple[int, Any]:
    async with http.request(method, url, json=body or None) as response:
        return response.status, await response.json(content_type=None)


async def events(http: aiohttp.ClientSession, url: str, after: int = -1) -> list[Sent]:
    async with http.get(f"{url}/events", headers={"Last-Event-ID": str(after)}) as response:
        return [sent async for sent in read_events(response)]


async def test_a_question_is_answered_with_its_sources(start: Start):
    async with start() as (_, url), aiohttp.ClientSession() as http:
        status, _ = await ask(http, "PUT", f"{url}/questions/a", text=QUESTIONS[0])
        seen = await events(http, f"{url}/questions/a")
        _, shown = await ask(http, "GET", f"{url}/questions/a")
        unknown, _ = await ask(http, "GET", f"{url}/questions/b")
        empty, told = await ask(http, "PUT", f"{url}/questions/c", text=" ")

    assert (status, unknown, empty) == (202, 404, 400)
    assert "the task is empty" in told["detail"]
    assert [sent.id for sent in seen] == list(range(len(seen)))
    assert shown["status"] == "done"
    assert "within five working days" in shown["answer"]
    assert any(source.startswith("returns.md") for source in shown["sources"])


async def test_a_careful_question_waits_for_a_person_across_a_restart(start: Start):
    async with aiohttp.ClientSession() as http:
        async with start() as (process, url):
            await ask(http, "PUT", f"{url}/questions/a", text=QUESTIONS[0], careful=True)
            seen = await events(http, f"{url}/questions/a")
            _, before = await ask(http, "GET", f"{url}/questions/a")
            process.send_signal(signal.SIGKILL)
        async with start() as (process, url):
            _, after = await ask(http, "GET", f"{url}/questions/a")
            for waiting in after["waiting"]:
                status, told = await ask(
                    http, "POST", f"{url}/questions/a/approve", call=waiting["call"], by="office"
                )
                assert status == 202, told
            while seen[-1].data.get("stop_reason") != "done":
                seen += await events(http, f"{url}/questions/a", seen[-1].id)
            _, shown = await ask(http, "GET", f"{url}/questions/a")

    assert before["status"] == "suspended"
    assert {waiting["tool"] for waiting in before["waiting"]} == {"corpus.read"}
    assert before == after
    assert [sent.id for sent in seen] == list(range(len(seen)))
    assert shown["status"] == "done"
    assert [sent.data["by"] for sent in seen if sent.event == "approval.decided"] == ["office"] * len(
        before["waiting"]
    )


SLOW_TEAM = """\
harness: 1
name: slow
entry: lead
models: {default: {api: scripted, script: [{calls: [{tool: desk.wait}]}]}}
mcpServers: {desk: {module: slow_server}}
agents:
  lead: {instructions: Wait., tools: [desk]}
  careful: {instructions: Wait., tools: [desk]}
"""

SLOW_SERVER = """\
import anyio
from mcp.server.mcpserver import MCPServer


def create(*, base=None, **options):
    server = MCPServer("slow", log_level="ERROR")

    @server.tool()
    async def wait() -> str:
        await anyio.sleep(600)
        return "at last"

    return server
"""


async def test_a_question_can_be_cancelled(start: Start, tmp_path: Path):
    (tmp_path / "slow.yaml").write_text(SLOW_TEAM)
    (tmp_path / "slow_server.py").write_text(SLOW_SERVER)
    async with start(0, "--team", str(tmp_path / "slow.yaml")) as (_, url), aiohttp.ClientSession() as http:
        await ask(http, "PUT", f"{url}/questions/a", text="Go.")
        response = await http.get(f"{url}/questions/a/events")
        stream = read_events(response)
        await until(stream, "tool_call.started")
        cancelled, _ = await ask(http, "DELETE", f"{url}/questions/a")
        rest = [sent async for sent in stream]
        again, _ = await ask(http, "DELETE", f"{url}/questions/a")

    assert (cancelled, again) == (202, 409)
    assert rest[-1].data["stop_reason"] == "cancelled"


async def until(stream: AsyncIterator[Sent], event: str) -> None:
    async for sent in stream:
        if sent.event == event:
            return


async def test_the_request_and_the_run_are_one_trace(start: Start, tmp_path: Path):
    async with start(0, "--trace", "trace.jsonl") as (process, url), aiohttp.ClientSession() as http:
        await ask(http, "PUT", f"{url}/questions/a", text=QUESTIONS[0])
        await events(http, f"{url}/questions/a")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    spans = {
        span["name"]: span
        for line in (tmp_path / "trace.jsonl").read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }
    request, workflow = spans["PUT /questions/{name}"], spans["invoke_workflow help-desk"]
    assert workflow["traceId"] == request["traceId"]
    assert workflow["parentSpanId"] == request["spanId"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_restart_under_load_loses_nothing(start: Start, tmp_path: Path, how: signal.Signals):
    clients = 30
    port = free_port()
    milestones = Milestones(clients, enough=clients * 30)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        crowd = [Asking(http, f"http://127.0.0.1:{port}", number, milestones) for number in range(clients)]
        async with anyio.create_task_group() as tasks:
            async with start(port) as (process, _):
                for client in crowd:
                    tasks.start_soon(client.run)
                await milestones.half_way.wait()
                process.send_signal(how)
                code = await process.wait()
            async with start(port) as (process, _):
                await milestones.all_done.wait()

    assert code == (-signal.SIGKILL if how is signal.SIGKILL else 0)
    journal = open_journal(tmp_path / "runs", write=False)
    for client in crowd:
        recorded = [orjson.loads(orjson.dumps(event_view(item))) for item in journal.read(client.run_id)]
        assert [sent.data for sent in client.seen] == recorded
        assert client.sequences == list(range(len(recorded)))
    assert len(journal.runs()) == clients

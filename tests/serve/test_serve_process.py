"""`harness serve` as a process: what it refuses, and how it stops."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from house import Sent, read_events
from served_process import harness, served

TEAM = """\
harness: 1
name: waiting
entry: lead
models:
  default: {api: scripted, script: [{calls: [{tool: slow.wait}]}, {say: Done.}]}
mcpServers:
  slow: {module: slow_server}
agents:
  lead: {instructions: Wait., tools: [slow]}
"""

SLOW_SERVER = """\
import anyio
from pathlib import Path
from mcp.server.mcpserver import MCPServer


def create(*, base=None, **options):
    server = MCPServer("slow", log_level="ERROR")

    @server.tool()
    async def wait() -> str:
        while not Path("go").exists():
            await anyio.sleep(0.02)
        return "gone"

    return server
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "team.yaml").write_text(TEAM)
    (tmp_path / "slow_server.py").write_text(SLOW_SERVER)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "0.0.0.0 can be reached from other machines"),
        (("--host", "::"), "HARNESS_TOKEN"),
        (("--agent", "nobody"), "the team has no such agent; it has lead"),
    ],
)
def test_what_would_let_everybody_in_is_refused(folder: Path, options: tuple[str, ...], said: str):
    done = harness("serve", "team.yaml", *options, cwd=folder)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.anyio
async def test_a_port_that_is_taken_is_named(folder: Path):
    async with served(folder) as (_, url):
        done = await anyio.to_thread.run_sync(
            lambda: harness("serve", "team.yaml", "--port", url.rpartition(":")[2], cwd=folder)
        )

    assert done.returncode == 2
    assert "Address already in use; try another --port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.anyio
async def test_tokens_come_from_the_environment(folder: Path):
    async with served(folder, HARNESS_TOKEN="one, two") as (_, url), aiohttp.ClientSession() as http:
        statuses: list[int] = []
        for token in ("one", "two", "one, two"):
            async with http.get(f"{url}/runs", headers={"Authorization": f"Bearer {token}"}) as response:
                statuses.append(response.status)

    assert statuses == [200, 200, 401]


@pytest.mark.anyio
async def test_told_to_stop_it_lets_runs_end_and_takes_no_more_in(folder: Path):
    async with served(folder) as (process, url), aiohttp.ClientSession() as http:
        run_id, events = await start_and_follow(http, url)
        process.send_signal(signal.SIGTERM)
        while (status := await status_of(http, f"{url}/readyz")) == 200:
            pass
        refused = await status_of(http, f"{url}/runs", json={"task": "More."})
        (folder / "go").touch()
        last = [sent async for sent in events][-1]
        code = await process.wait()

    assert (status, refused, code) == (503, 503, 0)
    assert (last.event, last.data["stop_reason"], last.data["output"]) == ("run.finished", "done", "Done.")
    assert run_id


@pytest.mark.anyio
async def test_what_does_not_end_in_time_is_interrupted_and_its_stream_ends(folder: Path):
    async with served(folder, "--grace", "0.1") as (process, url), aiohttp.ClientSession() as http:
        run_id, events = await start_and_follow(http, url)
        process.send_signal(signal.SIGTERM)
        last = [sent async for sent in events][-1]
        code = await process.wait()

    assert (last.event, last.data["stop_reason"]) == ("run.finished", "interrupted")
    assert code == 0
    shown = harness("show", run_id, "--json", cwd=folder).stdout.splitlines()
    assert '"stop_reason":"interrupted"' in shown[-1]


@pytest.mark.anyio
async def test_a_second_signal_leaves_at_once(folder: Path):
    async with served(folder, "--grace", "60") as (process, url), aiohttp.ClientSession() as http:
        await start_and_follow(http, url)
        process.send_signal(signal.SIGINT)
        while await status_of(http, f"{url}/readyz") == 200:
            pass
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(10):
            await process.wait()


async def start_and_follow(http: aiohttp.ClientSession, url: str) -> tuple[str, AsyncIterator[Sent]]:
    """Start a run and return its id, and its stream once its tool is at work."""
    async with http.post(f"{url}/runs", json={"task": "Go."}) as response:
        run_id: str = (await response.json())["run_id"]
    stream = read_events(await http.get(f"{url}/runs/{run_id}/events"))
    async for sent in stream:
        if sent.event == "tool_call.started":
            break
    return run_id, stream


async def status_of(http: aiohttp.ClientSession, url: str, **body: Any) -> int:
    async with http.request("POST" if body else "GET", url, **body) as response:
        return response.status

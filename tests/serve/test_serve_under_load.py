"""Many clients at once, and a server that is killed in the middle: nobody loses or repeats anything."""

from __future__ import annotations

import signal
from pathlib import Path

import aiohttp
import anyio
import orjson
import pytest
from served_process import served
from stubborn_client import Milestones, StubbornClient
from surroundings import free_port

from harness.journal import open_journal
from harness.views import event_view

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(400)]

TURNS = 8

TEAM = f"""\
harness: 1
name: busy
entry: lead
models:
  default:
    api: scripted
    script:
{"".join(f"      - calls: [{{tool: desk.look, arguments: {{number: {n}}}}}]{chr(10)}" for n in range(TURNS))}
      - {{say: Looked everywhere.}}
mcpServers:
  desk: {{module: looking_server, effects: {{"*": read}}}}
agents:
  lead: {{instructions: Look., tools: [desk]}}
limits: {{turns: 50}}
"""

LOOKING_SERVER = """\
import anyio
from mcp.server.mcpserver import MCPServer


def create(*, base=None, **options):
    server = MCPServer("looking", log_level="ERROR")

    @server.tool()
    async def look(number: int) -> str:
        await anyio.sleep(0.2)
        return f"nothing at {number}"

    return server
"""


@pytest.mark.parametrize(
    ("clients", "how"), [(20, signal.SIGKILL), (20, signal.SIGTERM), (200, signal.SIGKILL)]
)
async def test_every_run_finishes_and_every_client_sees_every_event_once(
    tmp_path: Path, clients: int, how: signal.Signals
):
    (tmp_path / "team.yaml").write_text(TEAM)
    (tmp_path / "looking_server.py").write_text(LOOKING_SERVER)
    port = free_port()
    options = ["--max-runs", str(clients), "--store", "runs", "--grace", "0.1"]
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        milestones = Milestones(clients, enough=clients * TURNS * 7 // 2)
        url = f"http://127.0.0.1:{port}"
        crowd = [StubbornClient(http, url, number, milestones) for number in range(clients)]
        with anyio.fail_after(300):
            async with anyio.create_task_group() as tasks:
                async with served(tmp_path, *options, port=port, seconds=300) as (process, _):
                    for client in crowd:
                        tasks.start_soon(client.run)
                    await milestones.half_way.wait()
                    process.send_signal(how)
                    await process.wait()
                cut = sum(not client.done for client in crowd)
                async with served(tmp_path, *options, port=port, seconds=300) as (process, _):
                    await milestones.all_done.wait()
                    process.send_signal(signal.SIGTERM)
                    assert await process.wait() == 0

    assert cut > clients / 2
    assert len({client.run_id for client in crowd}) == clients
    journal = open_journal(tmp_path / "runs", write=False)
    for client in crowd:
        recorded = [orjson.loads(orjson.dumps(event_view(item))) for item in journal.read(client.run_id)]
        assert client.sequences == list(range(len(recorded)))
        assert [sent.data for sent in client.seen] == recorded
        assert client.seen[-1].data["output"] == "Looked everywhere."
    assert len(journal.runs()) == clients

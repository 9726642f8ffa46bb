"""A team that is really served: over TCP on the loopback interface, in the test's own event loop."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import aiohttp
import anyio
import orjson
import uvicorn

import harness
from harness import FunctionToolset, MemoryJournal
from harness.events import EffectClass
from harness.journal import Journal
from harness.models.port import Model
from harness.serve import ServeOptions, create_app

DEADLINE = 30
"""Seconds after which a test is taken to hang."""

HEAD = """\
harness: 1
name: house
entry: lead
models: {default: {api: scripted, script: [{say: Nothing to add.}]}}
mcpServers: {desk: {module: given.by.the.test, disabled: true}}
"""

ALONE = "agents: {lead: {description: Answers., instructions: Answer., tools: [desk]}}"

PAIR = """\
agents:
  lead: {description: Leads., instructions: Lead., tools: [desk], delegates: [scout]}
  scout: {description: Finds things., instructions: Scout., tools: [desk]}
"""


@dataclass
class House:
    """A server and a client of it."""

    harness: harness.Harness
    url: str
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **options: Any) -> Reply:
        """Send a request and read the whole answer."""
        async with self.http.request(method, self.url + path, **options) as response:
            body = await response.read()
            is_json = response.content_type == "application/json"
            return Reply(response.status, response.headers, orjson.loads(body) if is_json else body)

    async def start(self, task: str = "Where is X?", **body: Any) -> str:
        """Start a run and return its id."""
        reply = await self.ask("POST", "/runs", json={"task": task, **body})
        assert reply.status == 202, reply.body
        return reply.body["run_id"]

    async def events(self, run_id: str, after: int | None = None) -> list[Sent]:
        """Read a run's stream to its end."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        async with self.http.get(f"{self.url}/runs/{run_id}/events", headers=headers) as response:
            assert response.status == 200, await response.text()
            return [sent async for sent in read_events(response)]


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Sent:
    """One server-sent event."""

    id: int
    event: str
    data: Any


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[Sent]:
    """Yield server-sent events as they come; comments are passed over."""
    fields: dict[str, str] = {}
    async for line in response.content:
        text = line.decode().rstrip("\n")
        if text and not text.startswith(":"):
            name, _, value = text.partition(": ")
            fields[name] = value
        elif not text:
            if "data" in fields:
                yield Sent(int(fields["id"]), fields["event"], orjson.loads(fields["data"]))
            fields = {}


@asynccontextmanager
async def house(
    folder: Path,
    agents: str = ALONE,
    *,
    options: ServeOptions | None = None,
    store: Journal | Path | None = None,
    desk: Sequence[Callable[..., Any]] = (),
    token: str = "",
    seconds: float = DEADLINE,
    effect: EffectClass = "once",
    **models: Model,
) -> AsyncIterator[House]:
    """Serve a team; the functions of `desk` are the tools `desk.*`."""
    file = folder / "team.yaml"
    file.write_text(HEAD + dedent(agents))
    with anyio.fail_after(seconds):
        async with harness.open(
            file,
            store=MemoryJournal() if store is None else store,
            models=models,
            toolsets=[FunctionToolset("desk", *desk, effect=effect)],
        ) as opened:
            app = create_app(opened, options=options or ServeOptions())
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with listening(app) as url, aiohttp.ClientSession(headers=headers) as http:
                yield House(opened, url, http)


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """Serve an application on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        config = uvicorn.Config(
            app, log_level="warning", lifespan="on", ws="none", timeout_graceful_shutdown=2
        )
        server = _Quiet(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            await server.ready.wait()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True


class _Quiet(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()

    def install_signal_handlers(self) -> None:
        pass

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class Gate:
    """A tool that does not return until the test lets it."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.opened = anyio.Event()

    async def wait(self) -> str:
        """Wait."""
        self.entered.set()
        await self.opened.wait()
        return "the gate is open"

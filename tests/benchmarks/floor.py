"""The floor: what a careful engineer writes by hand for these workloads, and nothing besides.

aiohttp to the model in the API that the harness speaks too, the `mcp` client to the tools, orjson over a
list of messages, a task per sub-agent. No journal, no traces, no limits, no errors handled: less than this does not do the work.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from mcp import Client, StdioServerParameters

from tests.benchmarks import measure, tool_server
from tests.benchmarks.floor_wires import FLOOR_WIRES, Call, FloorWire, Tool
from tests.benchmarks.workloads import Workload

_TOOL_SERVER = str(Path(tool_server.__file__).resolve())
_HEADERS = {"content-type": "application/json", "authorization": "Bearer none"}
_WORKER = "You do what the task says with the tools you have, and report in one line."
_LEAD = "You delegate the work to your sub-agents, all at once, and report in one line."
_DELEGATE = Tool(
    "delegate",
    "Give a sub-agent a task; its report comes back.",
    {
        "type": "object",
        "properties": {"agent": {"type": "string", "enum": ["worker"]}, "objective": {"type": "string"}},
        "required": ["agent", "objective"],
    },
)


@dataclass(frozen=True, slots=True)
class Floor:
    """The loop and the two connections it needs."""

    session: aiohttp.ClientSession
    tools: Client
    worker_tools: list[Tool]
    wire: FloorWire
    url: str
    stream: bool

    async def work(self, task: str) -> str:
        """Do a task as the worker."""
        return await self._loop(_WORKER, task, self.worker_tools)

    async def lead(self, task: str) -> str:
        """Do a task as the orchestrator."""
        return await self._loop(_LEAD, task, [_DELEGATE])

    async def _loop(self, instructions: str, task: str, tools: list[Tool]) -> str:
        request, items = self.wire.begin(instructions, task, tools, stream=self.stream)
        while True:
            said = self.wire.read(await self._respond(request))
            items += said.items
            if not said.calls:
                return said.text
            texts = await self._run_all(said.calls)
            items += self.wire.results(zip(said.calls, texts, strict=True))

    async def _respond(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self.session.post(self.url, data=orjson.dumps(request), headers=_HEADERS) as response:
            if self.stream:
                return await self.wire.gather(_events(response))
            return orjson.loads(await response.read())

    async def _run_all(self, calls: list[Call]) -> list[str]:
        if len(calls) == 1:
            return [await self._run(calls[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._run(call)) for call in calls]
        return [task.result() for task in tasks]

    async def _run(self, call: Call) -> str:
        if call.name == "delegate":
            return await self.work(call.arguments["objective"])
        result = await self.tools.call_tool(call.name, call.arguments)
        return result.content[0].text


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[dict[str, Any]]:
    """Yield the events of a stream as they arrive."""
    waiting = b""
    async for chunk in response.content.iter_any():
        *lines, waiting = (waiting + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                yield orjson.loads(line[6:])


@asynccontextmanager
async def open_floor(workload: Workload, base_url: str) -> AsyncGenerator[measure.Ask]:
    """Connect to model and tools and yield what does the workload's tasks."""
    server = (
        tool_server.create()
        if workload.in_process
        else StdioServerParameters(command=sys.executable, args=[_TOOL_SERVER])
    )
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, Client(server) as tools:
        listed = (await tools.list_tools()).tools
        worker_tools = [Tool(tool.name, tool.description or "", tool.input_schema) for tool in listed]
        wire = FLOOR_WIRES[workload.api]()
        url = base_url + wire.path(stream=workload.stream)
        floor = Floor(session, tools, worker_tools, wire, url, workload.stream)
        yield floor.lead if workload.name == "w2" else floor.work


if __name__ == "__main__":
    measure.main(open_floor)

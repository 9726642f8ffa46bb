"""The floor: what a careful engineer writes by hand for these workloads, and nothing besides.

aiohttp to the model, the `mcp` client to the tools, orjson over a list of messages, a task per
sub-agent. No journal, no traces, no limits, no errors handled: less than this does not do the work.
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
from tests.benchmarks.workloads import Workload

_TOOL_SERVER = str(Path(tool_server.__file__).resolve())
_HEADERS = {"content-type": "application/json", "authorization": "Bearer none"}
_WORKER = "You do what the task says with the tools you have, and report in one line."
_LEAD = "You delegate the work to your sub-agents, all at once, and report in one line."
_DELEGATE = {
    "type": "function",
    "function": {
        "name": "delegate",
        "description": "Give a sub-agent a task; its report comes back.",
        "parameters": {
            "type": "object",
            "properties": {
                "agent": {"type": "string", "enum": ["worker"]},
                "objective": {"type": "string"},
            },
            "required": ["agent", "objective"],
        },
    },
}


@dataclass(frozen=True, slots=True)
class Floor:
    """The loop and the two connections it needs."""

    session: aiohttp.ClientSession
    tools: Client
    worker_tools: list[dict[str, Any]]
    url: str

    async def work(self, task: str) -> str:
        """Do a task as the worker."""
        return await self._loop(_WORKER, task, self.worker_tools)

    async def lead(self, task: str) -> str:
        """Do a task as the orchestrator."""
        return await self._loop(_LEAD, task, [_DELEGATE])

    async def _loop(self, instructions: str, task: str, tools: list[dict[str, Any]]) -> str:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": instructions},
            {"role": "user", "content": task},
        ]
        while True:
            message = await self._respond({"model": "bench", "messages": messages, "tools": tools})
            messages.append(message)
            calls = message.get("tool_calls")
            if not calls:
                return message["content"]
            for call, text in zip(calls, await self._run_all(calls), strict=True):
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})

    async def _respond(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self.session.post(self.url, data=orjson.dumps(request), headers=_HEADERS) as response:
            return orjson.loads(await response.read())["choices"][0]["message"]

    async def _run_all(self, calls: list[dict[str, Any]]) -> list[str]:
        if len(calls) == 1:
            return [await self._run(calls[0]["function"])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._run(call["function"])) for call in calls]
        return [task.result() for task in tasks]

    async def _run(self, function: dict[str, str]) -> str:
        arguments = orjson.loads(function["arguments"])
        if function["name"] == "delegate":
            return await self.work(arguments["objective"])
        result = await self.tools.call_tool(function["name"], arguments)
        return result.content[0].text


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
        worker_tools = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.input_schema,
                },
            }
            for tool in listed
        ]
        floor = Floor(session, tools, worker_tools, f"{base_url}/chat/completions")
        yield floor.lead if workload.name == "w2" else floor.work


if __name__ == "__main__":
    measure.main(open_floor)

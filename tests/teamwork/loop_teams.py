"""What the loop's tests share: a server with a few tools, and one way to run a team to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio

import harness
from harness import MemoryJournal, RunResult, ScriptedModel
from harness.events import Recorded

SERVER = '''
import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

def create(*, base=None, **options):
    server = MCPServer("desk", log_level="ERROR")
    meeting = {"waiting": 0, "event": None}

    @server.tool()
    def echo(text: str, times: int = 1) -> str:
        return " ".join([text] * times)

    @server.tool()
    def fail(why: str) -> str:
        raise ToolError(f"it failed: {why}")

    @server.tool()
    async def meet(people: int) -> str:
        """Return once so many calls wait here at the same time."""
        if meeting["event"] is None:
            meeting["event"] = anyio.Event()
        meeting["waiting"] += 1
        if meeting["waiting"] >= people:
            meeting["event"].set()
        with anyio.fail_after(5):
            await meeting["event"].wait()
        return "met"

    @server.tool()
    async def sleep() -> str:
        await anyio.sleep(60)
        return "slept"

    @server.tool()
    def page(name: str) -> str:
        return {
            "a": "<<< docs/a.md:10-12 | A\\nThe journal is the truth of\\nevery run there is.\\nNothing else is.\\n>>>",
            "b": "<<< docs/b.md:1-1 | B\\nWindows are computed from events.\\n>>>",
        }[name]

    return server
'''

TEAM = """\
harness: 1
name: loop
entry: lead
mcpServers:
  desk: {module: loop_desk_server}
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [scout, scribe], description: Leads.}
  scout: {instructions: Scout., tools: [desk], description: Scouts.}
  scribe: {instructions: Scribe., description: Writes.}
"""


class Played:
    """A run that is over: its result, its events, its state."""

    def __init__(self, result: RunResult, recorded: list[Recorded], state: harness.RunState) -> None:
        self.result = result
        self.recorded = recorded
        self.state = state

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of one class, in order."""
        return [item.event for item in self.recorded if isinstance(item.event, kind)]


async def play(folder: Path, *overrides: str, team: str = TEAM, **models: ScriptedModel) -> Played:
    """Run the team with these models to its end."""
    (folder / "loop_desk_server.py").write_text(SERVER)
    (folder / "team.yaml").write_text(team)
    with anyio.fail_after(30):
        async with harness.open(
            folder / "team.yaml", store=MemoryJournal(), models=models, overrides=overrides
        ) as opened:
            run = await opened.start("the task")
            recorded = [item async for item in run.events()]
            return Played(await run.result(), recorded, run.state)


def brief(agent: str, objective: str = "look") -> dict[str, str]:
    """Return the arguments of `delegate`."""
    return {"agent": agent, "objective": objective, "expected_output": "x", "sources": "x", "boundaries": "x"}


def task(
    name: str, agent: str = "scout", *, needs: tuple[str, ...] = (), objective: str = "look"
) -> dict[str, Any]:
    """Return one task of a plan."""
    return {"id": name, **brief(agent, objective), "needs": list(needs)}

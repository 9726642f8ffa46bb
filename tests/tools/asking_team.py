"""A team whose one agent calls one tool that asks; as a script, a process to be killed while it waits.

    python asking_team.py FOLDER

The folder holds `team.yaml`; the runs are kept beside it. The process says so when its question is on disk.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

import harness
from harness import Recorded, calls, says, scripted
from harness.events import ApprovalDecided, ApprovalRequested, ToolCallFinished, ToolCallStarted
from harness.replay import carry_out_again
from harness.team import ServerSpec

KEY = "lead/turn-1/0"


class AskingTeam:
    """A team over one store, opened as often as there are processes that want to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, spec: ServerSpec, name: str, arguments: Mapping[str, Any], effect: str = "once") -> None:
        """Write the team file; its agent calls `name` and says what came of it."""
        server = {**spec.model_dump(mode="json", exclude_defaults=True), "effects": {"*": effect}}
        team = {
            "harness": 1,
            "name": "asking",
            "entry": "lead",
            "mcpServers": {"s": server},
            "agents": {"lead": {"instructions": name, "tools": ["s"]}},
        }
        (self.folder / "team.yaml").write_text(json.dumps(team))
        (self.folder / "call.json").write_text(json.dumps({"name": name, "arguments": arguments}))

    def models(self) -> dict[str, harness.ScriptedModel]:
        call = json.loads((self.folder / "call.json").read_text())
        first = calls(call["name"], **call["arguments"])
        return {"lead": scripted(first, lambda messages: says(messages[-1].text))}

    def open(self) -> Any:
        """Open the team as one process more."""
        return harness.open(self.folder / "team.yaml", store=self.folder / "runs", models=self.models())

    async def suspended(self) -> str:
        """Run the team until it waits for a person; return the id of the run."""
        async with self.open() as opened:
            run = await opened.start("Go.")
            result = await run.result()
        assert (result.stop_reason, result.waiting) == ("suspended", (KEY,)), result
        return run.id

    async def answered(self, run_id: str, **answer: Any) -> harness.RunResult:
        """Answer the question that waits, as another process would, and carry the run on."""
        async with self.open() as opened:
            run = await opened.approve(run_id, **answer)
            result = await run.result()
            recorded = list(opened.journal.read(run_id))
            assert harness.fold(recorded) == run.state
            assert (await carry_out_again(recorded, opened.team, self.models())).exact
        return result

    async def recorded(self, run_id: str) -> Sequence[Recorded]:
        async with self.open() as opened:
            return list(opened.journal.read(run_id))

    async def story(self, run_id: str) -> list[str]:
        """What happened in the call, in short."""
        told: list[str] = []
        for item in await self.recorded(run_id):
            match item.event:
                case ToolCallStarted(attempt=attempt):
                    told.append(f"attempt {attempt}")
                case ApprovalRequested(kind=kind, number=number, inline=inline):
                    told.append(f"{kind} {number}{' meanwhile' if inline else ''}")
                case ApprovalDecided(decision=decision, number=number):
                    told.append(f"{decision} {number}")
                case ToolCallFinished(is_error=failed):
                    told.append("failed" if failed else "done")
                case _:
                    pass
        return told


async def wait_for_ever(folder: Path) -> None:
    """Run the team with a person there who never answers."""
    async with AskingTeam(folder).open() as opened:
        run = await opened.start("Go.")
        run.be_patient()
        async for recorded in run.events():
            if isinstance(recorded.event, ApprovalRequested):
                await opened.journal.durable()
                print(run.id, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "servers"))
    anyio.run(wait_for_ever, Path(sys.argv[1]))

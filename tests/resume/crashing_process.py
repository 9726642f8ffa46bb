"""A process that makes processes which run, resume and die; each is new, and none costs an import.

    python crashing_process.py

Reads one JSON object a line: `{"begin": "start" | "resume", "folder": ..., "scene": {...}, "act": {...}}`.
For each it forks a process from one that has imported the harness and done nothing else, waits for its
end, and writes a line with its status (-9 if it was killed) and what it came to, if it did.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
import crash_teams
import mcp.client.stdio  # noqa: F401  # imported once for all
from crash_points import Act, Crash, CrashingJournal
from crash_teams import Desk, Scene
from outside_world import World

import harness
import harness.models.tokens
import harness.tools.hub
from harness.errors import ModelUnavailable, innermost
from harness.events import ApprovalRequested
from harness.harness import Harness
from harness.journal import open_journal
from harness.replay import carry_out_again
from harness.run import Run, RunResult

RUN = "run"

DEADLINE = 30
"""Seconds after which a process is taken to hang and is killed."""


class Stage:
    """One process with its team, its store and its world."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.folder = Path(order["folder"])
        self.scene = Scene(**order["scene"])
        crash = order["act"].pop("crash")
        self.act = Act(Crash(**crash) if crash else None, **order["act"])
        self.world = World(self.folder / "world", victim=os.getpid())
        store = self.folder / ("store" if self.scene.store == "directory" else "store.db")
        self.stopping = anyio.Event()
        self.journal = CrashingJournal(open_journal(store, write=True), self.act.crash, self.stopping.set)
        self.asked: list[str] = []
        self._requests = 0

    async def play(self, begin: str) -> dict[str, Any]:
        crash = self.act.crash
        if crash and crash.at == "effect":
            self.world.kill_after(crash.about)
        toolsets = []
        if self.scene.outside == "function":
            toolsets = [Desk(self.world, asks=self.scene.asks, hangs=self.act.hangs)]
        async with harness.open(
            self.scene.write_team(self.folder),
            store=self.journal,
            models=self.scene.models(self._asked),
            toolsets=toolsets,
            overrides=self.act.overrides,
        ) as opened:
            async with anyio.create_task_group() as around:
                around.start_soon(self._stop, opened)
                start = opened.start("Do it.", run_id=RUN) if begin == "start" else opened.resume(RUN)
                run, result = await self._see_through(opened, await start)
                around.cancel_scope.cancel()
            told = await self._tell(opened, run, result)
        await self.journal.close()
        return told

    async def _stop(self, opened: Harness) -> None:
        """Stop the run in an orderly way, if that is how it is to be stopped."""
        await self.stopping.wait()
        if self.act.crash and self.act.crash.how == "drain":
            await opened.drain()
        else:
            await opened.live[RUN].cancel(reason="interrupted")

    def _asked(self, model: str, digest: str) -> None:
        if model in self.act.down:
            raise ModelUnavailable(f"{model} cannot be reached")
        self.world.ask(model, digest)
        crash = self.act.crash
        if crash and crash.at == "request" and crash.about in ("", model):
            self._requests += 1
            if self._requests == crash.nth:
                self.journal.die(RUN)

    async def _see_through(self, opened: Harness, run: Run) -> tuple[Run, RunResult]:
        """Answer what the run wants to know, as this person would, until it ends."""
        while True:
            result = await run.result()
            if result.stop_reason != "suspended" or self.act.person == "nobody":
                return run, result
            for question in run.waiting:
                label = json.loads(question.arguments)["label"]
                said = self._answer(question, label)
                run = await opened.approve(
                    run.id, question.key, by="person", reason=f"{label} is done", **said
                )

    def _answer(self, question: ApprovalRequested, label: str) -> dict[str, Any]:
        """Say what happened, and yes to everything else."""
        if question.kind != "in_doubt":
            return {"content": {"sure": True} if question.kind == "elicitation" else None}
        self.asked.append(question.key)
        done = {line.name for line in self.world.effects()}
        return {"happened": label in done if self.act.person == "truthful" else self.act.person == "yes"}

    async def _tell(self, opened: Harness, run: Run, result: RunResult) -> dict[str, Any]:
        await self.journal.durable(run.id)
        recorded = list(self.journal.read(run.id))
        again = await carry_out_again(recorded, opened.team, self.scene.models(lambda model, digest: None))
        return {
            "stop_reason": result.stop_reason,
            "output": result.output,
            "error": result.error,
            "usage": asdict(result.usage),
            "cost": result.cost,
            "waiting": list(result.waiting),
            "asked": self.asked,
            "fold_is_state": harness.fold(recorded) == run.state,
            "replay": [str(d) for d in again.divergences]
            + [f"missing {m.event.type}" for m in again.missing],
        }


async def play_on_stage(order: dict[str, Any]) -> dict[str, Any]:
    return await Stage(order).play(order["begin"])


def play(order: dict[str, Any], answer: int) -> None:
    """Be the process that was asked for; does not return."""
    signal.alarm(DEADLINE)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    try:
        told = anyio.run(play_on_stage, order)
    except BaseException as error:
        cause = innermost(error)
        told = {"raised": type(cause).__name__, "message": str(cause), "trace": traceback.format_exc()}
    with os.fdopen(answer, "w") as file:
        json.dump(told, file)
    os._exit(0)


def main() -> None:
    harness.models.tokens.token_counter()("warm")
    for line in sys.stdin:
        order = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            play(order, write)
        os.close(write)
        with os.fdopen(read) as file:
            said = file.read()
        _, status = os.waitpid(child, 0)
        World(Path(order["folder"]) / "world").settle()
        told = json.loads(said) if said else None
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "told": told}), flush=True)


if __name__ == "__main__":
    assert crash_teams
    main()

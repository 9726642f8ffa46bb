"""Many runs at once, each of which writes lines into one diary; as a program, the process that is killed.

write FOLDER STORE RUNS LINES [TELL_AT [die]]  every run from its beginning to its end
finish FOLDER STORE LINES [die]                every run that was cut off; the diary says what is in doubt
drain FOLDER STORE RUNS LINES GRACE            until SIGTERM, and then for GRACE seconds
serve FOLDER STORE RUNS LINES GRACE            the same behind `harness.serve`

Each prints one JSON object when it is through, and one before, at the TELL_ATth line or when it waits
to be told to stop; with `die` it is killed then. A run has one line after the other written until it has as many as it shall.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from diary import Diary

import harness
from harness import FunctionToolset, Message, calls, says, scripted
from harness.errors import StoreError
from harness.journal import Journal, open_journal
from harness.run import Run, RunResult
from harness.serve import ServeOptions, create_app
from harness.serve import serve as serve_app

ANSWER = "All lines are written."

OPEN = ("interrupted", "suspended")
"""How a run ended that is to be carried on."""

TEAM = """\
harness: 1
name: crowd
entry: writer
mcpServers: {diary: {module: given.by.the.test, disabled: true}}
agents:
  writer: {instructions: Write your lines down one by one., tools: [diary], limits: {turns: 1000000}}
"""


class Watched:
    """A journal that knows how long it was waited for."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.waits: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def durable(self, run_id: str = "") -> None:
        """Wait for the disk, and remember how long that took."""
        began = time.perf_counter()
        await self._journal.durable(run_id)
        self.waits.append(time.perf_counter() - began)

    def figures(self) -> dict[str, object]:
        """Return the number of waits and commits, and what a wait took in milliseconds."""
        waits = sorted(self.waits) or [0.0]
        return {
            "waits": len(self.waits),
            "commits": getattr(self._journal, "commits", None),
            "p50_ms": round(1000 * waits[len(waits) // 2], 1),
            "p99_ms": round(1000 * waits[len(waits) * 99 // 100], 1),
        }


def write_next_line(messages: Sequence[Message], *, lines: int) -> Message:
    """Ask for the line that follows those that are written, or say that all are."""
    written = sum(message.role == "tool" for message in messages)
    writer = next(message.text for message in messages if message.role == "user").rpartition(" ")[2]
    return calls("diary.write", writer=int(writer), line=written) if written < lines else says(ANSWER)


@asynccontextmanager
async def opened(
    folder: Path, journal: Journal, diary: Diary, *, lines: int, tell_at: int = 0
) -> AsyncIterator[harness.Harness]:
    """Open the team whose runs write `lines` lines each; say when `tell_at` are written in all."""
    written = 0

    async def write(writer: int, line: int) -> str:
        nonlocal written
        diary.tell("line", writer, line)
        written += 1
        if written == tell_at:
            say({"written": written})
        # Long enough to be kept as content of its own, and new each time.
        return f"line {line} of writer {writer} is written{'.' * 400}"

    file = folder / "team.yaml"
    if not file.exists():
        file.write_text(TEAM)
    models = {"writer": scripted(partial(write_next_line, lines=lines))}
    tools = [FunctionToolset("diary", write)]
    async with harness.open(file, store=journal, models=models, toolsets=tools) as h:
        yield h


async def write(folder: Path, store: str, runs: str, lines: str, tell_at: str = "0", then: str = "") -> None:
    """Have all runs write their lines, side by side, and tell what became of them."""
    diary = Diary(folder / "diary")
    ends: Counter[str] = Counter()

    async def one(h: harness.Harness, number: int) -> None:
        try:
            run = await h.start(f"Write your lines down, number {number}")
            diary.tell("began", number, run.id)
            result = await run.result()
            diary.tell("ended", number, run.id, result.stop_reason)
            ends[result.stop_reason] += 1
        except StoreError as error:
            ends[str(error)] += 1

    journal = Watched(open_store(store))
    async with opened(folder, journal, diary, lines=int(lines), tell_at=int(tell_at)) as h:
        began, held_up = time.perf_counter(), seconds_held_up()
        async with anyio.create_task_group() as tasks:
            for number in range(int(runs)):
                tasks.start_soon(one, h, number)
        seconds = time.perf_counter() - began
        held_up = seconds_held_up() - held_up
        say({"ends": ends, "seconds": seconds, "held_up": held_up, **journal.figures()})
        if then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
    await journal.close()


async def finish(folder: Path, store: str, lines: str, then: str = "") -> None:
    """Carry all runs on to their end, and tell what was asked."""
    diary = Diary(folder / "diary")
    written = diary.lines
    asked: list[str] = []
    results: list[RunResult] = []

    async def carry(h: harness.Harness, run: Run) -> None:
        result = await run.result()
        while result.stop_reason == "suspended":
            [question] = run.waiting
            assert question.kind == "in_doubt"
            asked.append(f"{run.id} {question.key}")
            wanted = json.loads(question.arguments)
            happened = (wanted["writer"], wanted["line"]) in written
            run = await h.approve(run.id, happened=happened, by="the diary")
            result = await run.result()
        results.append(result)

    journal = Watched(open_store(store))
    async with opened(folder, journal, diary, lines=int(lines)) as h:
        began = time.perf_counter()
        while any(run.finished is None or run.finished.stop_reason in OPEN for run in journal.runs()):
            resumed = await h.resume_all()
            async with anyio.create_task_group() as tasks:
                for run in resumed:
                    tasks.start_soon(carry, h, run)
            if not resumed:
                # A database takes a killed process to be alive for a while.
                await anyio.sleep(0.5)
        seconds = time.perf_counter() - began
        ends = Counter((result.stop_reason, result.output) for result in results)
        say({"ends": sorted(ends.items()), "asked": asked, "seconds": seconds, **journal.figures()})
        if then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
    await journal.close()


async def drain(folder: Path, store: str, runs: str, lines: str, grace: str) -> None:
    """Have all runs write their lines until the process is told to stop."""
    diary = Diary(folder / "diary")
    journal = Watched(open_store(store))
    async with opened(folder, journal, diary, lines=int(lines)) as h:
        live = await begin(h, diary, int(runs))
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            say({"live": len(h.live)})
            async for _ in signals:
                break
        began = time.perf_counter()
        await h.drain(float(grace))
        seconds = time.perf_counter() - began
        diary.tell("drained")
        ends = Counter([(await run.result()).stop_reason for run in live])
    await journal.close()
    say({"ends": ends, "seconds": seconds, **journal.figures()})


async def serve(folder: Path, store: str, runs: str, lines: str, grace: str) -> None:
    """Have all runs write their lines while they are served, until the process is told to stop."""
    diary = Diary(folder / "diary")
    journal = open_store(store)
    async with opened(folder, journal, diary, lines=int(lines)) as h:
        app = create_app(h, options=ServeOptions(grace_seconds=float(grace), carry_on=False))
        await begin(h, diary, int(runs))
        await serve_app(app, port=0, on_listening=lambda _: say({"live": len(h.live)}))
        diary.tell("drained")
    await journal.close()


async def begin(h: harness.Harness, diary: Diary, runs: int) -> list[Run]:
    """Start all runs, side by side."""
    started: list[Run] = []

    async def start(number: int) -> None:
        run = await h.start(f"Write your lines down, number {number}")
        diary.tell("began", number, run.id)
        started.append(run)

    async with anyio.create_task_group() as tasks:
        for number in range(runs):
            tasks.start_soon(start, number)
    return started


def open_store(store: str) -> Journal:
    """Open a store; in a database a silent process is soon taken to be dead."""
    if store.startswith("postgresql:"):
        from harness.journal.postgres import LeaseTimes, PostgresJournal

        return PostgresJournal(store, times=LeaseTimes(refreshed=1.0, dead=6.0))
    return open_journal(store, write=True)


def seconds_held_up() -> float:
    """Return how long this thread had to do and got no core, because other processes had them all."""
    statistics = Path("/proc/thread-self/schedstat")
    return int(statistics.read_text().split()[1]) / 1e9 if statistics.exists() else 0.0


def say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    acts = {"write": write, "finish": finish, "drain": drain, "serve": serve}
    anyio.run(acts[sys.argv[1]], Path(sys.argv[2]), *sys.argv[3:])

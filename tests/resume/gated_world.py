"""A world in memory in which nothing goes on before it is let go on, and processes that act in it.

Whatever a process asks of a model, a tool or the disk waits at a gate. So a test decides what happens
next, and what has happened when a process dies or loses its run.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from crash_teams import label_of, tell
from fenced_disk import Disk, ProcessJournal

import harness
from harness import Message, Team, calls, together
from harness.errors import ModelUnavailable
from harness.events import EffectClass
from harness.harness import Harness
from harness.messages import ToolDefinition, Usage
from harness.models.port import CallOptions, ModelResponse, Observe, Transcript
from harness.models.scripted import Reply, ScriptedModel
from harness.run import Run
from harness.tools.names import matches
from harness.tools.port import CallContext, Tool, ToolOutput

RUN = "run"

TEAM = """\
harness: 1
name: gated
entry: lead
models: {default: {api: scripted, script: [{say: Nothing.}]}}
mcpServers: {desk: {module: given.by.the.test, disabled: true}}
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [scout]}
  scout: {instructions: Scout., tools: [desk]}
permissions:
  - {tool: desk.sign, allow: ask, expires: 1h}
  - {tool: desk.post, allow: ask}
"""

TOOLS: dict[str, EffectClass] = {
    "look": "read",
    "put": "idempotent",
    "send": "keyed",
    "pay": "once",
    "post": "keyed",
    "sign": "once",
}
"""Effect class by tool; the last two need a permission."""


def _load(*overrides: str) -> Team:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "team.yaml")
        file.write_text(TEAM)
        return harness.load_team(file, overrides=overrides)


GATED = _load()
LIMITED = _load("limits.turns=3")
"""The same team with few turns for the whole run."""

Turn = Sequence[str]
"""The tools that are called in one turn, side by side; `scout` for a sub-agent."""


@dataclass(frozen=True)
class Script:
    """What the agents do, turn by turn; in the end they tell what is done."""

    lead: Sequence[Turn]
    scout: Sequence[Turn]

    def labels(self) -> dict[str, str]:
        """Tools by label of the calls that are made."""
        found: dict[str, str] = {}
        for label, tool in _labels("w", self.lead):
            if tool == "scout":
                found.update(_labels(label.replace("#", "."), self.scout))
            else:
                found[label] = tool
        return found


def _labels(task: str, turns: Sequence[Turn]) -> list[tuple[str, str]]:
    return [(f"{task}#{t}.{i}", tool) for t, turn in enumerate(turns, 1) for i, tool in enumerate(turn)]


def _reply(number: int, turn: Turn) -> Reply:
    def reply(messages: Sequence[Message]) -> Message:
        task = label_of(messages)
        return together(*(_call(tool, f"{task}#{number}.{index}") for index, tool in enumerate(turn)))

    return reply


def _call(tool: str, label: str) -> Message:
    if tool != "scout":
        return calls(f"desk.{tool}", label=label)
    objective = f"Do <{label.replace('#', '.')}>."
    return calls(
        "delegate", agent="scout", objective=objective, expected_output="", sources="", boundaries=""
    )


@dataclass(eq=False)
class Waiter:
    """Something that waits at a gate."""

    process: Process
    at: Literal["disk", "model", "effect", "result"]
    label: str
    happen: Callable[[], None] = lambda: None
    """Has the effect, if it is one."""
    is_lost: bool = False
    """Whether nobody will ever learn what became of it."""
    gate: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def let_go(self) -> None:
        """Let it go on."""
        self.happen()
        self.happen = lambda: None
        if not self.gate.done():
            self.gate.set_result(None)


@dataclass
class GatedWorld:
    """Everything outside of all processes."""

    script: Script
    disk: Disk = field(default_factory=Disk)
    now: float = 1_000_000.0
    """Seconds since 1970."""
    gates: list[Waiter] = field(default_factory=list[Waiter])
    effects: Counter[str] = field(default_factory=Counter[str])
    """How often each effect took place, by label."""
    requests: Counter[str] = field(default_factory=Counter[str])
    keys: dict[str, str] = field(default_factory=dict[str, str])
    """Labels of the effects that took place with a key, by key."""
    is_down: bool = False
    """Whether models cannot be reached."""
    crimes: list[str] = field(default_factory=list[str])
    """What processes did that had lost their run."""

    async def wait(self, waiter: Waiter) -> None:
        """Wait at a gate."""
        self.gates.append(waiter)
        try:
            await waiter.gate
        finally:
            self.gates.remove(waiter)

    @property
    def waiters(self) -> list[Waiter]:
        """What can be let go on."""
        return [waiter for waiter in self.gates if not waiter.is_lost]

    def act(self, label: str, key: str) -> None:
        """Have an effect, once for each key."""
        if key and key in self.keys:
            assert self.keys[key] == label
            return
        self.effects[label] += 1
        if key:
            self.keys[key] = label


class Process:
    """One process: it opens the team, and carries the run for as long as it lives and nobody takes it."""

    def __init__(
        self, world: GatedWorld, team: Team, loop: asyncio.AbstractEventLoop, *, alert: bool
    ) -> None:
        self.world = world
        self.journal = ProcessJournal(world.disk, self._reach_disk, alert=alert)
        self.run: Run | None = None
        self.lost: Run | None = None
        """The run, if it was taken from it while it carried it."""
        self._loop = loop
        self._team = team
        self._end = asyncio.Event()
        self._acts: list[asyncio.Task[Any]] = []
        self._life = loop.create_task(self._live())
        self.harness: Harness

    @property
    def is_alive(self) -> bool:
        """Whether it can do anything."""
        return not self._life.done()

    @property
    def carries(self) -> bool:
        """Whether it carries the run, or believes so."""
        return self.is_alive and RUN in self.harness.live

    @property
    def is_asked(self) -> bool:
        """Whether the run it carries waits for a person."""
        return self.carries and bool(self.harness.live[RUN].waiting)

    async def _live(self) -> None:
        async with harness.open(
            self._team,
            store=self.journal,
            models={name: _GatedModel(self, name) for name in ("lead", "scout")},
            toolsets=[_GatedDesk(self)],
            clock=lambda: self.world.now,
        ) as self.harness:
            await self._end.wait()

    def begin(self, act: Callable[[Harness], Coroutine[Any, Any, Run]]) -> None:
        """Begin to start, resume or answer; it goes on as far as the gates let it."""

        async def do() -> None:
            self.run = await act(self.harness)

        self._acts.append(self._loop.create_task(do()))

    def waiters(self) -> list[Waiter]:
        """What of it waits at gates."""
        return [waiter for waiter in self.world.waiters if waiter.process is self]

    def die(self, kept: int) -> None:
        """Be gone without last words; so many of the events in its memory are on disk."""
        self.journal.die(kept)
        for task in (*self._acts, self._life):
            task.cancel()
        self._loop.run_until_complete(asyncio.wait([*self._acts, self._life]))

    def leave(self) -> None:
        """End in an orderly way; raises what went wrong in what it was told to do."""
        self._end.set()
        self._loop.run_until_complete(asyncio.wait([self._life]))
        self._life.result()
        for act in self._acts:
            if act.done() and not act.cancelled():
                act.result()

    def faults(self) -> list[BaseException]:
        """What went wrong in what it was told to do."""
        done = [act for act in self._acts if act.done() and not act.cancelled()]
        return [error for act in done if (error := act.exception())]

    async def _reach_disk(self) -> None:
        await self.world.wait(Waiter(self, "disk", ""))


class _GatedModel(ScriptedModel):
    """Asks the world to let each reply through."""

    def __init__(self, process: Process, name: str) -> None:
        turns: Sequence[Turn] = getattr(process.world.script, name)
        replies = [_reply(number, turn) for number, turn in enumerate(turns, 1)]
        super().__init__(*replies, tell, name=name, usage=Usage(100, 10, calls=1))
        self._process = process

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        digest = transcript.digest()
        self._process.world.requests[digest] += 1
        await self._process.world.wait(Waiter(self._process, "model", digest))
        if self._process.world.is_down:
            raise ModelUnavailable(f"{self.name} cannot be reached")
        return await super().respond(transcript, options, observe)


class _GatedDesk:
    """Tools that ask the world to let each effect, and then its result, through."""

    server = "desk"

    def __init__(self, process: Process) -> None:
        self._process = process

    async def tools(self, patterns: Sequence[str]) -> list[Tool]:
        return [self._tool(name) for name in TOOLS if matches(f"desk.{name}", patterns)]

    def _tool(self, name: str) -> Tool:
        effect = TOOLS[name]
        schema = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}

        async def invoke(arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
            label = arguments["label"]
            key = f"{context.run_id}/{context.key}" if effect == "keyed" else ""
            world, process = self._process.world, self._process
            if process.journal.is_fenced(RUN) and effect in ("keyed", "once"):
                world.crimes.append(label)
            await world.wait(Waiter(process, "effect", label, lambda: world.act(label, key)))
            await world.wait(Waiter(process, "result", label))
            return ToolOutput(f"{label} is done")

        return Tool(ToolDefinition(f"desk.{name}", name, schema), invoke, effect)

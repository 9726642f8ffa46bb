"""Teams that are scripted to have effects at every depth, and to tell in the end which ones took place.

Every call has a label of its own, such as `w.2#1`; whoever made it answers with the labels of all calls
it knows to be done, its sub-agents' included. So the answer of the run lacks what was lost on the way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import orjson
from outside_world import World

from harness import Message, Usage, calls, says, together
from harness.events import EffectClass
from harness.messages import ToolDefinition, ToolResult
from harness.models.port import CallOptions, ModelResponse, Observe, Price, Transcript
from harness.models.scripted import Reply, ScriptedModel
from harness.tools.names import matches
from harness.tools.port import CallContext, InputRequired, Inquiry, Tool, ToolOutput

EFFECTS: tuple[EffectClass, ...] = ("read", "idempotent", "keyed", "once")
TOOLS: dict[EffectClass, str] = {"read": "look", "idempotent": "put", "keyed": "send", "once": "pay"}
AGENTS = ("lead", "mid", "leaf")

Asked = Callable[[str, str], None]
"""Receives the name of a model and the digest of a request."""

SURE = Inquiry("Are you sure?", {"type": "object", "properties": {"sure": {"type": "boolean"}}}, "sure")

SERVER = Path(__file__).with_name("outside_server.py")

TEAM = """\
harness: 1
name: crash
entry: lead
models: {{default: {{api: scripted, script: [{{say: Nothing.}}]}}}}
mcpServers:
  desk: {server}
agents:
  lead: {{instructions: Lead., tools: [desk], delegates: [mid]}}
  mid: {{instructions: Mid., tools: [desk], delegates: [leaf]}}
  leaf: {{instructions: Leaf., tools: [desk]}}
"""


@dataclass(frozen=True)
class Scene:
    """What is played."""

    effect: EffectClass = "once"
    depth: int = 0
    """Agents below the entry agent; the lowest ones have effects, and so has the entry agent."""
    by: Literal["delegate", "plan"] = "delegate"
    together: bool = False
    """Whether calls, and agents, go side by side; otherwise one after the other."""
    outside: Literal["function", "mcp"] = "function"
    """Whether tools run in this process or in a server's."""
    store: Literal["directory", "file"] = "directory"
    asks: Literal["", "rule", "tool", "meanwhile"] = ""
    """Who asks a person about every call: a rule of the team, the tool before it does anything, or the tool
    while it goes on; the last two only in this process."""
    tokens: int = 100
    """What each request is said to have taken."""

    def __str__(self) -> str:
        how = f"{self.by}-{self.depth}" if self.depth else "alone"
        order = "together" if self.together else "in-turn"
        asks = f"-asked-by-{self.asks}" if self.asks else ""
        return f"{self.effect}-{how}-{order}-{self.outside}-{self.store}{asks}"

    @property
    def worker(self) -> str:
        """Path of one of the agent runs that have effects: the last one of the first ones."""
        return (
            "/".join(AGENTS[:1])
            + "".join(f"/{name}-2" for name in AGENTS[1 : 1 + min(self.depth, 1)])
            + ("/leaf-1" if self.depth == 2 else "")
        )

    @property
    def target(self) -> tuple[str, str]:
        """Key and label of the second call of that agent run."""
        label = {0: "w", 1: "w.2", 2: "w.2.1"}[self.depth]
        place = "turn-1/1" if self.together else "turn-2/0"
        return f"{self.worker}/{place}", f"{label}#2"

    def write_team(self, folder: Path) -> Path:
        """Write the team file and return where it is."""
        file = folder / "team.yaml"
        server: dict[str, Any] = {"module": "given.by.the.test", "disabled": True}
        if self.outside == "mcp":
            arguments = ["-S", str(SERVER), str(folder / "world")]
            effects = {name: effect for effect, name in TOOLS.items()}
            server = {"command": sys.executable, "args": arguments, "effects": effects}
        rule = 'permissions: [{tool: "desk.*", allow: ask}]' if self.asks == "rule" else ""
        file.write_text(TEAM.format(server=orjson.dumps(server).decode()) + rule)
        return file

    def models(self, asked: Asked) -> Mapping[str, ScriptedModel]:
        """Return the models by agent; `asked` is told of every request, and may refuse it."""
        scripts = [self._script(level) if level <= self.depth else [] for level in range(len(AGENTS))]
        usage = Usage(self.tokens, self.tokens // 5, calls=1)
        return {
            name: AskedModel(*script, name=name, usage=usage).telling(asked)
            for name, script in zip(AGENTS, scripts, strict=True)
        }

    def _script(self, level: int) -> list[Reply]:
        if level == self.depth:
            return [*self._in_order([self._act(number) for number in (1, 2, 3)]), tell]
        below = AGENTS[level + 1]
        own = [self._act(0)] if level == 0 else []
        if self.by == "plan":
            return [*self._in_order([self._plan(below), *own]), tell]
        return [*self._in_order([_delegate(below, 1), _delegate(below, 2), *own]), tell]

    def _in_order(self, parts: Sequence[Callable[[str], Message]]) -> list[Reply]:
        """Return the parts as one reply, or as one after the other."""
        if self.together:
            return [lambda messages: together(*(part(label_of(messages)) for part in parts))]
        return [lambda messages, part=part: part(label_of(messages)) for part in parts]

    def _act(self, number: int) -> Callable[[str], Message]:
        return lambda label: calls(f"desk.{TOOLS[self.effect]}", label=f"{label}#{number}")

    def _plan(self, agent: str) -> Callable[[str], Message]:
        """Two tasks side by side and one that needs both, or one after the other."""

        def plan(label: str) -> Message:
            tasks = [
                {"id": f"t{number}", "agent": agent, "needs": needs, **_brief(f"{label}.{number}")}
                for number, needs in (
                    ((1, []), (2, []), (3, ["t1", "t2"])) if self.together else ((1, []), (2, ["t1"]))
                )
            ]
            return calls("plan", tasks=tasks)

        return plan


def _delegate(agent: str, number: int) -> Callable[[str], Message]:
    return lambda label: calls("delegate", agent=agent, **_brief(f"{label}.{number}"))


def _brief(label: str) -> dict[str, str]:
    return {"objective": f"Do <{label}>.", "expected_output": "", "sources": "", "boundaries": ""}


def label_of(messages: Sequence[Message]) -> str:
    """Return the label of the task an agent was given; `w` for the entry agent."""
    found = re.search(r"Do <([\w.]+)>", messages[1].text)
    return found[1] if found else "w"


def tell(messages: Sequence[Message]) -> Message:
    """Say what is known to be done."""
    results = [part.text for message in messages for part in message.parts if isinstance(part, ToolResult)]
    done = set(re.findall(r"([\w.#]+) is done", " ".join(results)))
    return says(as_told(done))


def as_told(done: Iterable[str]) -> str:
    """Return how an agent says what is done."""
    return ", ".join(f"{label} is done" for label in sorted(done)) or "Nothing."


def receipts_in(text: str) -> list[str]:
    """Return the receipts that a result shows."""
    return re.findall(r"\(receipt (\w+)\)", text)


class AskedModel(ScriptedModel):
    """A scripted model that tells of every request before it answers."""

    price = Price(1.0, 2.0)

    def telling(self, asked: Asked) -> AskedModel:
        """Tell `asked`."""
        self._asked = asked
        return self

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        self._asked(self.name, transcript.digest())
        return await super().respond(transcript, options, observe)


class Desk:
    """Tools of every effect class that run in this process."""

    server = "desk"

    def __init__(self, world: World, *, asks: str, hangs: Collection[str]) -> None:
        self._world = world
        self._asks = asks
        self._hangs = hangs

    async def tools(self, patterns: Sequence[str]) -> list[Tool]:
        """Return those that match."""
        return [self._tool(effect) for effect in EFFECTS if matches(f"desk.{TOOLS[effect]}", patterns)]

    def _tool(self, effect: EffectClass) -> Tool:
        schema = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}

        async def invoke(arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
            if arguments["label"] in self._hangs:
                await anyio.sleep_forever()
            if self._asks == "tool" and context.answer is None:
                raise InputRequired(SURE)
            if self._asks == "meanwhile" and context.ask is not None:
                await context.ask(SURE)
            key = f"{context.run_id}/{context.key}" if effect == "keyed" else ""
            return ToolOutput(self._world.act(arguments["label"], key))

        return Tool(ToolDefinition(f"desk.{TOOLS[effect]}", effect, schema), invoke, effect)

"""What the tests of the loop are played with: teams, replies, and the record of what happened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any, Protocol, TypeVar

import anyio
import orjson

import harness
from harness import FunctionToolset, MemoryJournal, Message, Recorded, RunResult, RunState, ToolCall, calls
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    Event,
    ModelCallFinished,
    ModelCallStarted,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
)
from harness.journal import Journal
from harness.messages import StopReason, Text, ToolResult
from harness.models.port import CallOptions, Model, ModelResponse, Observe, Transcript
from harness.models.scripted import Reply, ScriptedModel

DEADLINE = 20
"""Seconds after which a test is taken to hang."""

EventKind = TypeVar("EventKind", bound=Event)

HEAD = """\
harness: 1
name: stage
entry: lead
models: {default: {api: scripted, script: [{say: Nothing to add.}]}}
mcpServers: {desk: {module: given.by.the.test, disabled: true}}
"""

ALONE = "agents: {lead: {instructions: Answer., tools: [desk]}}"

PAIR = """\
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [scout]}
  scout: {description: Finds things., instructions: Scout., tools: [desk]}
"""

CHAIN = """\
agents:
  lead: {instructions: Lead., delegates: [middle]}
  middle: {instructions: Pass it on., delegates: [scout]}
  scout: {instructions: Scout., tools: [desk]}
"""


@dataclass(frozen=True)
class Told:
    """A run that is over, and everything it recorded."""

    result: RunResult
    recorded: Sequence[Recorded]
    state: RunState

    def all(self, kind: type[EventKind], agent: str | None = None) -> list[EventKind]:
        """The events of one kind, of one agent run if given."""
        return [
            item.event
            for item in self.recorded
            if isinstance(item.event, kind) and agent in (None, getattr(item.event, "agent", None))
        ]

    def origins(self, agent: str = "lead") -> list[str]:
        """Where the entries of an agent's window came from."""
        return self.state.agents[agent].window.origins

    def results(self, agent: str = "lead") -> list[ToolResult]:
        """The tool results in an agent's window, in order."""
        return results_in([entry.message for entry in self.state.agents[agent].window.entries])


class OpenTeam(Protocol):
    """Opens a team for the length of a test; its models by agent name."""

    def __call__(
        self,
        agents: str = ALONE,
        *,
        store: Journal | Path | None = None,
        toolsets: Sequence[Any] = (),
        desk: Sequence[Any] = (),
        **models: Model,
    ) -> AbstractAsyncContextManager[harness.Harness]: ...


class RunTeam(Protocol):
    """Opens a team, runs it to its end, and tells what happened."""

    async def __call__(
        self,
        agents: str = ALONE,
        *,
        store: Journal | Path | None = None,
        toolsets: Sequence[Any] = (),
        desk: Sequence[Any] = (),
        **models: Model,
    ) -> Told: ...


def opener(folder: Path) -> OpenTeam:
    """Open teams whose files stand in `folder`; the functions of `desk` are the tools `desk.*`."""

    @asynccontextmanager
    async def open_team(
        agents: str = ALONE,
        *,
        store: Journal | Path | None = None,
        toolsets: Sequence[Any] = (),
        desk: Sequence[Any] = (),
        **models: Model,
    ) -> AsyncIterator[harness.Harness]:
        file = folder / "team.yaml"
        file.write_text(HEAD + dedent(agents))
        given = [FunctionToolset("desk", *desk), *toolsets]
        with anyio.fail_after(DEADLINE):
            async with harness.open(
                file, store=MemoryJournal() if store is None else store, models=models, toolsets=given
            ) as opened:
                yield opened

    return open_team


async def told(run: harness.Run) -> Told:
    """Wait for a run to end and tell what happened."""
    recorded = [item async for item in run.events()]
    return Told(await run.result(), recorded, run.state)


def assert_balanced(recorded: Sequence[Recorded]) -> None:
    """Check that the journal has no gap, and that all that was started ended, once and later.

    What a stop from outside leaves open stays open, so that it can be resumed.
    """
    assert [item.sequence for item in recorded] == list(range(len(recorded)))
    assert isinstance(recorded[0].event, RunStarted)
    assert isinstance(recorded[-1].event, RunFinished)
    under_way: set[object] = set()
    for item in recorded:
        match item.event:
            case AgentRunStarted(agent=agent):
                assert ("agent", agent) not in under_way
                under_way.add(("agent", agent))
            case AgentRunFinished(agent=agent):
                under_way.remove(("agent", agent))
            case ModelCallStarted(agent=agent, turn=turn):
                under_way.add(("model", agent, turn))
            case ModelCallFinished(agent=agent, turn=turn):
                under_way.remove(("model", agent, turn))
            case ToolCallStarted(key=key):
                assert ("tool", key) not in under_way
                under_way.add(("tool", key))
            case ToolCallFinished(key=key):
                under_way.remove(("tool", key))
            case RunFinished(stop_reason=reason):
                assert not under_way or reason in ("cancelled", "interrupted", "suspended")
            case _:
                pass


def results_in(messages: Sequence[Message]) -> list[ToolResult]:
    """The tool results among messages."""
    return [part for message in messages for part in message.parts if isinstance(part, ToolResult)]


def brief(objective: str = "Find X.") -> dict[str, str]:
    """The arguments that make up a brief."""
    return {
        "objective": objective,
        "expected_output": "The line.",
        "sources": "The desk.",
        "boundaries": "Nothing else.",
    }


def delegates(agent: str, objective: str = "Find X.") -> Message:
    """A reply that gives a task to one sub-agent."""
    return calls("delegate", agent=agent, **brief(objective))


def task(name: str, agent: str = "scout", *needs: str, objective: str = "") -> dict[str, Any]:
    """One task of a plan."""
    return {"id": name, "agent": agent, **brief(objective or f"Do {name}."), "needs": list(needs)}


def plans(*tasks: dict[str, Any]) -> Message:
    """A reply that carries out a plan."""
    return calls("plan", tasks=list(tasks))


def reports(answer: str, status: str = "done", **rest: Any) -> Message:
    """A reply that hands in a report."""
    return calls("report", status=status, answer=answer, **rest)


def raw_call(tool: str, arguments: str, call_id: str = "") -> Message:
    """A reply that calls a tool with arguments just as the model wrote them."""
    return Message("assistant", (ToolCall(call_id, tool, arguments),))


def by_objective(**replies: Message | Exception) -> Reply:
    """A script that answers the brief it finds, whichever agent run asks first."""

    def reply(messages: Sequence[Message]) -> Message:
        task_text = messages[1].text
        for name, answer in replies.items():
            if f"Do {name}." in task_text:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise AssertionError(f"nothing is scripted for {task_text}")

    return reply


class Stopping(ScriptedModel):
    """A scripted model whose first reply stops for another reason than it seems."""

    def __init__(self, reason: StopReason, *replies: Reply) -> None:
        super().__init__(*replies)
        self._reason: StopReason = reason

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        response = await super().respond(transcript, options, observe)
        return replace(response, stop_reason=self._reason) if len(self.requests) == 1 else response


class Meeting:
    """A place where a number of callers wait until all have come."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self._complete = anyio.Event()

    async def join(self) -> str:
        """Wait for the others."""
        self._missing -= 1
        if not self._missing:
            self._complete.set()
        await self._complete.wait()
        return "met"


def silence() -> Message:
    """A reply that says nothing."""
    return Message("assistant", (Text(""),))


def loads(text: str) -> Any:
    """What a tool result says, where it is JSON."""
    return orjson.loads(text)

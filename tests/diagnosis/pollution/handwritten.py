"""Small runs written by hand, turn by turn, and what the doctor says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

import harness
from harness.diagnosis import Finding
from harness.messages import Message, Reasoning, Text, ToolCall, ToolDefinition, ToolResult, system, user
from harness.record import ALL_FACETS, AgentBuilder, AgentRecord, Call, Entry, RunRecord, Turn, place_calls


@dataclass(frozen=True)
class Asked:
    """A tool call and what came back."""

    tool: str
    arguments: dict[str, Any]
    result: str
    is_error: bool = False
    child: str = ""


def asks(tool: str, result: str, **arguments: Any) -> Asked:
    return Asked(tool, arguments, result)


def fails(tool: str, result: str, **arguments: Any) -> Asked:
    return Asked(tool, arguments, result, is_error=True)


def delegates(child: str, report: str) -> Asked:
    return Asked("delegate", {"objective": "Find out."}, report, child=child)


class Agent:
    """One agent run; turns are numbered from 1, and the result of its first call in turn 2 is `results[2, 0]`."""

    def __init__(
        self,
        path: str = "lead",
        *,
        task: str = "Do what has to be done.",
        tools: tuple[ToolDefinition, ...] = (),
        context_window: int | None = None,
    ) -> None:
        self.record = AgentRecord(path, path.rpartition("/")[2], parent=path.rpartition("/")[0])
        self.record.tools, self.record.context_window = tools, context_window
        self.results: dict[tuple[int, int], Entry] = {}
        self.builder = AgentBuilder(self.record)
        self.builder.append("system", system("You do what you are told."))
        self.builder.append("brief" if self.record.parent else "task", user(task))

    def turn(self, *calls: Asked, says: str = "", thinks: str = "") -> Agent:
        """Take a turn: say something, and call tools."""
        turn = self.builder.begin_turn(Turn(self.record.path, 0))
        ids = [f"{turn.id}/{index}" for index in range(len(calls))]
        wanted = [
            ToolCall(key, one.tool, orjson.dumps(one.arguments).decode())
            for key, one in zip(ids, calls, strict=True)
        ]
        thought = [Reasoning(thinks)] if thinks else []
        self.builder.reply(Message("assistant", (*thought, Text(says), *wanted)))
        for index, (asked, call) in enumerate(zip(calls, wanted, strict=True)):
            record = Call(call.id, call.id, call.name, call.arguments, self.record.path, turn.number, index)
            record.result, record.is_error = asked.result, asked.is_error
            record.children = [asked.child] if asked.child else []
            turn.calls.append(record)
            origin = f"report:{asked.child}" if asked.child else f"tool:{asked.tool}"
            result = Message("tool", (ToolResult(call.id, asked.result, asked.is_error),))
            self.results[turn.number, index] = self.builder.append(origin, result)
        return self

    def hears(self, text: str) -> Agent:
        """Let somebody say something to the agent."""
        self.builder.append("user", user(text))
        return self

    def forgets(self, turn: int) -> Agent:
        """Clear the result of the first call of a turn from the window."""
        entry = self.results[turn, 0]
        cleared = Message("tool", (ToolResult(entry.call, "[cleared]"),))
        self.builder.replace(entry, cleared, tokens=4, reason="cleared")
        return self


def findings(detector: str, *agents: Agent) -> list[Finding]:
    """Return what one detector finds in a run of some agents; parents come before those that work for them."""
    record = RunRecord("by-hand", "test", task="Do what has to be done.", carries=ALL_FACETS - {"plans"})
    for agent in agents:
        record.agents[agent.record.path] = place_calls_of(agent)
    return [one for one in harness.diagnose(record).findings if one.detector == detector]


def place_calls_of(agent: Agent) -> AgentRecord:
    record = agent.builder.finish()
    place_calls(record)
    return record


def passage(topic: str, sentences: int) -> str:
    """Return sentences with codes of their own; their words are much the same whatever the topic is."""
    things = ("harbour", "orchard", "quarry", "viaduct", "meadow", "foundry", "lantern")
    doings = ("supplied", "sheltered", "overlooked", "outlasted", "bordered")
    return " ".join(
        f"In the {topic} ledger the {things[at % 7]} {doings[at % 5]} the older {things[(at + 3) % 7]}, "
        f"entry {topic.upper()}-{1000 + 7 * at}."
        for at in range(sentences)
    )

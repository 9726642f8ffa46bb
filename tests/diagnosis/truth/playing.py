"""Scripts carried out by the real harness: models say the replies, tools give the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from opentelemetry.sdk.trace import ReadableSpan

import harness
from harness.events import Recorded
from harness.foreign import read_records
from harness.messages import Message
from harness.models.port import Model
from harness.record import RunRecord
from harness.record.effects import access_by_name
from harness.team.loading import restore_team
from harness.tools.names import matches
from harness.tools.port import CallContext, Tool, ToolOutput
from harness.tracing import encode_line
from harness.tracing.export import export_run

from .building import reply_of
from .script import Agent, Call, Script

_BRIEF = {"expected_output": "A report.", "sources": "", "boundaries": ""}
"""What a brief must hold besides its objective."""


def play(script: Script) -> list[Recorded]:
    """Return the events of a run in which everybody says and gives what a script has them say and give.

    What comes into windows from outside, and what leaves them, is not played.
    """
    return anyio.run(_play, script)


async def _play(script: Script) -> list[Recorded]:
    tools = _Results(script)
    names = {agent.name: agent for agent in reversed(script.agents)}
    entry = script.agents[0]
    source: dict[str, Any] = {
        "harness": 1,
        "name": script.family,
        "entry": entry.name,
        "mcpServers": {one: {"module": f"truth.{one}", "disabled": True} for one in sorted(tools.servers)},
        "agents": {
            name: {
                "instructions": agent.instructions,
                "tools": sorted({_server(tool.name) for tool in agent.tools if "." in tool.name}),
                "delegates": sorted(names.keys() - {name}) if agent is entry else [],
                "limits": {"turns": 500},
            }
            for name, agent in names.items()
        },
    }
    team = restore_team(source, base=Path.cwd(), servers=tools.servers)
    models: Mapping[str, Model] = {
        name: harness.scripted(_Voice([one for one in script.agents if one.name == name])) for name in names
    }
    async with harness.open(team, store=":memory:", models=models, toolsets=[tools]) as opened:
        run = await opened.start(script.task)
        return [recorded async for recorded in run.events()]


class _Voice:
    """Says the replies of the agents of one name; which of them it is it knows by the task."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        self.agents = agents

    def __call__(self, messages: Sequence[Message]) -> Message:
        told = next(message.text for message in messages if message.role == "user")
        agent = next(one for one in self.agents if one.task in told)
        turn = agent.turns[sum(message.role == "assistant" for message in messages)]
        calls = tuple(
            replace(call, arguments={**_BRIEF, **call.arguments}) if call.child else call
            for call in turn.calls
        )
        return reply_of(replace(turn, calls=calls))


class _Results:
    """Gives the results of calls by their ids."""

    def __init__(self, script: Script) -> None:
        self._calls: dict[str, Call] = {call.id: call for agent in script.agents for call in agent.calls()}
        found = {tool.name: tool for agent in script.agents for tool in agent.tools if "." in tool.name}
        self._tools = [
            Tool(tool, self._give, "read" if access_by_name(name) == "read" else "once")
            for name, tool in found.items()
        ]
        self.servers = frozenset(_server(name) for name in found)

    async def tools(self, patterns: Sequence[str]) -> list[Tool]:
        return [tool for tool in self._tools if matches(tool.definition.name, patterns)]

    async def _give(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        call = self._calls[context.call_id]
        return ToolOutput(call.result, call.is_error)


def _server(tool: str) -> str:
    return tool.partition(".")[0]


def exported(events: Sequence[Recorded], path: Path) -> RunRecord:
    """Return the record of a run that was written as OTLP and read again as a foreign trace is."""
    spans: list[ReadableSpan] = []
    export_run(events, spans.append, content="full")
    path.write_bytes(b"".join(encode_line(spans[at : at + 50]) for at in range(0, len(spans), 50)))
    (record,) = read_records(path)
    return record

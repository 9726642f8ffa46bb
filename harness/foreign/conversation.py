"""One agent's conversation as a run: every assistant message is a turn, whose request is all before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.foreign.facets import facets_of
from harness.foreign.messages import Interned
from harness.messages import Message, ToolDefinition, ToolResult
from harness.record import AgentBuilder, AgentRecord, Call, RunRecord, Turn, place_calls


def record_of_messages(
    messages: Sequence[Any], *, identity: str, source: str, tools: tuple[ToolDefinition, ...] = ()
) -> RunRecord:
    """Return the run that a list of messages tells of; whole windows are known, tokens and times are not."""
    interned = Interned()
    read: list[Message] = []
    for message in messages:
        read += interned.messages([message])
    agent = AgentRecord("agent", "agent", tools=tools or None)
    conversation = Conversation(AgentBuilder(agent))
    for message in read:
        conversation.take(message)
    record = RunRecord(identity, source, name=identity)
    record.agents[agent.path] = agent
    conversation.finish()
    record.task = next((entry.message.text for entry in agent.entries if entry.origin == "task"), "")
    record.answer = agent.report
    record.spans = len(messages)
    record.carries = facets_of(record)
    return record


@dataclass
class Conversation:
    """Grows one agent run, message by message."""

    builder: AgentBuilder
    is_sub_agent: bool = False

    def __post_init__(self) -> None:
        self._names: dict[str, str] = {}
        self._tasked = False

    def take(self, message: Message, turn: Turn | None = None) -> None:
        """Add a message; an assistant's is the reply of a turn, of which `turn` may say more."""
        if message.role == "assistant":
            agent = self.builder.record
            begun = self.builder.begin_turn(turn or Turn(agent.path, 0))
            self.builder.reply(message)
            for index, call in enumerate(message.tool_calls):
                self._names[call.id] = call.name
                key = f"{agent.path}/turn-{begun.number}/{index}"
                begun.calls.append(
                    Call(key, call.id, call.name, call.arguments, agent.path, begun.number, index)
                )
            begun.stop_reason = begun.stop_reason or ("tool_calls" if message.tool_calls else "end")
        else:
            self.builder.append(self._origin(message), message)

    def finish(self) -> AgentRecord:
        """Close the window and tie results to calls."""
        agent = self.builder.finish()
        place_calls(agent)
        last = next((turn.reply for turn in reversed(agent.turns) if turn.reply), None)
        agent.report = last.message.text if last else None
        return agent

    def _origin(self, message: Message) -> str:
        if message.role == "system":
            return "system"
        if message.role == "tool":
            part = message.parts[0] if message.parts else None
            call_id = part.call_id if isinstance(part, ToolResult) else ""
            return f"tool:{self._names.get(call_id, '')}"
        if self._tasked:
            return "user"
        self._tasked = True
        return "brief" if self.is_sub_agent else "task"

"""Handles: by them an agent reads on in what was shown to it shortened, or in the work of its sub-agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import ToolError
from harness.loop.state import RunState
from harness.messages import Message, Reasoning, ToolDefinition
from harness.tools.port import CallContext, Tool, ToolOutput
from harness.tools.results import page

_READ_RESULT = ToolDefinition(
    "read_result",
    "Read more of a result or a report by its handle.",
    {
        "type": "object",
        "properties": {
            "handle": {"type": "string"},
            "offset": {"type": "integer", "minimum": 0, "description": "Characters to pass over."},
            "limit": {"type": "integer", "minimum": 1, "maximum": 20000, "description": "Default 8000."},
        },
        "required": ["handle"],
        "additionalProperties": False,
    },
)


def read_result(path: str, state: RunState) -> Tool:
    """Return the tool of the agent run at `path` that reads by handle."""

    async def invoke(arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        text = _resolve(state, path, context.turn, arguments["handle"])
        return ToolOutput(page(text, arguments.get("offset", 0), arguments.get("limit", 8000)))

    return Tool(_READ_RESULT, invoke, effect="read", external=False)


def _resolve(state: RunState, path: str, turn: int, handle: str) -> str:
    """Return what a handle stands for, if it belongs to this agent run or one below it and is over."""
    kind, _, place = handle.partition(":")
    owner = place.rpartition("/turn-")[0] if kind == "result" else place
    if owner == path or owner.startswith(f"{path}/"):
        results = state.whole_results
        if kind == "result" and place in results and state.was_over(place, path, turn):
            return results[place]
        agents = state.agents
        if kind == "agent" and place in agents and place != path and state.was_over(place, path, turn):
            entries = agents[place].window.entries
            return "\n\n".join(f"[{entry.origin}]\n{_visible(entry.message)}" for entry in entries)
    raise ToolError(f"there is nothing to read at {handle!r}")


def _visible(message: Message) -> str:
    """Return a message as another agent may read it: without thinking."""
    parts = [part for part in message.parts if not isinstance(part, Reasoning)]
    calls = [f"{call.name}({call.arguments})" for call in message.tool_calls]
    return "\n".join([Message(message.role, tuple(parts)).text, *calls]).strip()

"""Handles: by them an agent reads on in what was shown to it shortened, or in the work of its sub-agents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.context.window import Entry
from harness.errors import ToolError
from harness.loop.state import AgentState, RunState
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
    owner = place.rpartition("/turn-")[0] if kind in ("result", "turn") else place
    text: str | None = None
    if kind == "result" and (owner == path or owner.startswith(f"{path}/")):
        text = _result(state, path, turn, place)
    elif kind == "turn" and owner == path:
        text = _turn(state.agents[path], turn, place)
    elif kind == "agent" and owner.startswith(f"{path}/"):
        is_over = place in state.agents and state.was_over(place, path, turn)
        text = _shown(state.agents[place].window.history()) if is_over else None
    if text is None:
        raise ToolError(f"there is nothing to read at {handle!r}")
    return text


def _result(state: RunState, path: str, turn: int, place: str) -> str | None:
    """Return the whole of a result that was shown shortened, or was taken out of this agent's window."""
    text = state.whole_results.get(place)
    if text is None:
        originals = state.agents[path].window.originals.values()
        text = next((entry.message.text for entry in originals if entry.call == place), None)
    return text if text is not None and state.was_over(place, path, turn) else None


def _turn(agent: AgentState, turn: int, place: str) -> str | None:
    """Return one earlier turn of this agent as it was."""
    number = place.rpartition("/turn-")[2]
    if not number.isdigit() or int(number) >= turn:
        return None
    entries = [entry for entry in agent.window.history() if entry.turn == int(number)]
    return _shown(entries) if entries and int(number) else None


def _shown(entries: Iterable[Entry]) -> str:
    return "\n\n".join(f"[{entry.origin}]\n{_visible(entry.message)}" for entry in entries)


def _visible(message: Message) -> str:
    """Return a message as another agent may read it: without thinking."""
    parts = [part for part in message.parts if not isinstance(part, Reasoning)]
    calls = [f"{call.name}({call.arguments})" for call in message.tool_calls]
    return "\n".join([Message(message.role, tuple(parts)).text, *calls]).strip()

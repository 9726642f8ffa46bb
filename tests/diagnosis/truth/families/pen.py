"""Writes the script of one agent, turn by turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.messages import ToolDefinition, user

from ..prose import Mint
from ..script import Agent, Call, Drop, Extra, Turn


def tool(name: str, description: str, **parameters: str) -> ToolDefinition:
    """Return the definition of a tool whose parameters are described by words."""
    properties = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    return ToolDefinition(
        name, description, {"type": "object", "properties": properties, "required": list(parameters)}
    )


class Pen:
    """Collects the turns of one agent."""

    def __init__(self, mint: Mint, path: str) -> None:
        self.mint = mint
        self.path = path
        self.turns: list[Turn] = []
        self._before: list[Extra] = []

    def hears(self, text: str) -> None:
        """Put a message of the user before the next turn."""
        self._before.append(Extra(self.mint.mark("user"), "user", user(text)))

    def says(self, text: str, *, thinking: str = "") -> None:
        self._turn(text, thinking, ())

    def does(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        result: str,
        *,
        text: str = "",
        thinking: str = "",
        **more: Any,
    ) -> Call:
        """Write a turn with one call."""
        call = self.call(tool, arguments, result, **more)
        self._turn(text, thinking, (call,))
        return call

    def call(self, tool: str, arguments: Mapping[str, Any], result: str, **more: Any) -> Call:
        seconds = round(self.mint.uniform(0.3, 2.0), 3)
        return Call(self.mint.call(), tool, dict(arguments), result, seconds=seconds, **more)

    def together(self, calls: Sequence[Call], *, text: str = "", thinking: str = "") -> None:
        """Write a turn with several calls."""
        self._turn(text, thinking, tuple(calls))

    def clears(self, drop: Drop) -> None:
        """Let an entry leave the window once the results of the last turn are there."""
        self.turns[-1] = replace(self.turns[-1], clears=(*self.turns[-1].clears, drop))

    def agent(self, instructions: str, task: str, tools: Sequence[ToolDefinition], **more: Any) -> Agent:
        return Agent(self.path, instructions, task, tuple(tools), tuple(self.turns), **more)

    def _turn(self, text: str, thinking: str, calls: tuple[Call, ...]) -> None:
        self.turns.append(Turn(self.mint.mark(), text, thinking, calls, tuple(self._before)))
        self._before = []

"""`FunctionToolset`: Python functions as tools, the in-memory twin of the tool port."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import ConfigDict, TypeAdapter, validate_call

from harness.errors import ToolError
from harness.events import EffectClass
from harness.messages import ToolDefinition
from harness.tools.names import matches
from harness.tools.port import CallContext, Tool, ToolOutput


class FunctionToolset:
    """Offers plain or async functions as the tools of one server.

    The function's signature gives the schema and its docstring the description. A returned `str` is
    shown as it is, anything else as JSON; an exception becomes an error the model sees.
    """

    def __init__(self, server: str, *functions: Callable[..., Any], effect: EffectClass = "once") -> None:
        self.server = server
        self._tools = [_function_tool(server, function, effect) for function in functions]

    async def tools(self, patterns: Sequence[str]) -> list[Tool]:
        """Return the functions whose names match."""
        return [tool for tool in self._tools if matches(tool.definition.name, patterns)]


def _function_tool(server: str, function: Callable[..., Any], effect: EffectClass) -> Tool:
    checked = validate_call(config=ConfigDict(strict=False))(function)
    schema = TypeAdapter(function).json_schema()
    definition = ToolDefinition(f"{server}.{function.__name__}", inspect.getdoc(function) or "", schema)

    async def invoke(arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        try:
            value = checked(**arguments)
            if inspect.isawaitable(value):
                value = await value
        except Exception as error:
            raise ToolError(f"{type(error).__name__}: {error}") from error
        return ToolOutput(value if isinstance(value, str) else orjson.dumps(value).decode())

    return Tool(definition, invoke, effect)

"""`FunctionToolset`: Python functions as tools, the in-memory twin of the tool port."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import anyio.to_thread
from pydantic import TypeAdapter, ValidationError, validate_call
from pydantic_core import PydanticSerializationError, to_json

from harness.errors import HarnessError, ToolError, UsageError
from harness.events import EffectClass
from harness.messages import ToolDefinition
from harness.tools.names import matches
from harness.tools.port import CallContext, Tool, ToolOutput

_SECTION = re.compile(r"(?m)^Args:\n((?:[ \t]+.*\n?|\n)+)")
_PARAMETER = re.compile(r"(\w+)(?: \([^)]*\))?: *(.*)")


class FunctionToolset:
    """Offers plain or async functions as the tools of one server.

    The signature gives the schema, the docstring the description and, in an `Args:` section, what
    each parameter means. A returned `str` is shown as it is, anything else as JSON; an exception
    becomes an error the model sees. A plain function runs in a worker thread; if its call is
    cancelled it is left to end by itself, as a thread cannot be stopped.

    Raises:
        UsageError: A function takes parameters that cannot be given by name.
    """

    def __init__(self, server: str, *functions: Callable[..., Any], effect: EffectClass = "once") -> None:
        self.server = server
        self._tools = [_function_tool(server, function, effect) for function in functions]

    async def tools(self, patterns: Sequence[str]) -> list[Tool]:
        """Return the functions whose names match."""
        return [tool for tool in self._tools if matches(tool.definition.name, patterns)]


def _function_tool(server: str, function: Callable[..., Any], effect: EffectClass) -> Tool:
    checked = validate_call(function)
    is_async = inspect.iscoroutinefunction(function)

    async def invoke(arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        try:
            call = partial(checked, **arguments)
            value = call() if is_async else await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
            if inspect.isawaitable(value):
                value = await value
            return ToolOutput(value if isinstance(value, str) else to_json(value).decode())
        except HarnessError:
            raise
        except ValidationError as error:
            raise ToolError(_faults(error)) from error
        except PydanticSerializationError as error:
            raise ToolError(f"{function.__name__} returned something that is not JSON: {error}") from error
        except Exception as error:
            text = str(error)
            raise ToolError(f"{type(error).__name__}: {text}" if text else type(error).__name__) from error

    return Tool(_definition(server, function), invoke, effect)


def _definition(server: str, function: Callable[..., Any]) -> ToolDefinition:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise UsageError(
                f"{function.__name__} cannot be a tool: its parameter {parameter.name} cannot be given by name"
            )
    schema = TypeAdapter[Any](cast("Any", function)).json_schema()
    description, documented = _documentation(inspect.getdoc(function) or "")
    for name, meaning in documented.items():
        if name in schema.get("properties", {}):
            schema["properties"][name].setdefault("description", meaning)
    return ToolDefinition(f"{server}.{function.__name__}", description, schema)


def _documentation(docstring: str) -> tuple[str, dict[str, str]]:
    """Return a docstring without its `Args:` section, and what that section says of each parameter."""
    section = _SECTION.search(docstring)
    if section is None:
        return docstring, {}
    parameters: dict[str, str] = {}
    name = ""
    lines = inspect.cleandoc(section[1]).splitlines()
    for line in lines:
        if (entry := _PARAMETER.match(line)) is not None:
            name = entry[1]
            parameters[name] = entry[2]
        elif name and line.strip():
            parameters[name] = f"{parameters[name]} {line.strip()}".strip()
    rest = docstring[: section.start()].rstrip() + "\n\n" + docstring[section.end() :].lstrip("\n")
    return rest.strip(), parameters


def _faults(error: ValidationError) -> str:
    """Return what is wrong with which argument, one after the other."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    )

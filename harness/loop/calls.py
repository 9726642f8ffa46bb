"""The tool calls of one turn: all at once, each leaving exactly one result for its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio
import orjson

from harness.errors import (
    HarnessError,
    RequiredServerFailed,
    StoreError,
    ToolError,
    ToolServerError,
    innermost,
)
from harness.events import ToolCallFinished, ToolCallStarted
from harness.loop.log import Progress
from harness.messages import ToolCall, ToolResult
from harness.messages import tool as tool_message
from harness.tools.port import CallContext, Tool, ToolOutput
from harness.tools.results import shorten

if TYPE_CHECKING:
    from harness.loop.agent import AgentRun


async def run_calls(agent: AgentRun, turn: int, calls: Sequence[ToolCall], *, cut_off: bool) -> None:
    """Run `calls` side by side and append their results in the order they were asked for.

    A call that fails becomes an error result; it never cancels its siblings. With `cut_off` nothing
    runs: the arguments may be incomplete.
    """
    outputs: list[ToolOutput | None] = [None] * len(calls)

    async def run(index: int) -> None:
        outputs[index] = await _run_call(agent, turn, index, calls[index], cut_off=cut_off)

    if len(calls) == 1:
        await run(0)
    else:
        async with anyio.create_task_group() as group:
            for index in range(len(calls)):
                group.start_soon(run, index)
    for call, output in zip(calls, outputs, strict=True):
        assert output is not None
        result = ToolResult(call.id, output.text, output.is_error, output.images)
        agent.append(output.origin or f"tool:{call.name}", tool_message(result))


async def _run_call(agent: AgentRun, turn: int, index: int, call: ToolCall, *, cut_off: bool) -> ToolOutput:
    """Return what the model is shown, having recorded the call and its whole result."""
    key = f"{agent.path}/turn-{turn}/{index}"
    tool = agent.tools.get(call.name)
    prepared = (
        _refusal("cut_off", "your reply was cut off at the length limit; nothing was run")
        if cut_off
        else None
    )
    prepared = prepared or _prepare(agent, tool, call)
    agent.emit(
        ToolCallStarted(
            agent=agent.path,
            turn=turn,
            call_id=call.id,
            key=key,
            tool=call.name,
            arguments=call.arguments,
            effect=tool.effect if tool else "read",
        )
    )
    context = CallContext(
        agent.path, turn, call.id, key, partial(_progress, agent, call.name), agent.log.run_id
    )
    finished = partial(_finish, agent, call, context, external=tool is not None and tool.external)
    if isinstance(prepared, ToolOutput):
        return finished(prepared)
    assert tool is not None
    try:
        if tool.external and tool.effect in ("keyed", "once"):
            await agent.log.durable()
        output = await tool.invoke(prepared, context)
    except ToolServerError as error:
        output = ToolOutput(str(error), is_error=True, error_type="server")
    except ToolError as error:
        output = ToolOutput(str(error), is_error=True, error_type="tool")
    except anyio.get_cancelled_exc_class():
        finished(ToolOutput("cancelled; its outcome is unknown", is_error=True, error_type="cancelled"))
        raise
    except (StoreError, RequiredServerFailed):
        raise
    except HarnessError as error:
        output = ToolOutput(str(error), is_error=True, error_type="tool")
    except Exception as error:
        if isinstance(innermost(error), StoreError | RequiredServerFailed):
            raise
        output = ToolOutput(
            f"{call.name} broke: {type(error).__name__}: {error}", is_error=True, error_type="internal"
        )
    return finished(output)


def _prepare(agent: AgentRun, tool: Tool | None, call: ToolCall) -> Mapping[str, Any] | ToolOutput:
    """Return the arguments to run with, or the error that tells the model how to mend the call."""
    if tool is None:
        names = ", ".join(agent.tools) or "none"
        return _refusal("unknown_tool", f"there is no tool {call.name}; your tools are: {names}")
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError as error:
        return _refusal("arguments", f"the arguments are not valid JSON: {error}")
    if not isinstance(arguments, dict):
        return _refusal("arguments", "the arguments must be one JSON object")
    arguments = cast("dict[str, Any]", arguments)
    faults = tool.faults(arguments)
    if faults:
        return _refusal("arguments", f"the arguments do not fit {call.name}: " + "; ".join(faults))
    denial = agent.permissions.denial(agent.lineage, call.name) if tool.external else ""
    if denial:
        return _refusal("denied", denial)
    return arguments


def _refusal(error_type: str, text: str) -> ToolOutput:
    return ToolOutput(text, is_error=True, error_type=error_type)


def _finish(
    agent: AgentRun, call: ToolCall, context: CallContext, output: ToolOutput, *, external: bool
) -> ToolOutput:
    """Record the result; return it as the model sees it, shortened if it is large."""
    short = shorten(output.text, f"result:{context.key}") if external else None
    agent.emit(
        ToolCallFinished(
            agent=agent.path,
            turn=context.turn,
            call_id=call.id,
            key=context.key,
            tool=call.name,
            shown=output.text if short is None else short,
            whole=None if short is None else output.text,
            is_error=output.is_error,
            error_type=output.error_type,
            external=external,
        )
    )
    if short is None:
        return output
    return ToolOutput(short, output.is_error, output.error_type, output.images, output.origin)


def _progress(agent: AgentRun, tool: str, done: float, total: float | None, message: str) -> None:
    agent.notices.send(agent.path, Progress(tool, done, total, message))

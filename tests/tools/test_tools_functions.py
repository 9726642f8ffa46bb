"""Python functions as tools."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import anyio
import pytest
from pydantic import Field
from servers_in_use import CONTEXT

from harness.errors import ToolError, UsageError
from harness.tools.functions import FunctionToolset
from harness.tools.port import ToolOutput

pytestmark = pytest.mark.anyio


@dataclass
class Hit:
    line: int
    day: date


def search(query: str, limit: Annotated[int, Field(description="At most this many.")] = 3) -> list[Hit]:
    """Search the notes.

    Slow on the first call.

    Args:
        query: Words that must all occur,
            in any order.
        limit (int): Overruled by the annotation.

    Returns the hits, best first.
    """
    return [Hit(limit, date(2026, 1, 2))] if query else []


async def invoke(function: Any, **arguments: Any) -> ToolOutput:
    [tool] = await FunctionToolset("own", function).tools(["own"])
    return await tool.invoke(arguments, CONTEXT)


async def test_signature_and_docstring_describe_the_tool():
    [tool] = await FunctionToolset("notes", search, effect="read").tools(["notes.s*"])

    assert (tool.definition.name, tool.effect) == ("notes.search", "read")
    assert tool.definition.description == (
        "Search the notes.\n\nSlow on the first call.\n\nReturns the hits, best first."
    )
    assert tool.definition.parameters == {
        "type": "object",
        "properties": {
            "query": {
                "title": "Query",
                "type": "string",
                "description": "Words that must all occur, in any order.",
            },
            "limit": {"title": "Limit", "type": "integer", "default": 3, "description": "At most this many."},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    assert await FunctionToolset("notes", search).tools(["other"]) == []


async def test_values_are_shown_as_json_and_text_as_it_is():
    def text() -> str:
        return "plain"

    async def nothing() -> None:
        return None

    with anyio.fail_after(5):
        assert (await invoke(search, query="x")).text == '[{"line":3,"day":"2026-01-02"}]'
        assert (await invoke(text)).text == "plain"
        assert (await invoke(nothing)).text == "null"


async def test_a_plain_function_does_not_hold_up_the_others():
    """The function waits for what only another task can do."""
    let_go = threading.Event()

    def waits() -> str:
        return "let go" if let_go.wait(5) else "held up"

    texts: list[str] = []

    async def call() -> None:
        texts.append((await invoke(waits)).text)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await anyio.lowlevel.checkpoint()
            let_go.set()

    assert texts == ["let go"]


async def test_a_cancelled_call_of_a_plain_function_does_not_wait_for_it():
    let_go, started = threading.Event(), threading.Event()

    def waits() -> None:
        started.set()
        let_go.wait(5)

    with anyio.fail_after(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(invoke, waits)
            await anyio.to_thread.run_sync(started.wait)
            tasks.cancel_scope.cancel()
    let_go.set()


async def test_what_goes_wrong_is_told_to_the_model():
    def fails() -> None:
        raise KeyError("missing")

    def explains() -> None:
        raise ToolError("ask for a smaller page")

    def odd() -> object:
        return object()

    with anyio.fail_after(5):
        for function, arguments, message in (
            (fails, {}, "KeyError: 'missing'"),
            (explains, {}, "ask for a smaller page"),
            (search, {"query": "x", "limit": "many"}, "limit: Input should be a valid integer, "),
            (search, {"qery": "x"}, "query: Missing required argument; qery: Unexpected keyword argument"),
            (odd, {}, "odd returned something that is not JSON: "),
        ):
            with pytest.raises(ToolError) as raised:
                await invoke(function, **arguments)
            assert str(raised.value).startswith(message)


def test_a_parameter_that_has_no_name_is_refused():
    def positional(first: int, /) -> None: ...

    def many(*numbers: int) -> None: ...

    for function in (positional, many):
        with pytest.raises(UsageError, match="cannot be given by name"):
            FunctionToolset("own", function)

"""The strict endpoint is strict: each thing the real one refuses is refused, in its words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import orjson
import pytest

from harness.errors import ModelRejected
from harness.messages import ToolDefinition, ToolResult, tool, user
from harness.models.port import CallOptions
from tests.models.strict_responses import Refused, StrictResponses, strict_responses
from tests.models.test_openai_responses import model_at

pytestmark = pytest.mark.anyio

LOOK = ToolDefinition("desk.look", "Look.")
Items = list[dict[str, Any]]


async def conversation(server: StrictResponses, turns: int) -> bytes:
    """Return the request after a number of turns, which the server takes."""
    async with model_at(server.base_url, model="gpt-a") as model:
        transcript = model.open([LOOK])
        transcript.append(user("x"))
        for _ in range(turns + 1):
            with anyio.fail_after(10):
                response = await model.respond(transcript, CallOptions(), lambda notice: None)
            transcript.append(response.message)
            for call in response.message.tool_calls:
                transcript.append(tool(ToolResult(call.id, "nothing")))
    assert not server.refusals
    return server.requests[-1]


def as_spelled(request: dict[str, Any], server: StrictResponses) -> bytes:
    """Return a request as JSON in which reasoning that is as it was issued is also spelled so."""
    issued = [item for item in server.issued.values() if item.fields["type"] == "reasoning"]
    spelled = [
        next((orjson.Fragment(known.raw) for known in issued if known.fields == item), item)
        for item in request["input"]
    ]
    return orjson.dumps({**request, "input": spelled})


def reasoning(items: Items) -> list[int]:
    return [at for at, item in enumerate(items) if item["type"] == "reasoning"]


def without_reasoning(items: Items) -> None:
    del items[reasoning(items)[0]]


def without_reasoning_and_ids(items: Items) -> None:
    items[:] = [
        {name: value for name, value in item.items() if name != "id"}
        for item in items
        if item["type"] != "reasoning"
    ]


def altered(items: Items) -> None:
    items[reasoning(items)[0]]["summary"] = []


def in_other_words(items: Items) -> None:
    items[reasoning(items)[0]]["encrypted_content"] += " "


def unreadable(items: Items) -> None:
    del items[reasoning(items)[0]]["encrypted_content"]


def reordered(items: Items) -> None:
    first, second = reasoning(items)[:2]
    items[first], items[second] = items[second], items[first]


def orphaned(items: Items) -> None:
    last = reasoning(items)[-1]
    del items[last + 1 :]


def without_what_it_led_to(items: Items) -> None:
    del items[reasoning(items)[0] + 1]


def led_to_something_without_id(items: Items) -> None:
    items[reasoning(items)[0] + 1].pop("id")


def twice(items: Items) -> None:
    items += items[reasoning(items)[0] :]


def without_output(items: Items) -> None:
    items.pop()


def without_call(items: Items) -> None:
    items[:] = [item for item in items if item["type"] not in ("reasoning", "function_call")]


def with_a_field_of_another_api(items: Items) -> None:
    items[0]["tool_calls"] = []


def with_a_part_of_another_role(items: Items) -> None:
    items[0]["content"] = [{"type": "output_text", "text": "x"}]


def without_arguments(items: Items) -> None:
    next(item for item in items if item["type"] == "function_call").pop("arguments")


@pytest.mark.parametrize(
    ("mend", "words"),
    [
        (
            without_reasoning,
            r"'msg_2' of type 'message' was provided without its required 'reasoning' item: 'rs_1'",
        ),
        (without_reasoning_and_ids, r"was provided without its required 'reasoning' item: 'rs_4'"),
        (altered, r"encrypted content for item rs_1 could not be verified"),
        (in_other_words, r"encrypted content for item rs_1 could not be verified"),
        (unreadable, r"Item with id 'rs_1' not found"),
        (reordered, r"was provided without its required following item"),
        (orphaned, r"of type 'reasoning' was provided without its required following item"),
        (
            without_what_it_led_to,
            r"'rs_1' of type 'reasoning' was provided without its required following item",
        ),
        (
            led_to_something_without_id,
            r"'rs_1' of type 'reasoning' was provided without its required following",
        ),
        (twice, r"Duplicate item found with id rs_1"),
        (without_output, r"No tool output found for function call call_\d+"),
        (without_call, r"No tool call found for function call output with call_id call_3"),
        (with_a_field_of_another_api, r"Unknown parameter: 'input\[0\]\.tool_calls'"),
        (with_a_part_of_another_role, r"Invalid value: 'output_text'"),
        (without_arguments, r"Missing required parameter: 'input\[\d+\]\.arguments'"),
    ],
)
async def test_a_conversation_that_is_not_as_it_was_is_refused(mend: Callable[[Items], None], words: str):
    async with strict_responses(turns=4) as server:
        request = orjson.loads(await conversation(server, 3))
        server.check(as_spelled(request, server))
        mend(request["input"])
        with pytest.raises(Refused, match=words):
            server.check(as_spelled(request, server))


async def test_thinking_that_is_spelled_anew_is_refused_though_it_says_the_same():
    async with strict_responses(turns=4) as server:
        request = orjson.loads(await conversation(server, 3))
        with pytest.raises(Refused, match="could not be verified"):
            server.check(orjson.dumps(request))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, r"Unknown parameter: 'messages'"),
        ({"tool_choice": "any"}, r"Invalid value: 'any'"),
        ({"tool_choice": "required", "tools": []}, r"must be specified with 'tools' parameter"),
        ({"max_output_tokens": 5}, r"integer below minimum value"),
        ({"reasoning": {"effort": "max"}}, r"'reasoning.effort' does not support 'max' with this model"),
        ({"reasoning": {"budget": 1}}, r"Unknown parameter: 'reasoning.budget'"),
        ({"model": "gpt-b"}, r"The encrypted content for item rs_1 could not be verified"),
        ({"model": "gpt-c"}, r"'gpt-c' does not exist"),
    ],
)
async def test_a_setting_that_the_api_does_not_have_is_refused(change: dict[str, Any], words: str):
    async with strict_responses(turns=4) as server:
        body = await conversation(server, 3)
        whole = body[:-1] + b"," + orjson.dumps(change)[1:]
        with pytest.raises(Refused, match=words):
            server.check(whole)


async def test_a_refusal_reaches_the_caller_in_the_servers_words():
    async with strict_responses() as server, model_at(server.base_url, model="gpt-a") as model:
        transcript = model.open([LOOK])
        transcript.append(tool(ToolResult("call_9", "x")))
        with pytest.raises(
            ModelRejected, match="No tool call found for function call output with call_id call_9"
        ):
            await model.respond(transcript, CallOptions(), lambda notice: None)
    assert len(server.requests) == 1

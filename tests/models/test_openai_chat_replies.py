"""What `OpenAIChatModel` makes of whole replies."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from harness.messages import Message, Reasoning, Text, ToolCall, ToolResult, Usage, assistant, tool, user
from harness.models.port import CallOptions, ModelResponse
from tests.models.server import answer, fault_server
from tests.models.test_openai_chat import SEARCH, ask, ignore, model_at, opened, reply, wire_call

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_whole_reply_becomes_a_response():
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 8},
    }
    calls = [wire_call("c1", "corpus__search", '{"query":'), wire_call("c2", "unknown_tool", "{}")]
    document = reply(
        "Let me see.", finish="tool_calls", usage=usage, tool_calls=calls, reasoning_content="Hm."
    )
    async with fault_server(answer(document)) as server:
        response = await ask(server, user("x"), tools=[SEARCH])

    assert response == ModelResponse(
        Message(
            "assistant",
            (
                Reasoning("Hm.", "openai", "m", route="openai@127.0.0.1"),
                Text("Let me see."),
                ToolCall("c1", "corpus.search", '{"query":'),
                ToolCall("c2", "unknown_tool", "{}"),
            ),
        ),
        "tool_calls",
        Usage(100, 20, 64, 8, calls=1),
        "m-2026",
        "chatcmpl-1",
    )


async def test_reasoning_is_not_sent_back():
    thought = Message("assistant", (Reasoning("Hm.", provider="openai"), Text("Yes.")))
    async with fault_server(answer(reply())) as server:
        await ask(server, user("x"), thought, user("y"))
    assert server.requests[0].json["messages"][1] == {"role": "assistant", "content": "Yes."}


@pytest.mark.parametrize(
    ("document", "stop_reason", "text"),
    [
        (reply("a"), "end", "a"),
        (reply("a", finish="length"), "length", "a"),
        (reply(None, finish="content_filter"), "refusal", ""),
        (reply(None, refusal="I cannot."), "refusal", "I cannot."),
        (reply(""), "end", ""),
        (reply([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "end", "ab"),
        (reply("a", finish="tool_calls"), "end", "a"),
        (reply(None, tool_calls=[wire_call("c", "t", "{}")]), "tool_calls", ""),
    ],
)
async def test_stop_reasons(document: dict[str, Any], stop_reason: str, text: str):
    async with fault_server(answer(document)) as server:
        response = await ask(server, user("x"))
    assert (response.stop_reason, response.message.text) == (stop_reason, text)


async def test_calls_in_a_reply_that_was_cut_are_not_handed_on():
    document = reply("I will", finish="length", tool_calls=[wire_call("c", "delete", '{"path": "/a"}')])
    async with fault_server(answer(document)) as server:
        response = await ask(server, user("x"))
    assert response.message == assistant("I will")
    assert response.notes == ("the length limit cut off 1 tool call(s), which were not run",)


async def test_ids_that_are_missing_or_used_before_are_replaced():
    calls = [wire_call("same", "a", "{}"), wire_call("same", "b", "{}"), wire_call(None, "c", {"x": 1})]
    document = answer(reply(None, tool_calls=calls))
    async with fault_server(document, document) as server, model_at(server.base_url) as model:
        transcript = opened(model, [user("x")])
        first = await model.respond(transcript, CallOptions(), ignore)
        transcript.append(first.message)
        for call in first.message.tool_calls:
            transcript.append(tool(ToolResult(call.id, "ok")))
        second = await model.respond(transcript, CallOptions(), ignore)

    identities = [call.id for response in (first, second) for call in response.message.tool_calls]
    assert identities == ["same", "call00001", "call00002", "call00003", "call00004", "call00005"]
    assert first.message.tool_calls[2].arguments == '{"x":1}'
    assert len(first.notes) == 2


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (None, None),
        ({}, None),
        ("many", None),
        ({"prompt_tokens": -1, "completion_tokens": 5}, None),
        ({"prompt_tokens": 5}, None),
        ({"prompt_tokens": True, "completion_tokens": 5}, None),
        ({"prompt_tokens": 10**15, "completion_tokens": 5}, None),
        ({"prompt_tokens": 5, "completion_tokens": 6}, Usage(5, 6, calls=1)),
        (
            {"prompt_tokens": 5, "completion_tokens": 6, "prompt_tokens_details": {"cached_tokens": 50}},
            Usage(5, 6, cached_tokens=5, calls=1),
        ),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 6,
                "total_tokens": 31,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(5, 26, reasoning_tokens=20, calls=1),
        ),
    ],
)
async def test_usage_is_taken_only_where_it_can_be_true(reported: Any, usage: Usage | None):
    async with fault_server(answer(reply(usage=reported))) as server:
        assert (await ask(server, user("x"))).usage == usage


async def test_text_that_is_not_valid_unicode_is_mended():
    document = orjson.dumps(reply("HERE")).replace(b"HERE", rb"a\ud83db").replace(b"m-2026", b"m\xff")
    async with fault_server(answer(document)) as server:
        response = await ask(server, user("x"))
    assert (response.message.text, response.model) == ("a?b", "m\ufffd")

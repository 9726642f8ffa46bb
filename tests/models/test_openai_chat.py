"""What `OpenAIChatModel` sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from harness.errors import UsageError
from harness.messages import (
    Image,
    Message,
    ToolCall,
    ToolDefinition,
    ToolResult,
    assistant,
    system,
    tool,
    user,
)
from harness.models.endpoint import Endpoint
from harness.models.limiter import Limits
from harness.models.openai_chat import OpenAIChatModel
from harness.models.port import (
    CallOptions,
    ModelResponse,
    ToolChoice,
)
from tests.models.asking import SEARCH, answered, ignore, opened
from tests.models.server import FaultServer, Pause, answer, fault_server

pytestmark = pytest.mark.anyio

SEARCH_ON_THE_WIRE = {
    "type": "function",
    "function": {
        "name": "corpus__search",
        "description": "Find passages.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")


def reply(
    content: Any = "fine", *, finish: str = "stop", usage: Any = None, **message: Any
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "model": "m-2026",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": finish,
            }
        ],
        **({"usage": usage} if usage is not None else {}),
    }


def wire_call(identity: Any, name: str, arguments: Any) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


@asynccontextmanager
async def model_at(base_url: str, **settings: Any) -> AsyncIterator[OpenAIChatModel]:
    model = OpenAIChatModel(
        Endpoint(**{"model": "m", "base_url": base_url, "api_key": "sk-secret-key", "retries": 0, **settings})
    )
    try:
        yield model
    finally:
        await model.close()


async def ask(
    server: FaultServer,
    *messages: Message,
    tools: Sequence[ToolDefinition] = (),
    options: CallOptions | None = None,
    **settings: Any,
) -> ModelResponse:
    async with model_at(server.base_url, **settings) as model:
        return await answered(model, messages, tools, options)


async def test_a_request_holds_the_whole_conversation():
    conversation = [
        system("Be brief."),
        user("Where is X?"),
        assistant("Looking.", ToolCall("c1", "corpus.search", '{"query": "X"}')),
        tool(ToolResult("c1", "line 4")),
        assistant("At line 4."),
        user("Sure?", Image("QUJD")),
    ]
    async with fault_server(answer(reply())) as server:
        await ask(server, *conversation, tools=[SEARCH], temperature=0.0, max_tokens=99, extra={"seed": 7})

    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-secret-key"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(request.body))
    assert request.json == {
        "model": "m",
        "stream": False,
        "tools": [SEARCH_ON_THE_WIRE],
        "temperature": 0.0,
        "seed": 7,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where is X?"},
            {
                "role": "assistant",
                "content": "Looking.",
                "tool_calls": [wire_call("c1", "corpus__search", '{"query": "X"}')],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "line 4"},
            {"role": "assistant", "content": "At line 4."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Sure?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                ],
            },
        ],
        "max_tokens": 99,
    }


async def test_a_request_is_the_same_bytes_with_something_added_at_the_end():
    async with fault_server(answer(reply()), answer(reply())) as server, model_at(server.base_url) as model:
        transcript = opened(model, [user("one")], [SEARCH])
        first = await model.respond(transcript, CallOptions(), ignore)
        transcript.append(first.message)
        transcript.append(user("two"))
        await model.respond(transcript, CallOptions(), ignore)

    before, after = (request.body for request in server.requests)
    assert after.startswith(before.removesuffix(b"]}"))
    assert server.connections == 1


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("auto", {}), ("none", {"tool_choice": "none"}), ("required", {"tool_choice": "required"})],
)
async def test_the_tool_choice_is_sent_where_it_differs_from_the_default(
    choice: ToolChoice, sent: dict[str, str]
):
    async with fault_server(answer(reply()), answer(reply())) as server:
        await ask(server, user("x"), tools=[SEARCH], options=CallOptions(tool_choice=choice))
        await ask(server, user("x"), options=CallOptions(tool_choice=choice))

    with_tools, without_tools = (request.json for request in server.requests)
    assert {name: value for name, value in with_tools.items() if name == "tool_choice"} == sent
    assert "tool_choice" not in without_tools


async def test_a_calls_own_length_limit_wins_over_the_models_and_over_extra():
    async with fault_server(*[answer(reply())] * 4) as server:
        await ask(server, user("x"), max_tokens=9, options=CallOptions(max_tokens=5))
        await ask(server, user("x"), extra={"max_completion_tokens": 9}, options=CallOptions(max_tokens=5))
        await ask(server, user("x"), extra={"max_completion_tokens": 9})
        await ask(server, user("x"), max_tokens=9, extra={"max_tokens": None, "max_completion_tokens": 9})

    names = ("max_tokens", "max_completion_tokens")
    sent = [[request.json.get(name) for name in names] for request in server.requests]
    assert sent == [[5, None], [None, 5], [None, 9], [None, 9]]


async def test_extra_may_take_out_a_field_but_not_replace_the_conversation():
    async with fault_server(answer(reply())) as server:
        await ask(server, user("x"), stream=True, extra={"stream_options": None})
    assert "stream_options" not in server.requests[0].json

    with pytest.raises(UsageError, match="sets messages, model"):
        OpenAIChatModel(Endpoint(model="m", extra={"messages": [], "model": "other"}))


async def test_images_of_tool_results_follow_after_the_last_of_them():
    conversation = [
        user("Compare."),
        assistant("", ToolCall("a", "shot", "{}"), ToolCall("b", "shot", "{}")),
        tool(ToolResult("a", "first", images=(Image("QQ==", "image/jpeg"),))),
        tool(ToolResult("b", "second")),
    ]
    images = {
        "role": "user",
        "content": [
            {"type": "text", "text": "Images of the tool result a:"},
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QQ=="}},
        ],
    }
    async with fault_server(answer(reply()), answer(reply())) as server, model_at(server.base_url) as model:
        transcript = opened(model, conversation)
        before = transcript.digest()
        await model.respond(transcript, CallOptions(), ignore)
        assert transcript.digest() == before
        transcript.append(assistant("Alike."))
        await model.respond(transcript, CallOptions(), ignore)

    first, second = (request.json["messages"] for request in server.requests)
    assert [message["role"] for message in first] == ["user", "assistant", "tool", "tool", "user"]
    assert first[-1] == images
    assert second == [*first, {"role": "assistant", "content": "Alike."}]


async def test_names_and_text_that_the_wire_cannot_hold_are_mended():
    async with fault_server(answer(reply())) as server:
        await ask(server, user("half a pair: \ud83d"), assistant("", ToolCall("c", "made up.tool()", "{}")))

    sent = server.requests[0].json["messages"]
    assert sent[0]["content"] == "half a pair: ?"
    assert sent[1]["tool_calls"][0]["function"]["name"] == "made_up__tool__"


async def test_two_tools_with_one_wire_name_are_an_error():
    async with model_at("http://127.0.0.1:9/v1") as model:
        with pytest.raises(UsageError, match="a.b and a__b are both a__b"):
            model.open([ToolDefinition("a.b", ""), ToolDefinition("a__b", "")])


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("/", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/openai?api-version=2", "/v1/openai/chat/completions?api-version=2"),
    ],
)
async def test_the_path_is_added_to_the_base_url(base: str, target: str):
    async with fault_server(answer(reply())) as server:
        server.base_url += base
        await ask(server, user("x"))
    assert server.requests[0].target == target


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://host/v1", "http://", ""])
def test_a_base_url_that_is_none_is_a_usage_error(url: str):
    with pytest.raises(UsageError, match="is not an http or https URL"):
        OpenAIChatModel(Endpoint(model="m", base_url=url))


async def test_no_more_requests_run_at_once_than_allowed():
    async with (
        fault_server(*[[Pause(0.02), answer(reply())]] * 12) as server,
        model_at(server.base_url, limits=Limits(parallel=3)) as model,
        anyio.create_task_group() as group,
    ):
        for _ in range(12):
            group.start_soon(model.respond, opened(model, [user("x")]), CallOptions(), ignore)
    assert (len(server.requests), server.most_at_once) == (12, 3)


async def test_a_conversation_of_megabytes_arrives_whole():
    async with fault_server(answer(reply()), answer(reply())) as server, model_at(server.base_url) as model:
        transcript = opened(model, [user(f"{number} " + "x" * 100_000) for number in range(30)])
        await model.respond(transcript, CallOptions(), ignore)
        transcript.append(user("y"))
        await model.respond(transcript, CallOptions(), ignore)
    assert [len(request.json["messages"]) for request in server.requests] == [30, 31]


async def test_the_digest_tells_conversations_and_tools_apart():
    async with model_at("http://127.0.0.1:9/v1") as model:
        plain = opened(model, [user("a"), user("b")])
        digests = [
            plain.digest(),
            opened(model, [user("ab")]).digest(),
            opened(model, [user("a"), user("b")], [SEARCH]).digest(),
            opened(model, [user("a"), assistant("b")]).digest(),
        ]
        assert len(set(digests)) == 4
        assert opened(model, [user("a"), user("b")]).digest() == plain.digest()


def test_no_secret_shows_in_the_repr():
    endpoint = Endpoint(model="m", api_key="sk-secret-key", headers={"X-Key": "other-secret"})
    assert "secret" not in repr(endpoint)


def test_a_chat_model_without_an_address_is_openais():
    assert OpenAIChatModel(Endpoint(model="m")).settings["address"] == "api.openai.com"

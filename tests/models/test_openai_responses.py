"""What `OpenAIResponsesModel` sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from harness.errors import UsageError
from harness.messages import (
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
    assistant,
    system,
    tool,
    user,
)
from harness.models.endpoint import Endpoint
from harness.models.openai_responses import OpenAIResponsesModel
from harness.models.port import CallOptions, ModelResponse, ToolChoice, plan_thinking
from harness.models.profiles import UNKNOWN, Profile
from harness.models.thinking import Thinking, ThinkingOptions, ThinkingUnsupported
from tests.models.asking import SEARCH, answered, ignore, opened
from tests.models.server import FaultServer, answer, fault_server

pytestmark = pytest.mark.anyio

SEARCH_ON_THE_WIRE = {
    "type": "function",
    "name": "corpus__search",
    "description": "Find passages.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    "strict": False,
}
THOUGHT = '{"type": "reasoning",  "id":"rs_1","summary":[], "encrypted_content":"g\\u0041\\/x"}'
THOUGHT_AGAIN = '{"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"y"}'


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")


def said(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def called(identity: str, name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{identity}",
        "call_id": identity,
        "name": name,
        "arguments": arguments,
        "status": "completed",
        **more,
    }


def reply(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    items = list(output or (said("fine"),))
    return {"id": "resp_1", "model": "m-2026", "status": "completed", "output": items, **more}


@asynccontextmanager
async def model_at(base_url: str, **settings: Any) -> AsyncIterator[OpenAIResponsesModel]:
    model = OpenAIResponsesModel(
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


def thought(payload: str, **other: str) -> Reasoning:
    """Reasoning, or what marks another item, as the model `m` on this machine gave it."""
    bound = {"provider": "openai", "model": "m", "route": "openai@127.0.0.1", **other}
    return Reasoning("", payload=payload, **bound)


def mark(kind: str, identity: str, after: str = "rs_1") -> Reasoning:
    return thought(orjson.dumps({"type": kind, "id": identity, "after": after}).decode())


def look(identity: str) -> ToolCall:
    return ToolCall(identity, "corpus.search", "{}")


def look_item(identity: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": identity,
        "name": "corpus__search",
        "arguments": "{}",
        **more,
    }


async def items_sent(*parts: Any, **settings: Any) -> list[dict[str, Any]]:
    """Return the items that one reply of these parts becomes."""
    async with fault_server(answer(reply())) as server:
        await ask(server, user("x"), Message("assistant", parts), tools=[SEARCH], **settings)
    return server.requests[0].json["input"][1:]


async def test_a_request_holds_the_whole_conversation():
    conversation = [
        system("Be brief."),
        user("Where is X?"),
        assistant("Looking.", ToolCall("c1", "corpus.search", '{"query": "X"}')),
        tool(ToolResult("c1", "line 4", images=(Image("QQ==", "image/jpeg"),))),
        assistant("At line 4."),
        system("Be sure."),
        user("Sure?", Image("QUJD")),
    ]
    async with fault_server(answer(reply())) as server:
        await ask(server, *conversation, tools=[SEARCH], temperature=0.0, max_tokens=99, extra={"top_p": 1})

    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == "Bearer sk-secret-key"
    assert request.headers["content-type"] == "application/json"
    assert request.json == {
        "model": "m",
        "stream": False,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "tools": [SEARCH_ON_THE_WIRE],
        "temperature": 0.0,
        "top_p": 1,
        "input": [
            {"type": "message", "role": "user", "content": "Where is X?"},
            {"type": "message", "role": "assistant", "content": "Looking."},
            {
                "type": "function_call",
                "call_id": "c1",
                "name": "corpus__search",
                "arguments": '{"query": "X"}',
            },
            {
                "type": "function_call_output",
                "call_id": "c1",
                "output": [
                    {"type": "input_text", "text": "line 4"},
                    {"type": "input_image", "image_url": "data:image/jpeg;base64,QQ==", "detail": "auto"},
                ],
            },
            {"type": "message", "role": "assistant", "content": "At line 4."},
            {"type": "message", "role": "system", "content": "Be sure."},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Sure?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "auto"},
                ],
            },
        ],
        "instructions": "Be brief.",
        "max_output_tokens": 99,
    }


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


async def test_a_calls_own_length_limit_wins_and_is_never_less_than_the_api_takes():
    async with fault_server(*[answer(reply())] * 4) as server:
        await ask(server, user("x"), max_tokens=99, options=CallOptions(max_tokens=55))
        await ask(server, user("x"), extra={"max_output_tokens": 99}, options=CallOptions(max_tokens=55))
        await ask(server, user("x"), extra={"max_output_tokens": 99})
        await ask(server, user("x"), options=CallOptions(max_tokens=5))

    assert [request.json["max_output_tokens"] for request in server.requests] == [55, 55, 99, 16]


async def test_extra_may_change_and_take_out_fields_but_not_replace_the_conversation():
    async with fault_server(answer(reply())) as server:
        extra = {"include": None, "parallel_tool_calls": False, "prompt_cache_key": "k"}
        await ask(server, user("x"), extra=extra)
    sent = server.requests[0].json
    assert "include" not in sent
    assert (sent["parallel_tool_calls"], sent["prompt_cache_key"]) == (False, "k")

    with pytest.raises(UsageError, match="sets input, instructions"):
        OpenAIResponsesModel(Endpoint(model="m", extra={"input": [], "instructions": "x"}))


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("/", "/v1/responses"),
        ("/responses", "/v1/responses"),
        ("/openai?api-version=2", "/v1/openai/responses?api-version=2"),
    ],
)
async def test_the_path_is_added_to_the_base_url(base: str, target: str):
    async with fault_server(answer(reply())) as server:
        server.base_url += base
        await ask(server, user("x"))
    assert server.requests[0].target == target


def test_a_model_without_an_address_is_openais_and_tells_what_is_asked_of_every_reply():
    extra = {
        "max_output_tokens": 9,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_object"}},
    }
    model = OpenAIResponsesModel(Endpoint(model="m", extra=extra))
    assert model.provider == "openai"
    assert dict(model.settings) == {
        "address": "api.openai.com",
        "port": 443,
        "max_tokens": 9,
        "reasoning": "low",
        "output": "json",
    }


async def test_thinking_goes_back_byte_for_byte_before_what_it_led_to():
    parts = [
        thought(THOUGHT),
        thought('{"type":"message","id":"msg_1","status":"completed","phase":"commentary","after":"rs_1"}'),
        Text("Looking."),
        mark("function_call", "fc_1"),
        look("c1"),
        thought(THOUGHT_AGAIN),
        mark("function_call", "fc_2", after="rs_2"),
        look("c2"),
    ]
    async with fault_server(answer(reply())) as server:
        await ask(server, user("x"), Message("assistant", tuple(parts)), tools=[SEARCH])

    request = server.requests[0]
    assert THOUGHT.encode() in request.body
    assert request.json["input"][1:] == [
        orjson.loads(THOUGHT),
        {**said("Looking."), "phase": "commentary"},
        look_item("c1", id="fc_1"),
        orjson.loads(THOUGHT_AGAIN),
        look_item("c2", id="fc_2"),
    ]


@pytest.mark.parametrize(
    "other",
    [{"model": "n"}, {"route": "openai@elsewhere"}, {"provider": "anthropic"}],
    ids=lambda one: min(one),
)
async def test_thinking_of_another_model_or_route_is_dropped_whole(other: dict[str, str]):
    foreign = [replace(part, **other) for part in (thought(THOUGHT), mark("function_call", "fc_1"))]
    assert await items_sent(foreign[0], foreign[1], look("c1")) == [look_item("c1")]


async def test_thinking_that_nothing_follows_is_not_sent():
    assert await items_sent(thought(THOUGHT)) == []
    assert await items_sent(thought(THOUGHT), mark("message", "msg_1"), Text("")) == []
    led_nowhere = [mark("function_call", "fc_1"), look("c1"), thought(THOUGHT_AGAIN)]
    assert await items_sent(thought(THOUGHT), *led_nowhere) == [
        orjson.loads(THOUGHT),
        look_item("c1", id="fc_1"),
    ]


async def test_what_lost_its_thinking_goes_without_its_id():
    later = [mark("function_call", "fc_2", after="rs_2"), look("c2")]
    assert await items_sent(mark("function_call", "fc_1"), look("c1")) == [look_item("c1")]
    assert await items_sent(thought(THOUGHT), mark("function_call", "fc_1"), look("c1"), *later) == [
        orjson.loads(THOUGHT),
        look_item("c1", id="fc_1"),
        look_item("c2"),
    ]


async def test_a_reopened_conversation_keeps_its_instructions_once():
    async with fault_server(answer(reply())) as server, model_at(server.base_url) as model:
        conversation = [system("Be brief."), user("a")]
        transcript = opened(model, conversation).reopened(conversation)
        assert transcript.digest() == opened(model, conversation).digest()
        assert transcript.digest() != opened(model, [system("Be long."), user("a")]).digest()
        await model.respond(transcript, CallOptions(), ignore)
    assert server.requests[0].json["instructions"] == "Be brief."
    assert len(server.requests[0].json["input"]) == 1


GPT = Profile("gpt-5-1", thinking=ThinkingOptions(toggle=True, efforts=("low", "medium", "high")))
ALWAYS = Profile("gpt-5", thinking=ThinkingOptions(always=True, efforts=("minimal", "low", "medium", "high")))
NEVER = Profile("gpt-4-1", thinking=ThinkingOptions(never=True))


@pytest.mark.parametrize(
    ("thinking", "profile", "sent", "enforcement"),
    [
        (Thinking("off"), GPT, {"effort": "none"}, "hard"),
        (Thinking("off"), UNKNOWN, {"effort": "none"}, "hard"),
        (Thinking("off", allow_degraded=True), ALWAYS, {"effort": "minimal"}, "soft"),
        (Thinking("off"), NEVER, None, "hard"),
        (Thinking("on"), GPT, {"effort": "medium", "summary": "auto"}, "soft"),
        (Thinking("on", effort="high"), GPT, {"effort": "high", "summary": "auto"}, "soft"),
        (Thinking("on", effort="max"), UNKNOWN, {"effort": "max", "summary": "auto"}, "soft"),
        (Thinking("on", effort="low", visible="hidden"), GPT, {"effort": "low"}, "soft"),
        (Thinking("on", visible="full"), UNKNOWN, {"effort": "medium", "summary": "detailed"}, "soft"),
        (
            Thinking("on", visible="full", allow_degraded=True),
            GPT,
            {"effort": "medium", "summary": "detailed"},
            "soft",
        ),
        (
            Thinking("on", budget=9_000, allow_degraded=True),
            GPT,
            {"effort": "medium", "summary": "auto"},
            "soft",
        ),
        (
            Thinking("on", effort="max", allow_degraded=True),
            GPT,
            {"effort": "high", "summary": "auto"},
            "soft",
        ),
        (Thinking("on", allow_degraded=True), NEVER, None, "ignored"),
    ],
)
async def test_thinking_is_asked_for_in_the_apis_own_words(
    thinking: Thinking, profile: Profile, sent: dict[str, str] | None, enforcement: str
):
    async with fault_server(answer(reply())) as server, model_at(server.base_url, profile=profile) as model:
        plan = plan_thinking(model, thinking)
        await model.respond(opened(model, [user("x")]), CallOptions(thinking=thinking), ignore)
    assert server.requests[0].json.get("reasoning") == sent
    assert (plan.enforcement, bool(plan.reason), plan.can_require_tools) == (enforcement, True, True)


@pytest.mark.parametrize(
    ("thinking", "profile", "why"),
    [
        (Thinking("off"), ALWAYS, "gpt-5 thinks always"),
        (Thinking("on"), NEVER, "gpt-4-1 does not think"),
        (Thinking("on", budget=4_000), GPT, "the Responses API has no budget in tokens"),
        (Thinking("on", effort="max"), GPT, "gpt-5-1 knows the efforts low, medium, high, not max"),
        (Thinking("on", visible="full"), GPT, "gpt-5-1 shows only a summary"),
    ],
)
def test_what_the_api_cannot_express_is_refused(thinking: Thinking, profile: Profile, why: str):
    model = OpenAIResponsesModel(Endpoint(model="m", profile=profile))
    with pytest.raises(ThinkingUnsupported, match=f"{why}.*allow_degraded"):
        plan_thinking(model, thinking)


async def test_context_and_mode_stand_beside_what_is_asked_of_thinking():
    extra = {"reasoning": {"context": "all_turns", "mode": "pro", "effort": "low"}}
    async with fault_server(answer(reply()), answer(reply())) as server:
        await ask(server, user("x"), extra=extra, options=CallOptions(thinking=Thinking("on", effort="high")))
        await ask(server, user("x"), extra=extra)
    asked = [request.json["reasoning"] for request in server.requests]
    assert asked == [
        {"context": "all_turns", "mode": "pro", "effort": "high", "summary": "auto"},
        extra["reasoning"],
    ]

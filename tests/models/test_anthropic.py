"""What `AnthropicModel` sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from harness.models.anthropic import AnthropicModel
from harness.models.endpoint import Endpoint
from harness.models.port import CallOptions, ModelResponse, settings_of
from harness.models.profiles import profile_of
from harness.models.thinking import Thinking, ThinkingUnsupported
from tests.models.asking import answered, ignore, opened
from tests.models.server import FaultServer, answer, fault_server

pytestmark = pytest.mark.anyio

SEARCH = ToolDefinition("corpus.search", "Find passages.", {"type": "object", "properties": {}})
ROUTE = "anthropic@127.0.0.1"
MARK = {"cache_control": {"type": "ephemeral"}}


def reply(*content: dict[str, Any], stop: str = "end_turn", **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-m",
        "content": list(content),
        "stop_reason": stop,
        "usage": usage,
        **fields,
    }


FINE = answer(reply({"type": "text", "text": "fine"}))


@asynccontextmanager
async def model_at(base_url: str, **told: Any) -> AsyncIterator[AnthropicModel]:
    name = told.pop("model", "claude-haiku-4-5")
    given = {"model": name, "base_url": base_url, "api_key": "sk-secret-key", "retries": 0, **told}
    model = AnthropicModel(Endpoint(**{"profile": profile_of(name), **given}))
    try:
        yield model
    finally:
        await model.close()


async def ask(
    server: FaultServer,
    *messages: Message,
    tools: Sequence[ToolDefinition] = (),
    options: CallOptions | None = None,
    **told: Any,
) -> ModelResponse:
    async with model_at(server.base_url, **told) as model:
        return await answered(model, messages, tools, options)


async def sent(*messages: Message, **told: Any) -> dict[str, Any]:
    """Return the body of the request that asks for the next message."""
    async with fault_server(FINE) as server:
        await ask(server, *messages, **told)
    return server.requests[0].json


def thought(text: str, *, model: str = "claude-haiku-4-5", route: str = ROUTE) -> Reasoning:
    payload = orjson.dumps({"type": "thinking", "thinking": text, "signature": f"of {text}"}).decode()
    return Reasoning(text, "anthropic", model, payload, route)


async def test_a_request_holds_the_whole_conversation():
    conversation = [
        system("Be brief."),
        user("Where is X?"),
        Message(
            "assistant",
            (
                thought("Hm."),
                Text("Looking."),
                ToolCall("toolu_1", "corpus.search", '{"query": "X"}'),
                ToolCall("toolu_2", "corpus.search", ""),
            ),
        ),
        tool(ToolResult("toolu_1", "line 4", images=(Image("QUJD"),))),
        tool(ToolResult("toolu_2", "no such file", is_error=True)),
        user("Sure?", Image("QQ==", "image/jpeg")),
    ]
    async with fault_server(FINE) as server:
        await ask(server, *conversation, tools=[SEARCH], temperature=0.2, extra={"stop_sequences": ["END"]})

    request = server.requests[0]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    photo = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "QQ=="}}
    first = {"type": "tool_result", "tool_use_id": "toolu_1"}
    second = {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no such file", "is_error": True}
    assert request.target == "/v1/messages"
    assert {name: request.headers[name] for name in ("x-api-key", "anthropic-version", "anthropic-beta")} == {
        "x-api-key": "sk-secret-key",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "interleaved-thinking-2025-05-14",
    }
    assert request.json == {
        "model": "claude-haiku-4-5",
        "stream": False,
        "tools": [
            {
                "name": "corpus__search",
                "description": "Find passages.",
                "input_schema": {"type": "object", "properties": {}},
                **MARK,
            }
        ],
        "stop_sequences": ["END"],
        "system": [{"type": "text", "text": "Be brief.", **MARK}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Where is X?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "of Hm."},
                    {"type": "text", "text": "Looking."},
                    {"type": "tool_use", "id": "toolu_1", "name": "corpus__search", "input": {"query": "X"}},
                    {"type": "tool_use", "id": "toolu_2", "name": "corpus__search", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {**first, "content": [{"type": "text", "text": "line 4"}, image]},
                    second,
                    {"type": "text", "text": "Sure?"},
                    {**photo, **MARK},
                ],
            },
        ],
        "temperature": 0.2,
        "max_tokens": 64_000,
    }


async def test_results_stand_first_whatever_was_said_between_them():
    body = await sent(
        user("x"),
        assistant("", ToolCall("a", "corpus.search", "{}"), ToolCall("b", "corpus.search", "{}")),
        tool(ToolResult("a", "1")),
        user("Hurry."),
        tool(ToolResult("b", "2")),
        system("By the way."),
    )
    assert [(block["type"], block.get("text")) for block in body["messages"][2]["content"]] == [
        ("tool_result", None),
        ("tool_result", None),
        ("text", "Hurry."),
        ("text", "By the way."),
    ]


async def test_nothing_is_sent_that_the_api_refuses_for_being_empty():
    body = await sent(
        system(""),
        user("x"),
        user(" "),
        assistant("\n"),
        Message("assistant", (thought("Cut off."),)),
        user("y"),
        assistant("\n\n", ToolCall("a", "corpus.search", "{}")),
        tool(ToolResult("a", " ")),
    )
    assert "system" not in body
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "a", "name": "corpus__search", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", **MARK}]},
    ]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"b":1,"a":[2.50]}', b'"input":{"b":1,"a":[2.50]}'),
        ('{"query":', b'"input":{"malformed":"{\\"query\\":"}'),
        ("[1]", b'"input":{"malformed":"[1]"}'),
    ],
)
async def test_arguments_go_back_as_the_model_wrote_them_or_as_text(arguments: str, given: bytes):
    async with fault_server(FINE) as server:
        call = ToolCall("call:1", "corpus.search", arguments)
        await ask(server, user("x"), assistant("", call), tool(ToolResult("call:1", "ok")))
    assert given in server.requests[0].body
    assert server.requests[0].body.count(b'"call_1"') == 2


@pytest.mark.parametrize(
    "parts",
    [
        (thought("a", model="claude-opus-5"), Text("ok")),
        (thought("a", route="anthropic@elsewhere"), Text("ok")),
        (Reasoning("a", "deepseek", "deepseek-v4"), Text("ok")),
        (thought("a"), Text("ok"), thought("cut off")),
        (thought("a"), Reasoning("b", "anthropic", "claude-haiku-4-5", "", ROUTE), Text("ok")),
    ],
)
async def test_the_thinking_of_a_turn_goes_back_whole_or_not_at_all(parts: tuple[Any, ...]):
    body = await sent(user("x"), Message("assistant", parts), user("y"))
    assert body["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": "ok"}]}


async def test_thinking_goes_back_byte_for_byte():
    payload = '{"type":"redacted_thinking", "data":"Zm9v\\u00e4","new":1.0}'
    part = Reasoning("", "anthropic", "claude-haiku-4-5", payload, ROUTE)
    async with fault_server(FINE) as server:
        await ask(server, user("x"), Message("assistant", (part, Text("ok"))), user("y"))
    assert payload.encode() in server.requests[0].body


@pytest.mark.parametrize(
    ("extra", "marks"),
    [
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, [{"type": "ephemeral", "ttl": "1h"}] * 3),
        ({"cache_control": None}, []),
    ],
)
async def test_the_cache_may_be_kept_longer_or_not_at_all(extra: dict[str, Any], marks: list[Any]):
    body = await sent(system("s"), user("x"), tools=[SEARCH], extra=extra)
    blocks = [*body["tools"], *body["system"], *body["messages"][0]["content"]]
    assert [block["cache_control"] for block in blocks if "cache_control" in block] == marks


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/v1/messages"),
        ("/v1", "/v1/messages"),
        ("/anthropic", "/anthropic/v1/messages"),
        ("/v1/messages?beta=true", "/v1/messages?beta=true"),
    ],
)
async def test_the_address_may_be_given_as_any_client_wants_it(path: str, target: str):
    async with fault_server(FINE) as server:
        base = server.base_url.removesuffix("/v1") + path
        async with model_at(base) as model:
            await model.respond(opened(model, [user("x")]), CallOptions(), ignore)
    assert server.requests[0].target == target


def planned(
    model: str, thinking: Thinking, *, max_tokens: int | None = None
) -> tuple[dict[str, Any], str, bool]:
    plan = AnthropicModel(
        Endpoint(model=model, profile=profile_of(model), max_tokens=max_tokens)
    ).plan_thinking(thinking)
    return dict(plan.fields), plan.enforcement, plan.can_require_tools


SHOWN = {"display": "summarized"}
ON = Thinking("on")
OFF = Thinking("off")
DISABLED = {"thinking": {"type": "disabled"}}


@pytest.mark.parametrize(
    ("model", "thinking", "fields", "enforcement"),
    [
        ("claude-haiku-4-5", Thinking("on", budget=2000), {"thinking": {"type": "enabled", "budget_tokens": 2000, **SHOWN}}, "soft"),
        ("claude-haiku-4-5", ON, {"thinking": {"type": "enabled", "budget_tokens": 8192, **SHOWN}}, "soft"),
        ("claude-haiku-4-5", Thinking("on", "low"), {"thinking": {"type": "enabled", "budget_tokens": 2048, **SHOWN}}, "soft"),
        ("claude-haiku-4-5", OFF, DISABLED, "hard"),
        ("claude-opus-4-6", Thinking("on", budget=2000), {"thinking": {"type": "enabled", "budget_tokens": 2000, **SHOWN}}, "soft"),
        ("claude-opus-4-6", Thinking("on", "max"), {"thinking": {"type": "adaptive", **SHOWN}, "output_config": {"effort": "max"}}, "soft"),
        ("claude-opus-4-8", ON, {"thinking": {"type": "adaptive", **SHOWN}}, "soft"),
        ("claude-opus-4-8", Thinking("on", "xhigh", visible="hidden"), {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "xhigh"}}, "soft"),
        ("claude-opus-4-8", OFF, DISABLED, "hard"),
        ("claude-sonnet-5-5", OFF, {"thinking": {"type": "between_tools"}}, "hard"),
        ("claude-3-haiku-20240307", OFF, {}, "hard"),
        ("served-by-somebody", Thinking("on", budget=4000), {"thinking": {"type": "enabled", "budget_tokens": 4000}}, "soft"),
    ],
)  # fmt: skip
def test_each_model_is_told_in_its_own_words(
    model: str, thinking: Thinking, fields: dict[str, Any], enforcement: str
):
    assert planned(model, thinking) == (fields, enforcement, thinking.mode == "off")


@pytest.mark.parametrize(
    ("model", "thinking", "max_tokens", "reason", "nearest"),
    [
        ("claude-opus-4-8", Thinking("on", budget=9000), None, "no budget in tokens", {"thinking": {"type": "adaptive", **SHOWN}, "output_config": {"effort": "medium"}}),
        ("claude-opus-4-8", Thinking("on", "minimal"), None, "low, medium, high, xhigh, max", {"thinking": {"type": "adaptive", **SHOWN}, "output_config": {"effort": "low"}}),
        ("claude-opus-5-5", OFF, None, "thinks always", {"thinking": {"type": "adaptive", **SHOWN}, "output_config": {"effort": "low"}}),
        ("claude-opus-4-8", Thinking("on", visible="full"), None, "only a summary", {"thinking": {"type": "adaptive", **SHOWN}}),
        ("claude-haiku-4-5", Thinking("on", budget=500), None, "less than 1,024", DISABLED),
        ("claude-haiku-4-5", Thinking("on", budget=80_000), None, "up to 63,999", {"thinking": {"type": "enabled", "budget_tokens": 63_999, **SHOWN}}),
        ("claude-haiku-4-5", Thinking("on", budget=4000), 4000, "not within max_tokens, 4,000", {"thinking": {"type": "enabled", "budget_tokens": 4000, **SHOWN}}),
        ("claude-3-haiku-20240307", ON, None, "does not think", {}),
    ],
)  # fmt: skip
def test_what_a_model_cannot_be_told_is_refused_or_comes_as_near_as_it_may(
    model: str, thinking: Thinking, max_tokens: int | None, reason: str, nearest: dict[str, Any]
):
    with pytest.raises(ThinkingUnsupported, match=reason):
        planned(model, thinking, max_tokens=max_tokens)
    degraded = Thinking(
        thinking.mode, thinking.effort, thinking.budget, thinking.visible, allow_degraded=True
    )
    assert planned(model, degraded, max_tokens=max_tokens)[0] == nearest


BUDGET = CallOptions(thinking=Thinking("on", budget=4000))


@pytest.mark.parametrize(
    ("asked", "told", "sent_fields"),
    [
        (None, {}, {"max_tokens": 64_000}),
        (None, {"max_tokens": 100}, {"max_tokens": 100}),
        (None, {"max_tokens": 900_000}, {"max_tokens": 64_000}),
        (CallOptions(max_tokens=50), {"max_tokens": 100}, {"max_tokens": 50}),
        (None, {"model": "served-by-somebody"}, {"max_tokens": 8192}),
        (BUDGET, {}, {"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 4000, **SHOWN}}),
        (BUDGET, {"model": "served-by-somebody"}, {"max_tokens": 12_192, "thinking": {"type": "enabled", "budget_tokens": 4000}}),
        (CallOptions(max_tokens=3000, thinking=BUDGET.thinking), {}, {"max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 1500, **SHOWN}}),
        (CallOptions(max_tokens=1000, thinking=BUDGET.thinking), {}, {"max_tokens": 1000, **DISABLED}),
        (BUDGET, {"temperature": 0.5}, {"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 4000, **SHOWN}}),
        (CallOptions(thinking=OFF), {"temperature": 0.5}, {"max_tokens": 64_000, "temperature": 0.5, **DISABLED}),
        (None, {"temperature": 0.5, "model": "claude-opus-4-8"}, {"max_tokens": 128_000}),
        (CallOptions(tool_choice="none"), {}, {"max_tokens": 64_000, "tool_choice": {"type": "none"}}),
        (CallOptions(tool_choice="required"), {}, {"max_tokens": 64_000, "tool_choice": {"type": "any"}}),
        (CallOptions(tool_choice="required", thinking=BUDGET.thinking), {}, {"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 4000, **SHOWN}}),
        (CallOptions(tool_choice="required"), {"model": "claude-opus-5"}, {"max_tokens": 128_000}),
        (CallOptions(tool_choice="required", thinking=OFF), {"model": "claude-opus-5"}, {"max_tokens": 128_000, "tool_choice": {"type": "any"}, **DISABLED}),
        (CallOptions(tool_choice="required", thinking=OFF), {"model": "claude-sonnet-5-5"}, {"max_tokens": 128_000, "thinking": {"type": "between_tools"}}),
        (BUDGET, {"extra": {"thinking": {"type": "adaptive"}}}, {"max_tokens": 64_000, "thinking": {"type": "enabled", "budget_tokens": 4000, **SHOWN}}),
        (None, {"extra": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}}, {"max_tokens": 64_000, "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        (CallOptions(thinking=Thinking("on", "high")), {"model": "claude-opus-5", "extra": {"output_config": {"format": {"x": 1}}}}, {"max_tokens": 128_000, "thinking": {"type": "adaptive", **SHOWN}, "output_config": {"format": {"x": 1}, "effort": "high"}}),
    ],
)  # fmt: skip
async def test_what_changes_from_call_to_call(
    asked: CallOptions | None, told: dict[str, Any], sent_fields: dict[str, Any]
):
    body = await sent(user("x"), tools=[SEARCH], options=asked, **told)
    fixed = {"model", "stream", "tools", "messages"}
    assert {name: value for name, value in body.items() if name not in fixed} == sent_fields


async def test_extra_may_not_set_what_the_model_sets_itself():
    with pytest.raises(UsageError, match="sets system"):
        AnthropicModel(Endpoint(model="m", extra={"system": "x"}))


async def test_a_model_tells_what_is_the_same_in_every_request():
    extra = {"top_p": 0.9, "stop_sequences": ["END"], "output_config": {"effort": "low"}}
    async with model_at("http://127.0.0.1:9", extra=extra, temperature=0.1) as model:
        assert settings_of(model) == {
            "address": "127.0.0.1",
            "port": 9,
            "temperature": 0.1,
            "max_tokens": 64_000,
            "top_p": 0.9,
            "stop": ["END"],
            "reasoning": "low",
        }


@pytest.mark.parametrize(
    ("name", "family", "cache_write"),
    [
        ("claude-opus-4-5-20251101", "claude-opus-4-5", 6.25),
        ("claude-opus-4-20250514", "claude-opus-4", 18.75),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4", 3.75),
        ("anthropic/claude-opus-5.5", "claude-opus-5-5", 5.0),
        ("us.anthropic.claude-sonnet-4-6-v1:0", "claude-sonnet-4-6", 3.75),
        ("claude-haiku-5-5", "claude-haiku-5-5", 0.125),
        ("claude-opus-9", "claude", None),
    ],
)
def test_a_model_is_known_by_its_family(name: str, family: str, cache_write: float | None):
    profile = profile_of(name)
    assert (profile.family, profile.price and profile.price.cache_write) == (family, cache_write)


texts = st.text(max_size=12)
results = st.builds(
    lambda text, pictures: tool(ToolResult("c", text, images=tuple(pictures))),
    texts,
    st.lists(st.just(Image("QQ==")), max_size=2),
)
replies = st.builds(
    lambda reasons, text, calls: Message("assistant", (*reasons, *([Text(text)] if text else []), *calls)),
    st.lists(st.builds(thought, texts), max_size=2),
    texts,
    st.lists(st.builds(ToolCall, st.just("c"), st.just("corpus.search"), st.just("{}")), max_size=3),
)
conversations = st.lists(
    st.one_of(st.builds(system, texts), st.builds(user, texts), replies, results), max_size=10
)


@settings(deadline=None, max_examples=60)
@given(conversation=conversations, model=st.sampled_from(["claude-haiku-4-5", "claude-opus-5-5"]))
def test_a_conversation_opened_again_is_the_one_that_grew(conversation: list[Message], model: str):
    speaker = AnthropicModel(Endpoint(model=model, profile=profile_of(model)))
    grown = speaker.transcript(speaker.head([SEARCH]), [SEARCH])
    for message in conversation:
        grown.append(message)
        b"".join(grown.pieces())
        grown.digest()
    again = grown.reopened(conversation)
    assert again.digest() == grown.digest()
    assert b"".join(again.pieces()) == b"".join(grown.pieces())
    roles = [one["role"] for one in orjson.loads(b"".join(grown.pieces()) + b"]}")["messages"]]
    assert ("user", "user") not in zip(roles, roles[1:], strict=False)


def test_what_a_request_encodes_does_not_grow_with_the_window():
    model = AnthropicModel(Endpoint(model="claude-haiku-4-5"))
    transcript = model.transcript(model.head([SEARCH]), [SEARCH])
    transcript.append(system("Read."))
    transcript.append(user("Read it all."))
    made: list[int] = []
    for number in range(1000):
        call = ToolCall(f"call{number:05d}", "corpus.search", "{}")
        transcript.append(Message("assistant", (thought("Next."), call)))
        transcript.append(tool(ToolResult(call.id, "x" * 1000)))
        head, instructions, closed, last = transcript.pieces()
        made.append(len(instructions) + len(last))
        assert (head, closed) == (transcript.head, closed)
    assert set(made[1:]) == {made[1]}

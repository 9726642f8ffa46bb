"""What `AnthropicModel` makes of replies: whole, streamed, broken, and refused."""

from __future__ import annotations

from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ContextOverflow, ModelError, ModelRejected, ModelUnavailable, QuotaUsedUp
from harness.messages import Message, Reasoning, Text, ToolCall, Usage, assistant, user
from harness.models.port import CallOptions, ModelResponse, Notice, Retrying, TextDelta, ThinkingDelta
from tests.models.server import Close, Reset, Script, answer, event_stream, fault_server
from tests.models.strict_anthropic import event, streamed
from tests.models.test_anthropic import FINE, ROUTE, SEARCH, ask, model_at, opened, reply

pytestmark = pytest.mark.anyio


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def use(identity: str, name: str = "corpus__search", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": name, "input": arguments}


THINKING = {"type": "thinking", "thinking": "Hm – „天気“?", "signature": "c2lnbmF0dXJl", "later": 1}
REDACTED = {"type": "redacted_thinking", "data": "b3BhcXVl"}
WEATHER = reply(
    THINKING,
    REDACTED,
    text("Let me see."),
    use("toolu_1", query="köln"),
    {**THINKING, "thinking": "And on."},
    use("toolu_2"),
    {"type": "something_new", "x": 1},
    stop="tool_use",
    usage={
        "input_tokens": 3,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 30},
    },
)


def reasoning(block: dict[str, Any]) -> Reasoning:
    payload = orjson.dumps(block).decode()
    return Reasoning(block.get("thinking", ""), "anthropic", "claude-haiku-4-5", payload, ROUTE)


RESPONSE = ModelResponse(
    Message(
        "assistant",
        (
            reasoning(THINKING),
            reasoning(REDACTED),
            Text("Let me see."),
            ToolCall("toolu_1", "corpus.search", '{"query":"köln"}'),
            reasoning({**THINKING, "thinking": "And on."}),
            ToolCall("toolu_2", "corpus.search", "{}"),
        ),
    ),
    "tool_calls",
    Usage(123, 50, cached_tokens=100, reasoning_tokens=30, calls=1, cache_write_tokens=20),
    "claude-m",
    "msg_1",
)


async def ask_streaming(*scripts: Script, observed: list[Notice] | None = None, **told: Any) -> ModelResponse:
    notices = [] if observed is None else observed
    async with fault_server(*scripts) as server, model_at(server.base_url, stream=True, **told) as model:
        with anyio.fail_after(10):
            transcript = opened(model, [user("x")], [SEARCH])
            return await model.respond(transcript, CallOptions(), notices.append)


async def test_a_whole_reply_becomes_a_response():
    async with fault_server(answer(WEATHER)) as server:
        assert await ask(server, user("x"), tools=[SEARCH]) == RESPONSE


async def test_thinking_is_kept_byte_for_byte():
    block = '{"type":"thinking",  "thinking":"\\u00e4","signature":"c2ln\\/==","later":1.50}'
    body = orjson.dumps(reply("BLOCK")).replace(b'"BLOCK"', block.encode())
    async with fault_server(answer(body)) as server:
        response = await ask(server, user("x"))
    part = response.message.parts[0]
    assert isinstance(part, Reasoning)
    assert (part.text, part.payload) == ("ä", block)


@settings(deadline=None, max_examples=15)
@given(step=st.integers(1, 30), cuts=st.lists(st.integers(1, 2500), max_size=8))
async def test_a_streamed_reply_is_the_same_however_it_is_cut(step: int, cuts: list[int]):
    stream = b"".join(streamed(WEATHER, step=step))
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[begin:end] for begin, end in zip(places, places[1:], strict=False)]
    assert await ask_streaming(event_stream(*chunks)) == RESPONSE


async def test_what_is_said_and_thought_is_seen_as_it_comes():
    observed: list[Notice] = []
    await ask_streaming(
        event_stream(*streamed(reply(THINKING, text("Es ist schön.")), step=6)), observed=observed
    )
    assert observed == [
        ThinkingDelta("Hm – „"),
        ThinkingDelta("天気“?"),
        TextDelta("Es ist"),
        TextDelta(" schön"),
        TextDelta("."),
    ]


EVENTS = streamed(reply(THINKING, text("I will."), use("toolu_1", query="a long question"), stop="tool_use"))


@pytest.mark.parametrize("end", [Close(), Reset()])
@pytest.mark.parametrize("kept", range(1, len(EVENTS) - 1))
async def test_a_stream_that_is_cut_never_yields_a_call(kept: int, end: Any):
    cut = [*event_stream(*EVENTS[:kept], end=False), end]
    with pytest.raises(ModelUnavailable, match="connection broke|cut before its end"):
        await ask_streaming(cut)


async def test_a_stream_that_ends_in_order_within_a_call_never_yields_it():
    begun = next(at for at, one in enumerate(EVENTS) if b"partial_json" in one) + 2
    with pytest.raises(ModelUnavailable, match="cut before its end"):
        await ask_streaming(event_stream(*EVENTS[:begun]))
    with pytest.raises(ModelUnavailable, match="ended within a block"):
        await ask_streaming(event_stream(*EVENTS[:begun], *EVENTS[-2:]))
    with pytest.raises(ModelUnavailable, match="a block that did not begin"):
        await ask_streaming(event_stream(EVENTS[0], *EVENTS[begun:]))


async def test_a_stream_that_was_cut_is_asked_for_again():
    cut = [*event_stream(*EVENTS[:9], end=False), Reset()]
    observed: list[Notice] = []
    response = await ask_streaming(
        cut, event_stream(*EVENTS), observed=observed, retries=1, backoff_seconds=0.001
    )
    assert [call.arguments for call in response.message.tool_calls] == ['{"query":"a long question"}']
    assert sum(isinstance(notice, Retrying) for notice in observed) == 1


async def test_a_stream_is_whole_once_it_said_why_it_ended():
    response = await ask_streaming([*event_stream(*EVENTS[:-1], end=False), Close()])
    assert response.stop_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("document", "stop_reason", "message", "notes"),
    [
        (reply(text("a")), "end", assistant("a"), 0),
        (reply(text("a"), stop="stop_sequence", stop_sequence="END"), "end", assistant("a"), 0),
        (reply(text("a"), stop="max_tokens"), "length", assistant("a"), 0),
        (reply(text("a"), use("t", x=1), stop="max_tokens"), "length", assistant("a"), 1),
        (reply(text("a"), stop="model_context_window_exceeded"), "length", assistant("a"), 1),
        (reply(text("a"), use("t"), stop="model_context_window_exceeded"), "length", assistant("a"), 2),
        (reply(text("a"), stop="pause_turn"), "length", assistant("a"), 1),
        (reply(text("I "), use("t", x=1), stop="refusal"), "refusal", assistant("I "), 0),
        (reply(stop="refusal", stop_details={"explanation": "It is about X."}), "refusal", assistant("It is about X."), 0),
        (reply(text("")), "end", assistant(), 0),
        (reply(use("t", "other"), stop="tool_use"), "tool_calls", assistant("", ToolCall("t", "other", "{}")), 0),
    ],
)  # fmt: skip
async def test_stop_reasons(
    document: dict[str, Any], stop_reason: str, message: Message, notes: int, *, stream: bool
):
    if stream:
        response = await ask_streaming(event_stream(*streamed(document)))
    else:
        async with fault_server(answer(document)) as server:
            response = await ask(server, user("x"), tools=[SEARCH])
    assert (response.stop_reason, response.message, len(response.notes)) == (stop_reason, message, notes)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (None, None),
        ({"input_tokens": 5}, None),
        ({"input_tokens": -5, "output_tokens": 1}, None),
        ({"input_tokens": 5, "output_tokens": 1}, Usage(5, 1, calls=1)),
        (
            {
                "input_tokens": 5,
                "output_tokens": 7,
                "cache_read_input_tokens": None,
                "output_tokens_details": None,
            },
            Usage(5, 7, calls=1),
        ),
        (
            {"input_tokens": 0, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 9}},
            Usage(0, 7, reasoning_tokens=7, calls=1),
        ),
    ],
)
async def test_usage_is_taken_only_where_it_can_be_true(usage: Any, counted: Usage | None):
    async with fault_server(answer(reply(text("a"), usage=usage))) as server:
        assert (await ask(server, user("x"))).usage == counted


async def test_the_last_count_of_a_stream_holds():
    begun = {**reply(), "usage": {"input_tokens": 9, "cache_read_input_tokens": 1, "output_tokens": 1}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    counts = {"input_tokens": 7, "output_tokens": 40, "cache_read_input_tokens": 3}
    stream = event_stream(
        event({"type": "message_start", "message": begun}),
        event({**end, "usage": {"output_tokens": 20}}),
        event({**end, "usage": counts}),
        event({"type": "message_stop"}),
    )
    assert (await ask_streaming(stream)).usage == Usage(10, 40, cached_tokens=3, calls=1)


def error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"
NO_ROOM = "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length"


@pytest.mark.parametrize(
    ("status", "kind", "message", "failure"),
    [
        (529, "overloaded_error", "Overloaded", ModelUnavailable),
        (500, "api_error", "Internal server error", ModelUnavailable),
        (504, "timeout_error", "Request timed out", ModelUnavailable),
        (429, "rate_limit_error", "This request would exceed the rate limit", ModelUnavailable),
        (413, "request_too_large", "Request exceeds the maximum size", ContextOverflow),
        (400, "invalid_request_error", TOO_LONG, ContextOverflow),
        (400, "invalid_request_error", NO_ROOM, ContextOverflow),
        (400, "invalid_request_error", "max_tokens: Field required", ModelRejected),
        (401, "authentication_error", "invalid x-api-key", ModelRejected),
        (402, "billing_error", "Your credit balance is too low", QuotaUsedUp),
        (403, "permission_error", "no", ModelRejected),
        (404, "not_found_error", "model: claude-none", ModelRejected),
    ],
)
async def test_an_error_means_the_same_as_an_answer_and_within_a_stream(
    status: int, kind: str, message: str, failure: type[ModelError]
):
    with pytest.raises(failure, match=message[:20]) as refused:
        async with fault_server(answer(error(kind, message), status=status)) as server:
            await ask(server, user("x"))
    within = event_stream(*EVENTS[:9], event(error(kind, message)))
    with pytest.raises(failure, match=message[:20]) as broken:
        await ask_streaming(within)
    assert type(refused.value) is type(broken.value) is failure


async def test_an_overloaded_endpoint_is_asked_again():
    overloaded = answer(error("overloaded_error", "Overloaded"), status=529)
    async with fault_server(overloaded, FINE) as server:
        response = await ask(server, user("x"), retries=1, backoff_seconds=0.001)
    assert response.message == assistant("fine")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"content": "x"}', b'{"content": [1]}', b"<html>"])
async def test_an_answer_without_a_reply_is_no_reply(body: bytes):
    with pytest.raises(ModelUnavailable):
        async with fault_server(answer(body)) as server:
            await ask(server, user("x"))

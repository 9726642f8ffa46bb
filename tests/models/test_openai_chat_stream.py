"""What `OpenAIChatModel` makes of streamed replies, whole and broken."""

from __future__ import annotations

from typing import Any, cast

import anyio
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ContextOverflow, ModelUnavailable
from harness.messages import Message, Reasoning, Text, ToolCall, ToolDefinition, Usage, assistant, user
from harness.models.endpoint import Endpoint
from harness.models.openai_chat import OpenAIChatModel
from harness.models.port import CallOptions, ModelResponse, Notice, Retrying, TextDelta, ThinkingDelta
from tests.models.server import Close, Hang, Pause, Reset, Script, Step, answer, event_stream, fault_server

pytestmark = pytest.mark.anyio

USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def event(document: Any, *, end: bytes = b"\n\n") -> bytes:
    return b"data: " + orjson.dumps(document) + end


def delta(*, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return event({"id": "chatcmpl-1", "model": "m-2026", "choices": [choice]})


def fragment(arguments: str | None = None, **fields: Any) -> bytes:
    name = fields.pop("name", None)
    function = {**({"name": name} if name else {}), **({} if arguments is None else {"arguments": arguments})}
    return delta(tool_calls=[{**fields, "function": function}])


DONE = b"data: [DONE]\n\n"
FINISH_CALLS = delta(finish="tool_calls")
WEATHER = [
    b": keep-alive\n\n",
    delta(role="assistant", content=""),
    delta(reasoning_content="Weather?"),
    delta(content="Es ist "),
    delta(content="schön – 天気 🌦"),
    fragment("", index=0, id="c1", name="sky__look"),
    fragment('{"at":', index=0),
    fragment("{}", index=1, id="c2", name="sky__look"),
    fragment(' "köln"}', index=0),
    FINISH_CALLS,
    event({"choices": [], "usage": USAGE}),
    DONE,
]
WEATHER_RESPONSE = ModelResponse(
    Message(
        "assistant",
        (
            Reasoning("Weather?", "openai", "m", route="openai@127.0.0.1"),
            Text("Es ist schön – 天気 🌦"),
            ToolCall("c1", "sky.look", '{"at": "köln"}'),
            ToolCall("c2", "sky.look", "{}"),
        ),
    ),
    "tool_calls",
    Usage(10, 5, calls=1),
    "m-2026",
    "chatcmpl-1",
)


class Seen(list[Notice]):
    """Everything observed during a call."""

    @property
    def text(self) -> list[str]:
        return [happening.text for happening in self if isinstance(happening, TextDelta)]

    @property
    def reasons(self) -> list[str]:
        return [happening.reason for happening in self if isinstance(happening, Retrying)]


async def stream(*scripts: Script, seen: Seen | None = None, **settings: Any) -> ModelResponse:
    async with fault_server(*scripts) as server:
        endpoint = Endpoint(
            **cast(
                "dict[str, Any]",
                {
                    "model": "m",
                    "base_url": server.base_url,
                    "stream": True,
                    "retries": len(scripts) - 1,
                    "backoff_seconds": 0.001,
                    **settings,
                },
            )
        )
        model = OpenAIChatModel(endpoint)
        try:
            transcript = model.open([ToolDefinition("sky.look", "")])
            transcript.append(user("x"))
            with anyio.fail_after(10):
                return await model.respond(
                    transcript, CallOptions(), (Seen() if seen is None else seen).append
                )
        finally:
            await model.close()
            assert len(server.requests) == len(scripts)
            assert all(
                request.json["stream_options"] == {"include_usage": True} for request in server.requests
            )


async def test_a_stream_becomes_one_response_and_its_text_is_observed():
    seen = Seen()
    assert await stream(event_stream(*WEATHER), seen=seen) == WEATHER_RESPONSE
    assert seen == [ThinkingDelta("Weather?"), TextDelta("Es ist "), TextDelta("schön – 天気 🌦")]


@settings(deadline=None, max_examples=60)
@given(data=st.data(), ending=st.sampled_from([b"\n", b"\r\n", b"\r"]), mark=st.booleans())
async def test_chunk_boundaries_and_line_endings_change_nothing(
    data: st.DataObject, ending: bytes, mark: bool
):
    whole = (b"\xef\xbb\xbf" if mark else b"") + b"".join(WEATHER).replace(b"\n", ending)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=40)))
    chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert await stream(event_stream(*chunks)) == WEATHER_RESPONSE


async def test_every_byte_may_come_alone():
    whole = b"".join(WEATHER)
    assert await stream(event_stream(*(whole[at : at + 1] for at in range(len(whole))))) == WEATHER_RESPONSE


@pytest.mark.parametrize("last", [Close(), Reset()])
@pytest.mark.parametrize("kept", range(9))
async def test_a_stream_that_is_cut_is_asked_for_again(kept: int, last: Step):
    seen = Seen()
    cut: list[Step] = [*event_stream(*WEATHER[:kept], end=False), last]
    assert await stream(cut, event_stream(*WEATHER), seen=seen) == WEATHER_RESPONSE
    assert len(seen.reasons) == 1


async def test_a_stream_that_ends_in_order_but_too_early_is_asked_for_again():
    seen = Seen()
    response = await stream(event_stream(*WEATHER[:8]), event_stream(*WEATHER), seen=seen)
    assert response == WEATHER_RESPONSE
    assert seen.reasons == ["the stream was cut before its end"]


async def test_a_stream_that_is_always_cut_never_yields_half_a_call():
    cut: list[Step] = [*event_stream(*WEATHER[:9], end=False), Reset()]
    with pytest.raises(ModelUnavailable, match="failed 3 times"):
        await stream(cut, cut, cut)


@pytest.mark.parametrize("last", [Close(), Reset()])
async def test_a_cut_after_the_finish_reason_loses_only_the_usage(last: Step):
    script: list[Step] = [
        *event_stream(delta(content="All said."), delta(finish="stop"), end=False),
        Pause(0.02),
        last,
    ]
    response = await stream(script)
    assert (response.message, response.stop_reason, response.usage) == (assistant("All said."), "end", None)


async def test_a_stream_may_end_without_a_finish_reason_if_it_says_done():
    response = await stream(event_stream(delta(content="a"), DONE))
    assert (response.message, response.stop_reason) == (assistant("a"), "end")


async def test_a_server_that_keeps_the_connection_open_after_done_holds_nothing_up():
    response = await stream([*event_stream(*WEATHER, end=False), Hang()])
    assert response == WEATHER_RESPONSE


async def test_silence_within_a_stream_ends_the_attempt():
    seen = Seen()
    silent: list[Step] = [*event_stream(*WEATHER[:5], end=False), Hang()]
    assert await stream(silent, event_stream(*WEATHER), seen=seen, idle_seconds=0.05) == WEATHER_RESPONSE
    assert seen.reasons == ["no data for 0.05 seconds"]


async def test_a_slow_drip_ends_at_the_deadline():
    seen = Seen()
    drip: list[Step] = event_stream(end=False)
    for _ in range(40):
        drip += [*event_stream(b": keep-alive\n\n", end=False)[1:], Pause(0.02)]
    with pytest.raises(ModelUnavailable, match=r"no complete answer within 0\.2 seconds"):
        await stream(drip, seen=seen, timeout_seconds=0.2, idle_seconds=0.1)


@pytest.mark.parametrize(
    "fragments",
    [
        [fragment("{}", id="c1", name="a"), fragment("[]", id="c2", name="b")],
        [fragment("{", id="c1", name="a"), fragment("}"), fragment("[", id="c2", name="b"), fragment("]")],
        [fragment("{}", index=0, id="c1", name="a"), fragment("[]", index=0, id="c2", name="b")],
        [
            fragment("{", index=0, id="c1", name="a"),
            fragment("}", index=0, id="c1", name="a"),
            fragment("[]", index=1, id="c2", name="b"),
        ],
        [fragment("{", id="c1", name="a"), fragment("[]", id="c2", name="b"), fragment("}", id="c1")],
    ],
    ids=["no index", "no index, no id", "one index", "name repeated", "found by id"],
)
async def test_fragments_find_their_call(fragments: list[bytes]):
    response = await stream(event_stream(*fragments, FINISH_CALLS, DONE))
    assert response.message == assistant("", ToolCall("c1", "a", "{}"), ToolCall("c2", "b", "[]"))


async def test_ids_that_a_stream_leaves_out_or_repeats_are_replaced():
    calls = [fragment("{}", index=at, name="a", **({"id": "same"} if at < 2 else {})) for at in range(3)]
    response = await stream(event_stream(*calls, FINISH_CALLS, DONE))
    assert [call.id for call in response.message.tool_calls] == ["same", "call00001", "call00002"]


async def test_an_empty_block_of_thinking_is_no_thinking():
    pieces = [delta(reasoning_content="\n"), delta(content="Yes."), delta(finish="stop"), DONE]

    assert (await stream(event_stream(*pieces))).message.parts == (Text("Yes."),)


async def test_a_refusal_is_streamed_as_one():
    response = await stream(
        event_stream(delta(refusal="I "), delta(refusal="cannot."), delta(finish="stop"), DONE)
    )
    assert (response.message.text, response.stop_reason) == ("I cannot.", "refusal")


async def test_an_error_within_a_stream_is_judged_like_any_other():
    busy = event({"error": {"message": "engine overloaded", "code": 503}})
    long = event({"error": {"message": "too long", "code": "context_length_exceeded"}})
    seen = Seen()
    with pytest.raises(ContextOverflow):
        await stream(event_stream(delta(content="a"), busy), event_stream(long), seen=seen)
    assert seen.reasons == ["HTTP 503: engine overloaded"]


async def test_an_event_that_is_not_json_is_a_fault():
    seen = Seen()
    assert (
        await stream(event_stream(b"data: {oops\n\n"), event_stream(*WEATHER), seen=seen) == WEATHER_RESPONSE
    )
    assert seen.reasons == ["the endpoint sent something that is not JSON: '{oops'"]


async def test_a_server_that_does_not_stream_is_understood():
    document = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}
    assert (await stream(answer(document))).message == assistant("whole")

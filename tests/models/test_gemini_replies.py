"""What `GeminiModel` makes of replies, whole, streamed and broken."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ModelError, ModelRejected, ModelUnavailable
from harness.messages import Message, Reasoning, Text, ToolCall, Usage, user
from harness.models.endpoint import Endpoint
from harness.models.gemini import GeminiModel
from harness.models.port import CallOptions, ModelResponse, Notice, Retrying, TextDelta, ThinkingDelta
from tests.models.server import Close, Hang, Reset, Script, Step, answer, event_stream, fault_server
from tests.models.test_gemini import FLASH, SEARCH, reply

pytestmark = pytest.mark.anyio

ROUTE = "gcp.gemini@127.0.0.1"
USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "toolUsePromptTokenCount": 5,
    "candidatesTokenCount": 10,
    "thoughtsTokenCount": 30,
    "totalTokenCount": 145,
}
THOUGHT = {"text": "Weather?", "thought": True}
LOOK = {"functionCall": {"id": "c1", "name": "corpus__search", "args": {"query": "köln", "n": 1.0}}}
SIGNED_LOOK = {**LOOK, "thoughtSignature": "c2ln/+=="}
AGAIN = {"functionCall": {"id": "c2", "name": "corpus__search"}}


def reasoning(text: str = "", payload: str = "") -> Reasoning:
    return Reasoning(text, "gcp.gemini", FLASH, payload, ROUTE)


SIGNATURE = reasoning(payload='{"thoughtSignature":"c2ln/+=="}')
CALL = ToolCall("c1", "corpus.search", '{"query":"köln","n":1.0}')
CALL_AGAIN = ToolCall("c2", "corpus.search", "{}")


def events(*documents: dict[str, Any]) -> list[bytes]:
    return [b"data: " + orjson.dumps(document) + b"\r\n\r\n" for document in documents]


def chunk(*parts: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    document = reply(*parts, **fields)
    if not parts:
        document["candidates"][0]["content"] = {"role": "model"}
    if finish is None:
        del document["candidates"][0]["finishReason"]
    else:
        document["candidates"][0]["finishReason"] = finish
    return document


async def asked(
    *scripts: Script, seen: list[Notice] | None = None, stream: bool = False, retries: int = 0
) -> ModelResponse:
    async with fault_server(*scripts) as server:
        endpoint = Endpoint(
            model=FLASH,
            base_url=server.base_url,
            stream=stream,
            retries=retries,
            backoff_seconds=0,
            idle_seconds=0.3,
        )
        model = GeminiModel(endpoint)
        try:
            transcript = model.open([SEARCH])
            transcript.append(user("Go."))
            with anyio.fail_after(10):
                return await model.respond(
                    transcript, CallOptions(), (lambda notice: None) if seen is None else seen.append
                )
        finally:
            await model.close()


async def test_a_whole_reply():
    response = await asked(
        answer(reply(THOUGHT, {"text": "I "}, {"text": "look."}, SIGNED_LOOK, AGAIN, usageMetadata=USAGE))
    )

    assert response == ModelResponse(
        Message("assistant", (reasoning("Weather?"), Text("I look."), SIGNATURE, CALL, CALL_AGAIN)),
        "tool_calls",
        Usage(105, 40, cached_tokens=60, reasoning_tokens=30, calls=1),
        "gemini-x-001",
        "r1",
    )


async def test_a_signature_stands_before_the_part_it_came_on_and_joins_nothing():
    end = {"text": "", "thoughtSignature": "ZW5k"}
    response = await asked(
        answer(
            reply({"text": "a"}, {"text": "b", "thoughtSignature": "Yg=="}, {"text": "c"}, {"text": "d"}, end)
        )
    )

    assert response.message.parts == (
        Text("a"),
        reasoning(payload='{"thoughtSignature":"Yg=="}'),
        Text("b"),
        Text("cd"),
        reasoning(payload='{"text":"","thoughtSignature":"ZW5k"}'),
    )


@pytest.mark.parametrize(
    ("finish", "stop_reason"),
    [
        ("STOP", "end"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "refusal"),
        ("RECITATION", "refusal"),
        ("PROHIBITED_CONTENT", "refusal"),
        ("BLOCKLIST", "refusal"),
        ("SPII", "refusal"),
        ("LANGUAGE", "refusal"),
    ],
)
async def test_why_a_reply_ended(finish: str, stop_reason: str):
    response = await asked(answer(reply({"text": "So"}, finish=finish)))

    assert (response.stop_reason, response.message.text) == (stop_reason, "So")
    assert (finish in " ".join(response.notes)) == (stop_reason == "refusal")


async def test_a_reply_without_content_is_an_empty_one():
    document = reply(finish="SAFETY")
    del document["candidates"][0]["content"]

    response = await asked(answer(document))

    assert (response.message.parts, response.stop_reason) == ((), "refusal")


async def test_a_prompt_that_was_blocked_is_a_refusal_and_not_asked_again():
    blocked = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 9},
    }

    for response in (
        await asked(answer(blocked), retries=1),
        await asked(event_stream(*events(blocked)), retries=1, stream=True),
    ):
        assert (response.message.parts, response.stop_reason) == ((), "refusal")
        assert response.notes == ("the endpoint blocked the prompt: PROHIBITED_CONTENT",)
        assert response.usage == Usage(9, 0, calls=1)


@pytest.mark.parametrize(
    "finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "SOMETHING_NEW"]
)
async def test_a_reply_that_was_broken_off_is_asked_for_again_and_never_an_answer(finish: str):
    broken = reply({"text": "I will"}, finish=finish)
    broken["candidates"][0]["finishMessage"] = "Malformed function call: print("
    seen: list[Notice] = []

    response = await asked(answer(broken), answer(reply()), retries=1, seen=seen)

    assert response.message.text == "fine"
    assert [one.reason for one in seen if isinstance(one, Retrying)] == [
        f"the model broke off its reply ({finish}: Malformed function call: print()"
    ]
    with pytest.raises(ModelUnavailable, match=finish):
        await asked(answer(broken))


async def test_calls_that_the_length_limit_cut_go_with_what_is_bound_to_them():
    end = {"text": "Now", "thoughtSignature": "Yg=="}
    response = await asked(answer(reply(end, SIGNED_LOOK, AGAIN, finish="MAX_TOKENS")))

    assert response.message.parts == (reasoning(payload='{"thoughtSignature":"Yg=="}'), Text("Now"))
    assert response.notes == ("the length limit cut off 2 tool call(s), which were not run",)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"candidates": []},
        [],
        b"not JSON",
        {"candidates": [{"content": {"parts": [{"text": "half"}]}}]},
    ],
)
async def test_what_holds_no_reply_is_asked_for_again(body: Any):
    assert (await asked(answer(body), answer(reply()), retries=1)).message.text == "fine"


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"promptTokenCount": 7, "candidatesTokenCount": 3}, Usage(7, 3, calls=1)),
        ({"promptTokenCount": 7, "thoughtsTokenCount": 5}, Usage(7, 5, reasoning_tokens=5, calls=1)),
        ({"promptTokenCount": 7, "cachedContentTokenCount": 9}, Usage(7, 0, cached_tokens=7, calls=1)),
        ({"promptTokenCount": -1, "candidatesTokenCount": 3}, None),
        ({"candidatesTokenCount": 3}, None),
        (None, None),
    ],
)
async def test_usage_holds_all_output(reported: Any, usage: Usage | None):
    assert (await asked(answer(reply(usageMetadata=reported)))).usage == usage


STREAM = events(
    chunk(THOUGHT, usageMetadata={"promptTokenCount": 100}),
    chunk({"text": "I lo"}),
    chunk({"text": "ok."}),
    chunk(SIGNED_LOOK),
    chunk(AGAIN),
    chunk(finish="STOP", usageMetadata=USAGE),
)
STREAMED = ModelResponse(
    Message("assistant", (reasoning("Weather?"), Text("I look."), SIGNATURE, CALL, CALL_AGAIN)),
    "tool_calls",
    Usage(105, 40, cached_tokens=60, reasoning_tokens=30, calls=1),
    "gemini-x-001",
    "r1",
)


async def test_a_streamed_reply_is_the_whole_one_and_is_seen_as_it_comes():
    seen: list[Notice] = []

    response = await asked(event_stream(*STREAM), stream=True, seen=seen)

    assert response == STREAMED
    assert seen == [ThinkingDelta("Weather?"), TextDelta("I lo"), TextDelta("ok.")]


async def test_a_stream_may_end_with_a_signature_on_no_text():
    chunks = events(chunk({"text": "Yes"}), chunk({"text": "", "thoughtSignature": "ZW5k"}, finish="STOP"))

    response = await asked(event_stream(*chunks), stream=True)

    assert response.message.parts == (Text("Yes"), reasoning(payload='{"text":"","thoughtSignature":"ZW5k"}'))
    assert response.stop_reason == "end"


async def test_a_model_that_says_stop_all_along_has_not_stopped_before_its_last_chunk():
    chunks = events(
        chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}), chunk({"text": "c"}, finish="STOP")
    )

    assert (await asked(event_stream(*chunks), stream=True)).message.text == "abc"
    with pytest.raises(ModelUnavailable, match="cut before its end"):
        await asked(event_stream(*chunks[:2]), stream=True)


@pytest.mark.parametrize(
    "end", [Close(), Reset(), Hang(), b"0\r\n\r\n"], ids=["close", "reset", "hang", "end"]
)
@pytest.mark.parametrize("kept", range(len(STREAM)))
async def test_a_stream_that_was_cut_is_asked_for_again_and_never_yields_a_call(kept: int, end: Step):
    cut: list[Step] = [*event_stream(*STREAM[:kept], end=False), end]

    assert await asked(cut, event_stream(*STREAM), stream=True, retries=1) == STREAMED
    with pytest.raises(ModelUnavailable):
        await asked(cut, stream=True)


async def test_an_error_within_a_stream():
    overloaded = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    refused = {"error": {"code": 400, "message": "No.", "status": "INVALID_ARGUMENT"}}

    again = await asked(
        event_stream(*STREAM[:4], *events(overloaded)), event_stream(*STREAM), stream=True, retries=1
    )

    assert again == STREAMED
    with pytest.raises(ModelRejected, match=r"No\."):
        await asked(event_stream(*STREAM[:4], *events(refused)), stream=True, retries=1)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_the_wait_that_an_error_asks_for_is_kept(stream: bool):
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.05s"}
    error = {
        "code": 429,
        "message": "Busy.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "x"}, info],
    }
    body: Any = [{"error": error}] if stream else {"error": error}
    seen: list[Notice] = []

    response = await asked(answer(body, status=429), answer(reply()), retries=1, seen=seen, stream=stream)

    assert response.message.text == "fine"
    assert seen == [Retrying(1, 0.05, "HTTP 429: Busy.")]


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 2000), max_size=8))
async def test_how_a_stream_is_cut_into_pieces_does_not_matter(cuts: list[int]):
    body = b"".join(STREAM)
    places = [0, *sorted({min(cut, len(body)) for cut in cuts}), len(body)]
    pieces = [body[start:end] for start, end in zip(places, places[1:], strict=False) if start != end]
    assert await asked(event_stream(*pieces), stream=True) == STREAMED


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "candidates",
                    "content",
                    "parts",
                    "text",
                    "functionCall",
                    "thoughtSignature",
                    "finishReason",
                    "error",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(documents=st.lists(junk, min_size=1, max_size=3), stream=st.booleans())
async def test_whatever_an_endpoint_says_is_a_reply_or_an_error_of_ours(
    documents: Sequence[Any], stream: bool
):
    script: Script = event_stream(*(b"data: " + orjson.dumps(one) + b"\n\n" for one in documents))
    try:
        response = await asked(script if stream else answer(documents[0]), stream=stream)
    except ModelError:
        return
    assert response.message.role == "assistant"


@settings(deadline=None, max_examples=20)
@given(signature=st.binary(min_size=1, max_size=60))
async def test_a_signature_comes_through_byte_for_byte(signature: bytes):
    encoded = base64.b64encode(signature).decode()
    response = await asked(answer(reply({**LOOK, "thoughtSignature": encoded})))

    assert response.message.parts == (reasoning(payload=f'{{"thoughtSignature":"{encoded}"}}'), CALL)

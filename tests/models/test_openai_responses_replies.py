"""What `OpenAIResponsesModel` makes of replies, whole and streamed, good and bad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ContextOverflow, ModelRejected, ModelUnavailable
from harness.guarding import GuardedModel
from harness.messages import Message, Reasoning, Text, ToolCall, Usage, assistant, user
from harness.models.port import CallOptions, ModelResponse, Notice, Retrying, TextDelta, ThinkingDelta
from harness.redaction import Redactor
from tests.models.server import Close, Hang, Reset, Script, Step, answer, event_stream, fault_server
from tests.models.strict_responses import event, events_of
from tests.models.test_openai_responses import (
    SEARCH,
    THOUGHT,
    called,
    model_at,
    opened,
    reply,
    said,
    thought,
)

pytestmark = pytest.mark.anyio

CUT = "the stream was cut before its end"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")


async def ask(*scripts: Script, seen: list[Notice] | None = None, **settings: Any) -> ModelResponse:
    """Ask until an answer can be used, and check that every script was needed."""
    more = {"retries": len(scripts) - 1, "backoff_seconds": 0.001, **settings}
    async with fault_server(*scripts) as server, model_at(server.base_url, **more) as model:
        with anyio.fail_after(10):
            try:
                transcript = opened(model, [user("x")], [SEARCH])
                return await model.respond(transcript, CallOptions(), ([] if seen is None else seen).append)
            finally:
                assert len(server.requests) == len(scripts)


def reasons(seen: Sequence[Notice]) -> list[str]:
    return [notice.reason for notice in seen if isinstance(notice, Retrying)]


def document(*raws: str, **more: Any) -> bytes:
    """A whole response whose items are spelled just so."""
    rest = orjson.dumps(reply(**more) | {"output": []}).decode()
    return answer(rest.replace('"output":[]', '"output" : [ ' + " ,\n".join(raws) + " ]").encode())


FETCH = orjson.dumps(called("c1", "corpus__search", '{"query": "köln"}')).decode()
REASONED = Message(
    "assistant",
    (
        Reasoning("", "openai", "m", THOUGHT, "openai@127.0.0.1"),
        Reasoning(
            "",
            "openai",
            "m",
            '{"type":"function_call","id":"fc_c1","status":"completed","after":"rs_1"}',
            "openai@127.0.0.1",
        ),
        ToolCall("c1", "corpus.search", '{"query": "köln"}'),
    ),
)


async def test_thinking_is_kept_as_it_came_with_the_id_of_what_it_led_to():
    response = await ask(document(THOUGHT, FETCH))
    assert response == ModelResponse(REASONED, "tool_calls", None, "m-2026", "resp_1")


async def test_a_reply_without_thinking_is_plain():
    response = await ask(answer(reply(said("Looking."), called("c1", "corpus__search", "{}"))))
    assert response.message == assistant("Looking.", ToolCall("c1", "corpus.search", "{}"))


async def test_the_summary_is_what_a_person_sees_of_thinking():
    summary = [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Then."}]
    item = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "x"}
    spoken = {
        "type": "reasoning",
        "id": "rs_2",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "So."}],
    }
    response = await ask(answer(reply(item, spoken, said("fine"))))
    thoughts = [part for part in response.message.parts if isinstance(part, Reasoning)]
    assert [part.text for part in thoughts] == ["First.\n\nThen.", "So.", ""]
    assert [orjson.loads(part.payload)["type"] for part in thoughts] == ["reasoning", "reasoning", "message"]


@pytest.mark.parametrize(
    "between",
    [
        [{"type": "reasoning", "id": "rs_1", "summary": []}],
        [orjson.loads(THOUGHT), {"type": "web_search_call", "id": "ws_1"}],
        [orjson.loads(THOUGHT), {**said(""), "content": []}],
    ],
    ids=["nothing to read back", "led to what cannot go back", "led to nothing said"],
)
async def test_thinking_that_cannot_go_back_is_kept_for_people_only(between: list[dict[str, Any]]):
    response = await ask(answer(reply(*between, called("c1", "corpus__search", "{}"))))
    first, *rest = response.message.parts
    assert isinstance(first, Reasoning)
    assert (first.payload, rest) == ("", [ToolCall("c1", "corpus.search", "{}")])


USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 15},
    "total_tokens": 120,
}


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (USAGE, Usage(100, 20, 60, 15, calls=1, cache_write_tokens=30)),
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5, calls=1)),
        ({**USAGE, "input_tokens": 50}, Usage(50, 20, 50, 15, calls=1)),
        ({"input_tokens": -1, "output_tokens": 5}, None),
        (None, None),
    ],
)
async def test_usage_is_taken_where_it_can_be_true(reported: Any, usage: Usage | None):
    assert (await ask(answer(reply(usage=reported)))).usage == usage


async def test_a_reply_cut_by_the_length_limit_runs_no_call_and_sends_no_orphan_back():
    cut = called("c1", "corpus__search", '{"que', status="incomplete")
    details = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    response = await ask(answer(reply(orjson.loads(THOUGHT), cut, **details)))
    assert (response.stop_reason, response.message.tool_calls) == ("length", ())
    assert response.notes == ("the length limit cut off 1 tool call(s), which were not run",)

    async with fault_server(answer(reply())) as server, model_at(server.base_url) as model:
        transcript = opened(model, [user("x"), response.message, user("y")])
        await model.respond(transcript, CallOptions(), lambda notice: None)
    assert [item["role"] for item in server.requests[0].json["input"]] == ["user", "user"]


async def test_what_a_content_filter_cut_is_a_refusal():
    details = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    response = await ask(answer(reply(said("I was"), called("c1", "corpus__search", "{"), **details)))
    assert (response.message, response.stop_reason) == (assistant("I was"), "refusal")
    assert response.notes == ("the content filter cut off 1 tool call(s), which were not run",)


async def test_a_refusal_is_its_words():
    refusal = {**said(""), "content": [{"type": "refusal", "refusal": "I cannot."}]}
    response = await ask(answer(reply(refusal)))
    assert (response.message.text, response.stop_reason) == ("I cannot.", "refusal")


async def test_other_servers_may_leave_out_what_does_not_matter():
    call = {"type": "function_call", "id": "fc_1", "name": "corpus__search", "arguments": {"query": "x"}}
    response = await ask(answer({"output": [call, {"type": "message", "content": "hm"}]}))
    assert response.message.parts == (ToolCall("fc_1", "corpus.search", '{"query":"x"}'), Text("hm"))
    assert (response.stop_reason, response.model, response.usage) == ("tool_calls", "m", None)


FINE = answer(reply())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answer([]), "the endpoint answered without any output"),
        (answer({"id": "resp_1"}), "the endpoint answered without any output"),
        (answer(reply(status="in_progress")), "the endpoint answered with a response that is in_progress"),
        (
            answer(reply(status="failed", error={"code": "server_error", "message": "oops"})),
            "HTTP 502: server_error: oops",
        ),
        (
            answer(reply(status="failed", error={"code": "rate_limit_exceeded", "message": "slow down"})),
            "HTTP 429: rate_limit_exceeded: slow down",
        ),
        (answer(reply(status="failed")), "HTTP 502: the response failed without a reason"),
        (answer({"error": {"message": "busy"}}, status=503), "HTTP 503: busy"),
    ],
)
async def test_what_may_pass_is_asked_for_again(fault: Script, reason: str):
    seen: list[Notice] = []
    assert (await ask(fault, FINE, seen=seen)).message == assistant("fine")
    assert reasons(seen) == [reason]


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (
            answer(reply(status="failed", error={"code": "invalid_prompt", "message": "no"})),
            ModelRejected,
            r"invalid_prompt: no",
        ),
        (
            event_stream(
                event("response.failed", response={"error": {"code": "image_too_large", "message": "no"}})
            ),
            ModelRejected,
            r"image_too_large: no",
        ),
        (
            event_stream(event("error", code="context_length_exceeded", message="too long", param="input")),
            ContextOverflow,
            r"too long",
        ),
        (
            event_stream(event("error", code="insufficient_quota", message="no")),
            ModelRejected,
            r"quota is used",
        ),
        (
            answer(
                {"error": {"message": "Unknown parameter: 'x'.", "code": "unknown_parameter"}}, status=400
            ),
            ModelRejected,
            r"Unknown parameter: 'x'",
        ),
    ],
)
async def test_what_comes_again_however_often_is_an_error(fault: Script, kind: type[Exception], words: str):
    with pytest.raises(kind, match=words):
        await ask(fault)


WEATHER_ITEMS = [
    {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Weather?"}],
        "encrypted_content": "gA==",
    },
    said("Es ist schön – 天気 🌦"),
    called("c1", "corpus__search", '{"query": "köln"}'),
    called("c2", "corpus__search", "{}"),
]
FEW = {"input_tokens": 10, "output_tokens": 5}
WEATHER_RESPONSE = reply(*WEATHER_ITEMS, usage=FEW)
WEATHER = list(events_of(WEATHER_RESPONSE, [orjson.dumps(item) for item in WEATHER_ITEMS]))
WEATHER_MESSAGE = Message(
    "assistant",
    (
        Reasoning("Weather?", "openai", "m", orjson.dumps(WEATHER_ITEMS[0]).decode(), "openai@127.0.0.1"),
        thought('{"type":"message","id":"msg_1","status":"completed","after":"rs_1"}'),
        Text("Es ist schön – 天気 🌦"),
        thought('{"type":"function_call","id":"fc_c1","status":"completed","after":"rs_1"}'),
        ToolCall("c1", "corpus.search", '{"query": "köln"}'),
        thought('{"type":"function_call","id":"fc_c2","status":"completed","after":"rs_1"}'),
        ToolCall("c2", "corpus.search", "{}"),
    ),
)
WHOLE = ModelResponse(WEATHER_MESSAGE, "tool_calls", Usage(10, 5, calls=1), "m-2026", "resp_1")


async def test_a_stream_becomes_the_response_that_comes_whole_and_is_observed():
    seen: list[Notice] = []
    assert await ask(event_stream(*WEATHER), seen=seen, stream=True) == WHOLE
    assert await ask(document(*(orjson.dumps(item).decode() for item in WEATHER_ITEMS), usage=FEW)) == WHOLE
    assert seen == [ThinkingDelta("Weather?"), TextDelta("Es ist schön – 天気 🌦")]


async def test_thinking_is_taken_from_the_event_that_ends_it():
    raw = THOUGHT.encode()
    items = [orjson.loads(THOUGHT), orjson.loads(FETCH)]
    stream = list(events_of(reply(*items), [raw, FETCH.encode()]))
    assert (await ask(event_stream(*stream), stream=True)).message == REASONED
    assert b'"encrypted_content":"incomplete"' in b"".join(stream)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), ending=st.sampled_from([b"\n", b"\r\n", b"\r"]))
async def test_chunk_boundaries_and_line_endings_change_nothing(data: st.DataObject, ending: bytes):
    whole = b"".join(WEATHER).replace(b"\n", ending)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=40)))
    chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert await ask(event_stream(*chunks), stream=True) == WHOLE


@pytest.mark.parametrize("last", [Close(), Reset()])
@pytest.mark.parametrize("kept", range(0, len(WEATHER), 3))
async def test_a_stream_that_is_cut_is_asked_for_again(kept: int, last: Step):
    seen: list[Notice] = []
    cut: list[Step] = [*event_stream(*WEATHER[:kept], end=False), last]
    assert await ask(cut, event_stream(*WEATHER), seen=seen, stream=True) == WHOLE
    assert len(reasons(seen)) == 1


@pytest.mark.parametrize("done", [b": on and on\n\n", b"data: [DONE]\n\n"])
async def test_a_stream_that_is_always_cut_within_a_call_never_yields_one(done: bytes):
    """Whether it breaks off or claims to be over, and though the first call was whole."""
    delta = b"response.function_call_arguments.delta"
    within_second = [at for at, one in enumerate(WEATHER) if delta in one][-1]
    cut = event_stream(*WEATHER[:within_second], done)
    with pytest.raises(ModelUnavailable, match=f"failed 3 times; at last: {CUT}"):
        await ask(cut, cut, cut, stream=True)


async def test_a_server_may_keep_the_connection_open_or_send_its_items_at_the_end_only():
    assert await ask([*event_stream(*WEATHER, end=False), Hang()], stream=True) == WHOLE
    assert await ask(event_stream(WEATHER[-1]), stream=True) == WHOLE


async def test_a_stream_may_end_with_what_was_too_long():
    details = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    cut = called("c1", "corpus__search", '{"que', status="incomplete")
    done = event("response.output_item.done", output_index=0, item=cut)
    over = event("response.incomplete", response=reply(cut, **details))
    response = await ask(event_stream(done, over), stream=True)
    assert (response.stop_reason, response.message.parts) == ("length", ())


async def test_items_come_in_their_order_whatever_that_of_the_events():
    first, second = called("c1", "corpus__search", "{}"), called("c2", "corpus__search", "[]")
    done = [
        event("response.output_item.done", output_index=at, item=item)
        for at, item in ((1, second), (0, first))
    ]
    response = await ask(
        event_stream(*done, event("response.completed", response=reply() | {"output": []})), stream=True
    )
    assert [call.id for call in response.message.tool_calls] == ["c1", "c2"]


async def test_an_error_within_a_stream_is_judged_like_any_other():
    seen: list[Notice] = []
    busy = event("error", code="server_error", message="overloaded")
    nested = event("error", error={"code": "rate_limit_exceeded", "message": "slow down"})
    assert (
        await ask(
            event_stream(WEATHER[0], busy),
            event_stream(nested),
            event_stream(b"data: {oops\n\n"),
            event_stream(*WEATHER),
            seen=seen,
            stream=True,
        )
        == WHOLE
    )
    assert reasons(seen) == [
        "HTTP 502: server_error: overloaded",
        "HTTP 429: rate_limit_exceeded: slow down",
        "the endpoint sent something that is not JSON: '{oops'",
    ]


async def test_a_reply_goes_back_as_it_came():
    async with fault_server(event_stream(*WEATHER), FINE) as server, model_at(server.base_url) as model:
        transcript = opened(model, [user("x")], [SEARCH])
        response = await model.respond(transcript, CallOptions(), lambda notice: None)
        transcript.append(response.message)
        await model.respond(transcript, CallOptions(), lambda notice: None)
    assert server.requests[1].json["input"][1:] == WEATHER_ITEMS


async def test_thinking_that_holds_a_secret_goes_whole_and_the_call_goes_on_without_it():
    secret = "hunter2-hunter2"
    told = {**orjson.loads(THOUGHT), "summary": [{"type": "summary_text", "text": f"The key is {secret}."}]}
    call = called("c1", "corpus__search", "{}")
    async with fault_server(answer(reply(told, call)), FINE) as server, model_at(server.base_url) as bare:
        model = GuardedModel(bare, Redactor([secret]))
        transcript = opened(bare, [user("x")], [SEARCH])
        response = await model.respond(transcript, CallOptions(), lambda notice: None)
        transcript.append(response.message)
        await model.respond(transcript, CallOptions(), lambda notice: None)
    assert secret not in repr(response)
    bare_call = {name: call[name] for name in ("type", "call_id", "name", "arguments")}
    assert server.requests[1].json["input"][1:] == [bare_call]

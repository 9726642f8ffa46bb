"""What `OpenAIChatModel` repeats, what it gives up on, and what it says then."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

import anyio
import pytest

from harness.errors import ContextOverflow, ModelError, ModelRejected, ModelUnavailable
from harness.messages import assistant, user
from harness.models.endpoint import Endpoint
from harness.models.openai_chat import OpenAIChatModel
from harness.models.port import CallOptions, ModelResponse, Notice, Retrying
from tests.models.server import Close, Hang, Reset, Script, answer, closed_port, fault_server

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret-key"
FINE = answer({"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def error(status: int, message: str = "no", *, headers: dict[str, str] | None = None, **fields: Any) -> bytes:
    return answer({"error": {"message": message, **fields}}, status=status, headers=headers)


async def ask(base_url: str, *, observed: list[Retrying] | None = None, **settings: Any) -> ModelResponse:
    def observe(happening: Notice) -> None:
        if observed is not None and isinstance(happening, Retrying):
            observed.append(happening)

    endpoint = Endpoint(
        **cast(
            "dict[str, Any]",
            {
                "model": "m",
                "base_url": base_url,
                "api_key": KEY,
                "retries": 2,
                "backoff_seconds": 0.001,
                **settings,
            },
        )
    )
    model = OpenAIChatModel(endpoint, jitter=random.Random(1))
    try:
        transcript = model.open([])
        transcript.append(user("x"))
        with anyio.fail_after(10):
            return await model.respond(transcript, CallOptions(), observe)
    finally:
        await model.close()


async def failure(*scripts: Script, **settings: Any) -> ModelError:
    """Return the error that the scripts lead to, every one of them having been played."""
    async with fault_server(*scripts) as server:
        with pytest.raises(ModelError) as caught:
            await ask(server.base_url, **settings)
    assert len(server.requests) == len(scripts)
    text = str(caught.value).replace(server.base_url, "URL")
    assert KEY not in text
    return type(caught.value)(text)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        *[
            (error(status, "busy"), f"HTTP {status}: busy")
            for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)
        ],
        (answer(b"<html>\n bad   gateway", status=502), "HTTP 502: <html> bad gateway"),
        (answer({"choices": []}), "the endpoint answered without any choice"),
        (
            answer({"choices": [{"message": None}]}),
            "the endpoint answered with a choice that holds no message",
        ),
        (answer([1]), "the endpoint sent JSON that is not an object"),
        (answer({"error": {"message": "busy", "code": 429}}), "HTTP 429: busy"),
        (
            answer(b'{"choices": [{"mess'),
            'the endpoint sent something that is not JSON: \'{"choices": [{"mess\'',
        ),
        (answer(b""), "the endpoint sent something that is not JSON: ''"),
        (Close(), "the connection broke: Server disconnected"),
        ([FINE[:-5], Close()], None),
        (Reset(), None),
        ([FINE[:20], Reset()], None),
        (b"nonsense\r\n\r\n", None),
    ],
)
async def test_what_may_pass_is_tried_again(fault: Script, reason: str | None):
    observed: list[Retrying] = []
    async with fault_server(fault, FINE) as server:
        response = await ask(server.base_url, observed=observed)
    assert response.message == assistant("fine")
    assert [retrying.attempt for retrying in observed] == [1]
    assert reason is None or observed[0].reason == reason
    assert server.requests[0].body == server.requests[1].body


async def test_attempts_end_with_what_went_wrong_at_last():
    raised = await failure(error(500, "one"), error(503, "two"), error(500, "three"))
    assert repr(raised) == repr(
        ModelUnavailable(
            "m at URL/chat/completions failed 3 times; at last: HTTP 500: three; check that it is running and reachable"
        )
    )


async def test_an_endpoint_that_is_not_there_is_unavailable():
    observed: list[Retrying] = []
    url = closed_port()
    with pytest.raises(
        ModelUnavailable, match=f"m at {url}/chat/completions failed 3 times; at last: could not connect"
    ):
        await ask(url, observed=observed)
    assert len(observed) == 2


async def test_waits_grow_with_full_jitter_and_can_be_foretold():
    observed: list[Retrying] = []
    await failure(*[error(500)] * 5, observed=observed, retries=4, backoff_seconds=0.002)
    generator = random.Random(1)
    assert [retrying.wait_seconds for retrying in observed] == [
        generator.uniform(0, 0.002 * 2**exponent) for exponent in range(4)
    ]


@pytest.mark.parametrize(
    ("headers", "shortest"),
    [
        ({"Retry-After": "0.05"}, 0.05),
        ({"retry-after-ms": "40", "Retry-After": "9"}, 0.04),
        ({"Retry-After": "soon"}, 0),
    ],
)
async def test_an_endpoint_is_left_alone_for_as_long_as_it_asks(headers: dict[str, str], shortest: float):
    observed: list[Retrying] = []
    async with fault_server(error(429, headers=headers), FINE) as server:
        await ask(server.base_url, observed=observed)
    assert shortest <= observed[0].wait_seconds <= shortest + 0.001


async def test_a_date_to_wait_for_is_understood():
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    future = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    observed: list[Retrying] = []
    async with fault_server(error(503, headers={"Retry-After": past}), FINE) as server:
        await ask(server.base_url, observed=observed)
    assert observed[0].wait_seconds <= 0.001

    raised = await failure(error(503, headers={"Retry-After": future}))
    assert isinstance(raised, ModelUnavailable)
    assert "asks to wait 3" in str(raised)


async def test_a_wait_of_more_than_a_minute_is_the_callers_to_decide():
    raised = await failure(error(429, "slow down", headers={"Retry-After": "61"}))
    assert str(raised) == (
        "m at URL/chat/completions asks to wait 61 seconds (HTTP 429: slow down); try again after that"
    )


async def test_a_call_waits_while_the_endpoint_has_asked_another_to():
    """The second call starts after the first was told to wait, and does not add to the load."""
    async with fault_server(error(429, headers={"Retry-After": "0.1"}), FINE, FINE) as server:
        model = OpenAIChatModel(Endpoint(model="m", base_url=server.base_url, backoff_seconds=0.001))
        told = anyio.Event()
        arrived: list[int] = []

        async def call(observe: Any) -> None:
            transcript = model.open([])
            transcript.append(user("x"))
            await model.respond(transcript, CallOptions(), observe)
            arrived.append(len(server.requests))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(call, lambda _: told.set())
                await told.wait()
                started = anyio.current_time()
                await call(lambda _: None)
                assert anyio.current_time() - started >= 0.05
        await model.close()
    assert len(server.requests) == 3


async def test_no_answer_in_time_is_tried_again():
    observed: list[Retrying] = []
    async with fault_server(Hang(), [FINE[:30], Hang()], FINE) as server:
        await ask(server.base_url, observed=observed, timeout_seconds=0.1)
    assert [retrying.reason for retrying in observed] == ["no complete answer within 0.1 seconds"] * 2


async def test_cancelling_ends_a_call_at_once():
    async with fault_server(Hang()) as server:
        with anyio.move_on_after(0.1) as scope:
            await ask(server.base_url)
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (
            error(401, f"Incorrect API key provided: {KEY}"),
            "m at URL/chat/completions refused the request (HTTP 401: Incorrect API key provided: [removed]); "
            "check the API key that the team file gives for this model",
        ),
        (
            error(403),
            "m at URL/chat/completions refused the request (HTTP 403: no); "
            "the API key may not use this model; check the key and its permissions",
        ),
        (
            answer({"detail": "Not Found"}, status=404),
            "m at URL/chat/completions refused the request (HTTP 404: Not Found); "
            "the model name or the base URL may be wrong",
        ),
        (
            error(400, "Invalid schema for function 'x'"),
            "m at URL/chat/completions refused the request (HTTP 400: Invalid schema for function 'x'); "
            "the endpoint does not accept this request; check the model's options and the tool schemas",
        ),
        (
            error(429, "You exceeded your current quota", code="insufficient_quota"),
            "m at URL/chat/completions refused the request (HTTP 429: You exceeded your current quota); "
            "the account's quota is used up",
        ),
        (
            answer(b"", status=418),
            "m at URL/chat/completions refused the request (HTTP 418)",
        ),
        (
            answer(b"", status=308, headers={"Location": "https://other.example/v1"}),
            "m at URL/chat/completions redirects to https://other.example/v1; use the right base URL in the team file",
        ),
    ],
)
async def test_what_would_fail_again_is_not_repeated(response: bytes, text: str):
    raised = await failure(response)
    assert isinstance(raised, ModelRejected)
    assert str(raised) == text


async def test_a_long_error_text_is_cut():
    raised = await failure(error(400, "x" * 100_000))
    assert len(str(raised)) < 900


@pytest.mark.parametrize(
    "response",
    [
        error(400, "any words", code="context_length_exceeded"),
        error(400, "This model's maximum context length is 4096 tokens."),
        error(400, "the request exceeds the available context size", type="exceed_context_size_error"),
        error(400, "prompt is too long: 210000 tokens > 200000 maximum"),
        answer({"message": "maximum context length is 8"}, status=422),
        error(413, "Request too large for m"),
    ],
)
async def test_a_request_that_is_too_long_is_told_apart(response: bytes):
    assert isinstance(await failure(response), ContextOverflow)


async def test_a_retry_uses_a_new_connection_where_the_old_one_is_gone():
    async with fault_server(Reset(), FINE) as server:
        await ask(server.base_url)
    assert server.connections == 2


async def test_the_proxy_of_the_environment_is_used_for_other_machines(monkeypatch: pytest.MonkeyPatch):
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with fault_server(FINE) as proxy:
        address = proxy.base_url.removesuffix("/v1").replace("http://", "http://me:word@")
        monkeypatch.setenv("http_proxy", address)
        await ask("http://models.invalid/v1")
    assert proxy.requests[0].target == "http://models.invalid/v1/chat/completions"
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic bWU6d29yZA=="

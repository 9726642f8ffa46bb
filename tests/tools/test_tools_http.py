"""Servers over HTTP: one failed request stays one failed request."""

from __future__ import annotations

import anyio
import pytest
from pydantic import SecretStr
from servers_in_use import Arrival, HandWritten, HttpServer, call, hub, tool

from harness.errors import RequiredServerFailed, ToolServerError
from harness.team import ServerSpec

pytestmark = pytest.mark.anyio


async def test_headers_are_sent(http_server: HttpServer):
    spec = http_server.spec(headers={"Authorization": SecretStr("Bearer 123")})
    with anyio.fail_after(20):
        async with hub(web=spec) as servers:
            assert (await call(servers, "web.header", name="authorization")).text == "Bearer 123"


async def test_large_results_and_many_calls_come_through(http_server: HttpServer):
    sizes: list[int] = []

    async def one(servers) -> None:
        sizes.append(len((await call(servers, "web.big", size=1000)).text))

    with anyio.fail_after(30):
        async with hub(web=http_server.spec()) as servers:
            assert len((await call(servers, "web.big", size=5_000_000)).text) == 5_000_000
            async with anyio.create_task_group() as callers:
                for _ in range(100):
                    callers.start_soon(one, servers)

    assert sizes == [1000] * 100


async def test_a_server_killed_in_the_middle_of_a_call_is_unknown_and_then_reached_again(
    http_server: HttpServer,
):
    arrival = Arrival()
    with anyio.fail_after(40):
        async with hub(web=http_server.spec(effects={"hold": "once"})) as servers:
            held = await tool(servers, "web.hold")

            async def hold() -> None:
                with pytest.raises(ToolServerError) as raised:
                    await held.invoke({}, arrival.context)
                assert str(raised.value) == (
                    "the server web was lost during hold; whether it took effect is unknown"
                )

            async with anyio.create_task_group() as callers:
                callers.start_soon(hold)
                await arrival.event.wait()
                http_server.kill()
            with pytest.raises(ToolServerError, match="could not be reached: no connection"):
                await call(servers, "web.greet", name="you")

            await anyio.to_thread.run_sync(http_server.start)

            assert (await call(servers, "web.greet", name="you")).text == "hello you"


async def test_a_call_at_a_server_that_was_restarted_meanwhile_just_runs(http_server: HttpServer):
    with anyio.fail_after(40):
        async with hub(web=http_server.spec()) as servers:
            first = (await call(servers, "web.pid")).text
            http_server.kill()
            await anyio.to_thread.run_sync(http_server.start)

            assert (await call(servers, "web.pid")).text != first


async def test_cancelling_one_call_disturbs_no_other(http_server: HttpServer):
    arrivals = [Arrival(), Arrival()]
    scope = anyio.CancelScope()
    with anyio.fail_after(20):
        async with hub(web=http_server.spec()) as servers:
            held = await tool(servers, "web.hold")
            async with anyio.create_task_group() as callers:
                callers.start_soon(held.invoke, {}, arrivals[0].context)

                async def cancelled() -> None:
                    with scope:
                        await held.invoke({}, arrivals[1].context)

                callers.start_soon(cancelled)
                for arrival in arrivals:
                    await arrival.event.wait()
                scope.cancel()
                assert (await call(servers, "web.greet", name="you")).text == "hello you"
                callers.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, b"", "it answered HTTP 401 Unauthorized (check the key in its `headers`)"),
        (403, b'{"error": "nope"}', "HTTP 403 Forbidden (the key in its `headers` does not allow this)"),
        (404, b"<html>", "it answered HTTP 404 Not Found (check the path of its `url`)"),
        (500, b"oops", "it answered HTTP 500 Internal Server Error"),
        (
            503,
            b"",
            "it answered HTTP 503 Service Unavailable (it is overloaded or starting; nothing was run)",
        ),
        (
            400,
            b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "Bad version"}}',
            "Bad version",
        ),
    ],
)
async def test_what_a_server_answers_instead_of_mcp_is_said(status: int, body: bytes, message: str):
    with anyio.fail_after(20), HandWritten(status=status, body=body).serving() as url:
        async with hub(web=ServerSpec(url=url)) as servers:
            with pytest.raises(RequiredServerFailed) as raised:
                await servers.tools(["web"])

    assert str(raised.value).startswith("the server web could not be reached: ")
    assert message in str(raised.value)


async def test_a_status_in_the_middle_of_a_run_fails_that_call_and_no_other():
    server = HandWritten()
    with anyio.fail_after(20), server.serving() as url:
        async with hub(web=ServerSpec(url=url)) as servers:
            assert (await call(servers, "web.echo")).text == "call 1"
            server.status = 503
            with pytest.raises(ToolServerError) as raised:
                await call(servers, "web.echo")
            server.status = 0
            assert (await call(servers, "web.echo")).text == "call 2"

    assert str(raised.value) == (
        "the server web did not run echo: it answered HTTP 503 Service Unavailable "
        "(it is overloaded or starting; nothing was run)"
    )


async def test_a_session_the_server_has_forgotten_is_opened_anew_for_any_call():
    server = HandWritten()
    server.session = "one"
    with anyio.fail_after(20), server.serving() as url:
        async with hub(web=ServerSpec(url=url)) as servers:
            assert (await call(servers, "web.echo")).text == "call 1"
            server.session = "two"
            assert (await call(servers, "web.echo")).text == "call 2"


async def test_a_tool_that_changed_which_headers_it_wants_is_called_with_them(http_server: HttpServer):
    with anyio.fail_after(20):
        async with hub(web=http_server.spec()) as servers:
            assert (await call(servers, "web.travel", to="Rome")).text == "in Rome"
            await call(servers, "web.want_header")
            assert (await call(servers, "web.travel", to="Rome")).text == "sent to Rome"

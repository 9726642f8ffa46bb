"""MCP over streamable HTTP, where one failed request stays one failed request.

In the SDK's transport an HTTP request that breaks takes the whole session with it, so that every
other call fails as well, and a status such as 401 loses its number. Here both become the JSON-RPC
error of the one request concerned.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
import orjson
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, METHOD_NOT_FOUND

from harness.tools.sieve import ToolSieve

NOT_DELIVERED = -32090
"""JSON-RPC error code of ours: the request did not reach a server that could have run it."""

REFUSED = -32091
"""JSON-RPC error code of ours: the server answered with an HTTP status instead of MCP."""

MAX_EVENT_BYTES = 256 << 20
"""The largest result that is read; the SDK's own limit is 1 MiB."""

_HINTS = {
    401: "check the key in its `headers`",
    403: "the key in its `headers` does not allow this",
    404: "check the path of its `url`",
    429: "it is asked too often",
    503: "it is overloaded or starting; nothing was run",
}


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, and how long to wait for it."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    connect_seconds: float = 20
    call_seconds: float = 60
    sieve: ToolSieve = field(default_factory=ToolSieve)
    named: Callable[[str], None] | None = None
    """Told what the server calls the session, if it does."""


@asynccontextmanager
async def open_http(endpoint: Endpoint, elicit: ElicitationFnT | None = None) -> AsyncGenerator[Client]:
    """Yield a client of the server at `endpoint`, whose questions go to `elicit`."""
    timeout = httpx2.Timeout(endpoint.call_seconds, connect=endpoint.connect_seconds, read=None)
    async with (
        _FaultTolerantClient(named=endpoint.named, headers=dict(endpoint.headers), timeout=timeout) as http,
        streamable_http_client(endpoint.url, http_client=http, max_sse_event_size=MAX_EVENT_BYTES) as (
            received,
            to_send,
        ),
        Client(
            _Opened(_SiftedStream(received, endpoint.sieve), to_send), elicitation_callback=elicit
        ) as client,
    ):
        yield client


class _FaultTolerantClient(httpx2.AsyncClient):
    """Answers a message that could not be posted with a JSON-RPC error, as if the server had."""

    def __init__(self, *, named: Callable[[str], None] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._named = named

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if request.method != "POST":
            return await super().send(request, **options)
        try:
            response = await super().send(request, **options)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            return _failure(request, 502, NOT_DELIVERED, f"no connection: {error or 'no answer'}")
        except httpx2.TransportError as error:
            return _failure(request, 502, CONNECTION_CLOSED, f"the connection broke: {error}")
        identity = response.headers.get("mcp-session-id")
        if identity and self._named is not None:
            self._named(identity)
        return response if response.status_code < 400 else await _explained(request, response)


async def _explained(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """Return an error response that says which status it was, unless it is a JSON-RPC error already."""
    try:
        body = await response.aread()
    except httpx2.TransportError:
        body = b""
    finally:
        await response.aclose()
    if _is_jsonrpc_error(body):
        headers = {"content-type": "application/json"}
        return httpx2.Response(response.status_code, content=body, headers=headers, request=request)
    status = response.status_code
    if status == 404 and "mcp-session-id" in request.headers:
        return _failure(request, status, NOT_DELIVERED, "it no longer knows this session")
    hint = f" ({_HINTS[status]})" if status in _HINTS else ""
    code = METHOD_NOT_FOUND if status == 404 else REFUSED
    return _failure(
        request, status, code, f"it answered HTTP {status} {response.reason_phrase}".rstrip() + hint
    )


def _is_jsonrpc_error(body: bytes) -> bool:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(answer, dict) and "error" in answer and "jsonrpc" in answer


def _failure(request: httpx2.Request, status: int, code: int, message: str) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return httpx2.Response(status, json=error, request=request)


class _SiftedStream:
    """A stream of messages whose listings go through a sieve."""

    def __init__(self, stream: Any, sieve: ToolSieve) -> None:
        self._stream = stream
        self._sieve = sieve

    @property
    def last_context(self) -> Any:
        """The context variables of the sender of the last message."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message."""
        return self._sifted(await self._stream.receive())

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __aiter__(self) -> _SiftedStream:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return self._sifted(await self._stream.__anext__())

    async def __aenter__(self) -> _SiftedStream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> bool | None:
        return cast("bool | None", await self._stream.__aexit__(*raised))

    def _sifted(self, message: SessionMessage | Exception) -> SessionMessage | Exception:
        if isinstance(message, SessionMessage):
            self._sieve.sift(message)
        return message


class _Opened:
    """Streams that are open already, in the shape the SDK's client expects of a transport."""

    def __init__(self, received: Any, to_send: Any) -> None:
        self._streams = (received, to_send)

    async def __aenter__(self) -> tuple[Any, Any]:
        return self._streams

    async def __aexit__(self, *raised: Any) -> None:
        return None

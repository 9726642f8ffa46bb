"""A real HTTP server on the loopback interface that answers with scripted bytes and faults.

    async with fault_server(answer({"choices": []}), Reset()) as server:
        ...  # ask server.base_url
    assert server.requests[0].json == {...}

Each request takes the next script. A script is bytes to send, or a list of steps: bytes, `Pause`,
`Reset` (a TCP reset), `Hang` (silence until the client gives up), `Forever`, `Close`; or a function that makes one
of the request.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Send nothing more, until the client closes the connection."""


@dataclass(frozen=True, slots=True)
class Forever:
    """Send the same bytes again and again, until the client closes the connection."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection with a TCP reset."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection in the regular way."""


Step = bytes | Pause | Hang | Forever | Reset | Close
Script = Step | Sequence[Step]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


@dataclass(slots=True)
class FaultServer:
    """What the server did."""

    base_url: str
    requests: list[Request] = field(default_factory=list[Request])
    connections: int = 0
    most_at_once: int = 0
    """The most requests that were being answered at the same time."""


def answer(document: Any = None, *, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole response; a document that is not bytes is sent as JSON."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    return _head(status, fields) + body


def event_stream(*chunks: bytes, end: bool = True) -> list[Step]:
    """Return a response of server-sent events, one HTTP chunk for each of `chunks`."""
    steps: list[Step] = [_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})]
    steps += [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return [*steps, b"0\r\n\r\n"] if end else steps


@asynccontextmanager
async def fault_server(*scripts: Script | Callable[[Request], Script]) -> AsyncIterator[FaultServer]:
    """Serve `scripts` in order, one per request; a request beyond the last one gets HTTP 418."""
    state = FaultServer("")
    left = list(scripts)
    active = 0
    writers: set[asyncio.StreamWriter] = set()
    finished = asyncio.Condition()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal active
        state.connections += 1
        writers.add(writer)
        try:
            while (request := await _read_request(reader)) is not None:
                state.requests.append(request)
                active += 1
                state.most_at_once = max(state.most_at_once, active)
                script = left.pop(0) if left else answer({"error": "the script is over"}, status=418)
                try:
                    if not await _play(script(request) if callable(script) else script, reader, writer):
                        return
                finally:
                    active -= 1
        except ConnectionError:
            return
        finally:
            writer.close()
            async with finished:
                writers.discard(writer)
                finished.notify_all()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield state
    finally:
        server.close()
        for writer in list(writers):
            writer.transport.abort()
        await server.wait_closed()
        async with finished:
            await finished.wait_for(lambda: not writers)


def closed_port() -> str:
    """Return a base URL at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


async def _play(script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Carry out the steps and return whether the connection can be used again."""
    for step in script if isinstance(script, Sequence) and not isinstance(script, bytes) else [script]:
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Forever(chunk):
                while True:
                    writer.write(chunk)
                    await writer.drain()
            case Hang():
                await reader.read()
                return False
            case Reset():
                connection: socket.socket = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            case Close():
                return False
    return True


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in {*HTTPStatus} else 'Scripted'}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()

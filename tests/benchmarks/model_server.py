"""A deterministic model server on the loopback interface, cheaper than any client.

Scripted only by the text of the task (see `tests.benchmarks.conversation`). It speaks
the APIs of `tests.benchmarks.wires`, plain and streamed, and answers `GET …/models`; for those who measure,
`GET /stats` tells what it saw, `GET /gaps` the microseconds between each reply and the request after
it, and `GET /reset` starts both anew.

    async with model_server() as server: ...        # in this process: for tests
    with model_server_process() as base_url: ...    # in its own: for measuring a client alone
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.benchmarks.conversation import Conversations
from tests.benchmarks.wires import Wire, wire_of

ROOT = Path(__file__).resolve().parents[2]
_SHOWN_PROBLEMS = 20
_REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 411: b"Length Required"}


@dataclass(slots=True)
class Stats:
    """What the server saw since it was started or reset."""

    requests: int = 0
    bad: int = 0
    problems: list[str] = field(default_factory=list[str])
    """The first few things that were wrong; `bad` counts them all."""
    tool_calls: int = 0
    streams: int = 0
    connections: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    bytes_in: int = 0
    longest_body: int = 0
    most_messages: int = 0
    cpu_seconds: float = 0.0

    def complain(self, problem: str) -> None:
        """Count something no provider would accept."""
        self.bad += 1
        if len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(problem)


class ModelServer:
    """The model behind all connections, and what it remembers."""

    def __init__(self) -> None:
        self.base_url = ""
        self.reset()

    def reset(self) -> None:
        """Forget every conversation and figure."""
        self.stats = Stats()
        self.gaps: list[int] = []
        self._conversations = Conversations(self.stats.complain)
        self._cpu_before = time.process_time()
        self._last_reply = 0.0

    def snapshot(self) -> dict[str, Any]:
        """Return the statistics as plain values."""
        self.stats.cpu_seconds = time.process_time() - self._cpu_before
        return asdict(self.stats)

    def chat(self, body: bytes, connection: _Connection, wire: Wire, said: Mapping[str, Any]) -> None:
        """Answer one request when its latency has passed; `said` is what its address says."""
        stats = self.stats
        if self._last_reply:
            self.gaps.append(round((time.perf_counter() - self._last_reply) * 1e6))
        stats.requests += 1
        stats.bytes_in += len(body)
        stats.longest_body = max(stats.longest_body, len(body))
        try:
            reply, conversation = self._conversations.answer(body, wire=wire, said=said)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            stats.complain(f"malformed request: {error!r}")
            connection.send(400, orjson.dumps({"error": {"message": str(error), "type": "invalid_request"}}))
            return
        stats.in_flight += 1
        stats.most_in_flight = max(stats.most_in_flight, stats.in_flight)
        stats.most_messages = max(stats.most_messages, conversation.messages)
        stats.tool_calls += len(reply.calls)
        stats.streams += reply.stream
        encode = wire.streamed if reply.stream else wire.plain
        content = encode(reply, number=stats.requests, request_bytes=len(body))
        kind = b"text/event-stream" if reply.stream else b"application/json"
        if reply.latency:
            asyncio.get_running_loop().call_later(reply.latency, self._send, connection, content, kind, stats)
        else:
            self._send(connection, content, kind, stats)

    def _send(self, connection: _Connection, content: bytes, kind: bytes, stats: Stats) -> None:
        stats.in_flight -= 1
        connection.send(200, content, kind)
        self._last_reply = time.perf_counter()


class _Connection(asyncio.BufferedProtocol):
    """One client's connection: HTTP/1.1 with a stated length, one request at a time.

    What arrives goes into one buffer that is kept from request to request.
    """

    transport: asyncio.Transport

    def __init__(self, server: ModelServer, connections: set[_Connection]) -> None:
        self._server = server
        self._connections = connections
        self._buffer = bytearray(8192)
        self._filled = 0
        self._body_at = 0
        self._needed = 0
        """Bytes of head and body together; 0 while the head is incomplete."""
        self._target = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connections.add(self)
        self._server.stats.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        room = max(self._filled + 4096, self._needed)
        if room > len(self._buffer):
            self._buffer.extend(bytes(2 * room - len(self._buffer)))
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        while (self._needed or self._read_head()) and self._filled >= self._needed:
            with memoryview(self._buffer) as view:
                body = bytes(view[self._body_at : self._needed])
                left = self._filled - self._needed
                view[:left] = bytes(view[self._needed : self._filled])
            self._filled, self._needed = left, 0
            self._serve(body)

    def _read_head(self) -> bool:
        """Learn target and length once the head is complete; return whether it is."""
        end = self._buffer.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            return False
        request_line, *lines = self._buffer[:end].split(b"\r\n")
        method, target, _ = request_line.split(b" ", 2)
        length = 0 if method == b"GET" else -1
        for line in lines:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length < 0:
            self._server.stats.complain("a request without content-length")
            self.send(411, b"{}")
            self.transport.close()
            return False
        self._target = bytes(target)
        self._body_at = end + 4
        self._needed = self._body_at + length
        return True

    def _serve(self, body: bytes) -> None:
        server, target = self._server, self._target
        if (spoken := wire_of(target.decode("latin-1"))) is not None:
            server.chat(body, self, *spoken)
        elif target == b"/stats":
            self.send(200, orjson.dumps(server.snapshot()))
        elif target == b"/gaps":
            self.send(200, orjson.dumps(server.gaps))
        elif target == b"/reset":
            server.reset()
            self.send(200, b"{}")
        elif target.endswith(b"/models"):
            self.send(200, orjson.dumps({"object": "list", "data": [{"id": "bench", "object": "model"}]}))
        else:
            server.stats.complain(f"unexpected path {target!r}")
            self.send(404, b'{"error": {"message": "no such path", "type": "not_found"}}')

    def send(self, status: int, content: bytes, kind: bytes = b"application/json") -> None:
        """Write one complete response, unless the client has gone."""
        if self.transport.is_closing():
            return
        head = b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(head % (status, _REASONS[status], kind, len(content)) + content)


@asynccontextmanager
async def model_server(port: int = 0) -> AsyncGenerator[ModelServer]:
    """Serve in this process until the block is left; `base_url` ends in `/v1`."""
    server = ModelServer()
    connections: set[_Connection] = set()
    listener = await asyncio.get_running_loop().create_server(
        lambda: _Connection(server, connections), "127.0.0.1", port, backlog=4096
    )
    server.base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listener.close()
        for connection in tuple(connections):
            connection.transport.abort()
        await listener.wait_closed()


@contextmanager
def model_server_process() -> Generator[str]:
    """Serve in a process of its own until the block is left; yields its base URL."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.model_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            base_url = process.stdout.readline().strip()
            if not base_url:
                raise RuntimeError("the model server did not start")
            yield base_url
        finally:
            process.terminate()


def allow_many_connections() -> None:
    """Raise this process's limit of open files as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(port: int) -> None:
    """Print the base URL, then serve until whoever started us closes our input or goes away."""
    async with model_server(port) as server:
        print(server.base_url, flush=True)
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Run the server alone."""
    parser = argparse.ArgumentParser(description="Serve the benchmark's model until standard input closes.")
    parser.add_argument("--port", type=int, default=0, help="0 for any free port")
    allow_many_connections()
    asyncio.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()

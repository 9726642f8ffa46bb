"""MCP over the pipes of a child process whose whole process group we own.

The SDK's transport leaves grandchildren behind and reads long lines in quadratic time; this one
kills the group at close, keeps the tail of stderr for error messages and joins long lines once.
Source: MCP 2026-07-28, "Transports", stdio, with its shutdown: close the input, wait, SIGTERM, SIGKILL.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from harness.tools.sieve import ToolSieve

CLOSE_GRACE_SECONDS = 2.0
"""How long a server may take to end by itself once its input is closed."""

TERMINATE_GRACE_SECONDS = 1.0
"""How long it may take after SIGTERM; then its whole process group is killed."""

DRAIN_SECONDS = 0.5
"""How long the last of stderr is waited for once the process group is gone."""

MAX_MESSAGE_BYTES = 256 << 20
"""A line longer than this is not read on: the server counts as broken."""

TAIL_LINES = 40
TAIL_LINE_CHARACTERS = 400

_GONE = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


def _nobody_minds() -> None:
    """Do nothing when the server ends."""


@dataclass
class ChildServer:
    """A server to start, and what is known of it once it ran."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to the few variables every server gets; nothing else of ours is passed on."""
    directory: Path | None = None
    on_end: Callable[[], None] = _nobody_minds
    """Called, perhaps twice, when the server stops listening or talking; before its callers learn of it."""
    sieve: ToolSieve = field(default_factory=ToolSieve)
    tail: deque[str] = field(default_factory=lambda: deque[str](maxlen=TAIL_LINES))
    """The last lines the server wrote to stderr."""
    exit_code: int | None = None


@asynccontextmanager
async def open_stdio(server: ChildServer) -> AsyncGenerator[Streams]:
    """Run the server and yield the streams to read from and write to.

    Raises:
        OSError: The command cannot be started.
    """
    process = await _start(server)
    incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](64)
    to_send, outgoing = anyio.create_memory_object_stream[SessionMessage](64)
    drained = anyio.Event()
    try:
        async with anyio.create_task_group() as pumps:
            pumps.start_soon(_read_messages, process, incoming, server)
            pumps.start_soon(_write_messages, process, outgoing, server)
            pumps.start_soon(_keep_tail, process, server.tail, drained)
            cancelled = False
            try:
                yield received, to_send
            except anyio.get_cancelled_exc_class():
                cancelled = True
                raise
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(process, patient=not cancelled)
                    server.exit_code = process.returncode
                    with anyio.move_on_after(0 if cancelled else DRAIN_SECONDS):
                        await drained.wait()
                pumps.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await process.aclose()
        for stream in (incoming, received, to_send, outgoing):
            stream.close()


async def _start(server: ChildServer) -> Process:
    process: Process | None = None
    with anyio.CancelScope(shield=True):  # cancelled halfway, it would leave a process nobody knows
        process = await anyio.open_process(
            list(server.argv),
            cwd=server.directory,
            env=get_default_environment() | dict(server.environment),
            start_new_session=True,
        )
    assert process is not None
    return process


async def _end(process: Process, *, patient: bool) -> None:
    """Close the server's input, wait for it, then kill whatever is left of its process group."""
    if process.stdin is not None:
        with suppress(*_GONE):
            await process.stdin.aclose()
    if patient:
        with anyio.move_on_after(CLOSE_GRACE_SECONDS):
            await process.wait()
        if process.returncode is None:
            _signal_group(process, signal.SIGTERM)
            with anyio.move_on_after(TERMINATE_GRACE_SECONDS):
                await process.wait()
    _signal_group(process, signal.SIGKILL)
    await process.wait()


def _signal_group(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _lines(stream: ByteReceiveStream) -> AsyncGenerator[bytes]:
    """Yield lines without their end; the pieces of a long line are joined once.

    Stops at a line longer than `MAX_MESSAGE_BYTES`.
    """
    pieces: list[bytes] = []
    size = 0
    async for chunk in stream:
        *complete, rest = chunk.split(b"\n")
        if complete:
            pieces.append(complete[0])
            yield b"".join(pieces)
            pieces.clear()
            size = 0
            for line in complete[1:]:
                yield line
        if rest:
            pieces.append(rest)
            size += len(rest)
            if size > MAX_MESSAGE_BYTES:
                return
    if pieces:
        yield b"".join(pieces)


async def _read_messages(
    process: Process, incoming: MemoryObjectSendStream[SessionMessage | Exception], server: ChildServer
) -> None:
    assert process.stdout is not None
    async with incoming:
        try:
            async for line in _lines(process.stdout):
                if line.strip():
                    await incoming.send(_message(line, server.sieve))
        except _GONE:
            pass
        finally:
            server.on_end()


def _message(line: bytes, sieve: ToolSieve) -> SessionMessage | Exception:
    try:
        message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error
    sieve.sift(message)
    return message


async def _write_messages(
    process: Process, outgoing: MemoryObjectReceiveStream[SessionMessage], server: ChildServer
) -> None:
    assert process.stdin is not None
    async with outgoing:
        try:
            async for message in outgoing:
                line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await process.stdin.send(line.encode() + b"\n")
        except _GONE:
            server.on_end()


async def _keep_tail(process: Process, tail: deque[str], drained: anyio.Event) -> None:
    """Drain stderr, so that a server that floods it never blocks, and keep its last lines."""
    assert process.stderr is not None
    unfinished = b""
    with suppress(*_GONE):
        async for chunk in process.stderr:
            *lines, unfinished = (unfinished[-TAIL_LINE_CHARACTERS:] + chunk).split(b"\n")
            tail.extend(map(_printable, lines[-TAIL_LINES:]))
    if unfinished:
        tail.append(_printable(unfinished))
    drained.set()


def _printable(line: bytes) -> str:
    """Return a line as text that can do nothing to a terminal."""
    text = line[-4 * TAIL_LINE_CHARACTERS :].decode(errors="replace").rstrip()
    return "".join(character if character.isprintable() else " " for character in text)[
        -TAIL_LINE_CHARACTERS:
    ]

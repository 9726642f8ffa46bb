"""MCP over the pipes of a child process whose whole process group we own.

The SDK's transport leaves grandchildren behind and reads long lines in quadratic time; this one
kills the group at close, keeps the tail of stderr for error messages and joins long lines once.
Source: MCP 2026-07-28, "Transports", stdio.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

CLOSE_GRACE_SECONDS = 2.0
"""How long a server may take to end by itself once its input is closed."""


@dataclass(frozen=True)
class StdioCommand:
    """How to start a server."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    directory: Path | None = None
    stderr: deque[str] = field(default_factory=lambda: deque[str](maxlen=40), compare=False)
    """The last lines the server wrote to stderr."""


@asynccontextmanager
async def open_stdio(
    command: StdioCommand,
) -> AsyncGenerator[
    tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
]:
    """Run the server and yield the streams to read from and write to.

    Raises:
        OSError: The command cannot be started.
    """
    process = await anyio.open_process(
        list(command.argv),
        cwd=command.directory,
        env=get_default_environment() | dict(command.environment),
        start_new_session=True,
    )
    incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](64)
    to_send, outgoing = anyio.create_memory_object_stream[SessionMessage](64)
    try:
        async with anyio.create_task_group() as pumps:
            pumps.start_soon(_read_messages, process, incoming)
            pumps.start_soon(_write_messages, process, outgoing)
            pumps.start_soon(_keep_tail, process, command.stderr)
            yield received, to_send
            with anyio.CancelScope(shield=True):
                await _end(process)
            pumps.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process, grace=0)
            await process.aclose()
        for stream in (incoming, received, to_send, outgoing):
            stream.close()


async def _end(process: Process, *, grace: float = CLOSE_GRACE_SECONDS) -> None:
    """Close the server's input, wait for it, then kill whatever is left of its process group."""
    if process.stdin is not None:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await process.stdin.aclose()
    with anyio.move_on_after(grace):
        await process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def _lines(stream: ByteReceiveStream) -> AsyncGenerator[bytes]:
    """Yield lines without their end; the pieces of a long line are joined once."""
    pieces: list[bytes] = []
    async for chunk in stream:
        *complete, rest = chunk.split(b"\n")
        if complete:
            pieces.append(complete[0])
            yield b"".join(pieces)
            pieces.clear()
            for line in complete[1:]:
                yield line
        if rest:
            pieces.append(rest)
    if pieces:
        yield b"".join(pieces)


async def _read_messages(
    process: Process, incoming: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    assert process.stdout is not None
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with incoming:
            async for line in _lines(process.stdout):
                if not line.strip():
                    continue
                try:
                    message: SessionMessage | Exception = SessionMessage(
                        jsonrpc_message_adapter.validate_json(line, by_name=False)
                    )
                except ValueError as error:
                    message = error
                await incoming.send(message)


async def _write_messages(process: Process, outgoing: MemoryObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin is not None
    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for message in outgoing:
            line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            await process.stdin.send(line.encode() + b"\n")


async def _keep_tail(process: Process, tail: deque[str]) -> None:
    """Drain stderr, so that a server that floods it never blocks, and keep its last lines."""
    assert process.stderr is not None
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for chunk in process.stderr:
            tail.extend(chunk.decode(errors="replace").splitlines()[-40:])

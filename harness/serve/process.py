"""One server process: it listens, and when it is told to stop it lets its runs end first."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from harness.errors import UsageError

STREAMS_SECONDS = 5
"""How long connections may take to close once there is nothing left to send."""

BACKLOG = 2048


async def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8321,
    on_stop: Callable[[], Awaitable[None]] | None = None,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serve `app` until SIGTERM or Ctrl-C.

    The first signal lets runs end for a while, interrupts the rest so that they can be resumed, and
    ends all streams; what is asked meanwhile is still answered. The second one leaves at once, and a
    further Ctrl-C ends the process like a kill.

    Args:
        on_stop: Brings the work to an end; for an application of `create_app` that is known.
        on_listening: Told the address once requests are answered.

    Raises:
        UsageError: The address is taken or cannot be used.
    """
    stop = on_stop or _stop_of(app)
    with _listener(host, port) as listener:
        config = uvicorn.Config(
            app,
            log_level="warning",
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=STREAMS_SECONDS,
            proxy_headers=False,
            server_header=False,
        )
        server = _Server(config, lambda: on_listening and on_listening(_url(listener)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_when_told, server, stop)
            await server.serve([listener])
            tasks.cancel_scope.cancel()


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server bound to `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    """Leaves signals alone, since the work has to end before the connections do."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._on_listening()


async def _stop_when_told(server: _Server, stop: Callable[[], Awaitable[None]]) -> None:
    told = 0
    try:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with anyio.create_task_group() as stopping:

                async def end() -> None:
                    await stop()
                    server.should_exit = True

                async for _ in signals:
                    told += 1
                    if told == 1:
                        stopping.start_soon(end)
                    else:
                        server.force_exit = server.should_exit = True
                        stopping.cancel_scope.cancel()
    finally:
        if told > 1:
            # A third Ctrl-C is a crash, which runs survive; not an error in the midst of what closes.
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _stop_of(app: ASGIApp) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        if isinstance(app, Starlette) and hasattr(app.state, "serving"):
            await app.state.serving.stop()

    return stop


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{host}:{port} cannot be listened on: {reason}; try another --port") from error
    listener.listen(BACKLOG)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"

"""One MCP server: started when first needed, owned by one task, restarted when it dies.

An MCP client must be entered and left in the same task, and a client whose transport died never
recovers. So each session lives in a task of its own which enters and leaves it; every other task
only calls it. A lost session is replaced at the next call.
"""

from __future__ import annotations

import importlib
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from anyio.abc import TaskGroup
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED, CallToolResult
from mcp_types import Tool as ListedTool

from harness.errors import ToolError, ToolServerError, innermost
from harness.team import ServerSpec
from harness.tools.port import ReportProgress, ignore_progress
from harness.tools.stdio import StdioCommand, open_stdio

MAX_IN_FLIGHT = 32
"""Calls at one server at a time; more only wait in its pipe."""

MAX_PAGES = 100
"""Pages of a tool listing that are read before a server is taken to be broken."""

CLOSE_SECONDS = 8.0


class _Session:
    """One lifetime of a server, from start to loss or close."""

    def __init__(self) -> None:
        self.ready = anyio.Event()
        self.stop = anyio.Event()
        self.over = anyio.Event()
        self.scope = anyio.CancelScope()
        self.lost = False
        self.client: Client | None = None
        self.tools: list[ListedTool] = []
        self.error: BaseException | None = None


class Connection:
    """A named server that any task may call."""

    def __init__(self, name: str, spec: ServerSpec, base: Path, tasks: TaskGroup) -> None:
        self.name = name
        self.spec = spec
        self.starts = 0
        """How often the server has been started."""
        self._base = base
        self._tasks = tasks
        self._session: _Session | None = None
        self._in_flight = anyio.CapacityLimiter(MAX_IN_FLIGHT)
        self._stderr: deque[str] = deque()

    @property
    def transport(self) -> str:
        """How the server is reached: `in-process`, `stdio` or `http`."""
        return "in-process" if self.spec.module else "stdio" if self.spec.command else "http"

    async def tools(self) -> list[ListedTool]:
        """Return the tools the server lists, starting it if need be.

        Raises:
            ToolServerError: It cannot be started or does not answer in time.
        """
        return (await self._open()).tools

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        retry: bool,
        progress: ReportProgress = ignore_progress,
    ) -> CallToolResult:
        """Run a tool and return its result.

        Args:
            retry: Whether the call may run again if the server is lost in the middle of it.

        Raises:
            ToolServerError: The server was lost, or nothing was heard from it for the call timeout.
            ToolError: The server refused the call.
        """
        for last_attempt in (not retry, True):
            session = await self._open()
            try:
                async with self._in_flight:
                    return await self._call(session, tool, arguments, progress)
            except MCPError as error:
                if error.error.code != CONNECTION_CLOSED:
                    raise ToolError(error.error.message) from error
                await self._replace(session)
                if last_attempt:
                    raise ToolServerError(
                        f"the server {self.name} was lost during {tool}; whether it took effect is unknown"
                        + self._stderr_tail()
                    ) from error
            except RuntimeError as error:
                raise ToolError(
                    f"{tool} returned something its own output schema does not allow: {error}"
                ) from error
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """End the server; returns when its process is gone."""
        session, self._session = self._session, None
        if session is not None:
            await _end(session)

    async def _call(
        self, session: _Session, tool: str, arguments: Mapping[str, Any], report_progress: ReportProgress
    ) -> CallToolResult:
        assert session.client is not None
        patience = self.spec.timeouts.call
        with anyio.CancelScope(deadline=anyio.current_time() + patience) as scope:

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                scope.deadline = anyio.current_time() + patience
                report_progress(progress, total, message or "")

            return await session.client.call_tool(tool, dict(arguments), progress_callback=on_progress)
        raise ToolServerError(
            f"{self.name}.{tool} gave no sign of life for {patience:g} s; the call was cancelled"
        )

    async def _open(self) -> _Session:
        session = self._session
        if session is None or session.lost or session.over.is_set():
            session = self._session = _Session()
            self.starts += 1
            self._tasks.start_soon(self._own, session)
        with anyio.move_on_after(self.spec.timeouts.connect):
            await session.ready.wait()
        if not session.ready.is_set():
            session.lost = True
            session.scope.cancel()
            raise ToolServerError(
                f"the server {self.name} did not answer within {self.spec.timeouts.connect:g} s"
                + self._stderr_tail()
            )
        if session.error is not None:
            raise ToolServerError(
                f"the server {self.name} could not be started: {_in_words(session.error)}"
                + self._stderr_tail()
            ) from session.error
        return session

    async def _replace(self, session: _Session) -> None:
        """Give up a dead session; parallel failures share one restart."""
        if self._session is session:
            self._session = None
        session.lost = True
        await _end(session)

    async def _own(self, session: _Session) -> None:
        """Enter the client, keep it until told to stop, leave it: all in this task."""
        try:
            with session.scope:
                async with self._client() as client:
                    session.client = client
                    session.tools = await _list_tools(client)
                    session.ready.set()
                    await session.stop.wait()
        except BaseException as error:
            # The SDK reports a broken transport to this task as a cancellation nobody asked for;
            # only one that comes from above is ours to pass on.
            session.error = error
            if isinstance(
                error, anyio.get_cancelled_exc_class()
            ) and anyio.current_effective_deadline() == -float("inf"):
                raise
            if not isinstance(error, Exception | anyio.get_cancelled_exc_class()):
                raise
        finally:
            session.lost = True
            session.ready.set()
            session.over.set()

    def _client(self) -> AbstractAsyncContextManager[Client]:
        spec = self.spec
        if spec.module:
            return Client(_create_server(spec.module, spec.args, self._base))
        if spec.command:
            command = self._command(spec.command)
            self._stderr = command.stderr
            return Client(open_stdio(command))
        assert spec.url is not None
        headers = {name: value.get_secret_value() for name, value in spec.headers.items()}
        return _http_client(spec.url, headers, spec.timeouts.call)

    def _command(self, command: str) -> StdioCommand:
        spec = self.spec
        arguments = spec.args if isinstance(spec.args, list) else []
        directory = self._base / spec.cwd if spec.cwd else self._base
        environment = _read_environment(self._base / spec.envFile) if spec.envFile else {}
        environment |= {name: _plain(value) for name, value in spec.env.items()}
        return StdioCommand([os.path.expanduser(command), *arguments], environment, directory)

    def _stderr_tail(self) -> str:
        return "\n  its last words: " + "\n  ".join(list(self._stderr)[-5:]) if self._stderr else ""


async def _end(session: _Session) -> None:
    session.stop.set()
    with anyio.move_on_after(CLOSE_SECONDS, shield=True) as patience:
        await session.over.wait()
    if patience.cancelled_caught:
        session.scope.cancel()


async def _list_tools(client: Client) -> list[ListedTool]:
    """Return all pages of the listing, each name once."""
    tools: dict[str, ListedTool] = {}
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            tools.setdefault(tool.name, tool)
        if page.next_cursor is None or page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    return list(tools.values())


@asynccontextmanager
async def _http_client(url: str, headers: Mapping[str, str], timeout: float) -> AsyncGenerator[Client]:
    async with (
        httpx2.AsyncClient(headers=dict(headers), timeout=httpx2.Timeout(timeout, read=None)) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def _create_server(module: str, arguments: Any, base: Path) -> Any:
    """Call the `create` function of a tool server module."""
    create: Callable[..., Any] = importlib.import_module(module).create
    return create(base=base, **(arguments or {}))


def _plain(value: Any) -> str:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)


def _read_environment(path: Path) -> dict[str, str]:
    """Read `NAME=value` lines; blank lines and `#` comments are passed over."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (
        line.removeprefix("export ").partition("=") for line in lines if line and not line.startswith("#")
    )
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def _in_words(error: BaseException) -> str:
    """Return the innermost cause of nested exception groups, in words."""
    cause = innermost(error)
    if isinstance(cause, FileNotFoundError) and cause.filename:
        return f"command or file not found: {cause.filename}"
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__

"""One named server that any task may call: started when first needed, restarted when it was lost."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn, cast
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    URL_ELICITATION_REQUIRED,
    CallToolResult,
    InputRequiredResult,
    InputResponses,
    RequestParamsMeta,
)
from mcp_types import Tool as ListedTool
from pydantic import ValidationError

from harness.errors import ToolError, ToolServerError, innermost
from harness.team import ServerSpec
from harness.tools.ambient import within
from harness.tools.http import NOT_DELIVERED, REFUSED
from harness.tools.inquiries import inquiry_before
from harness.tools.launch import child_client, child_server, http_client, module_client
from harness.tools.listing import list_tools
from harness.tools.port import CallContext, InputRequired
from harness.tools.session import CLOSE_SECONDS, Session
from harness.tools.sieve import ToolSieve
from harness.tools.stdio import ChildServer
from harness.tools.under_way import UnderWay

MAX_IN_FLIGHT = 32
"""Calls at one server at a time, without those that wait for a person; more only wait in its pipe."""

SHOWN_TAIL_LINES = 5

Transport = Literal["in-process", "stdio", "http"]


class _Lost(Exception):
    """The server was lost during a call."""

    def __init__(self, reason: str, *, ran: bool) -> None:
        super().__init__(reason)
        self.ran = ran
        """Whether the call may have taken effect."""


@dataclass(frozen=True)
class _Request:
    """What a call sends to a server."""

    tool: str
    arguments: Mapping[str, Any]
    meta: Mapping[str, Any] | None
    served: dict[str, str]

    async def send(
        self,
        client: Client,
        sieve: ToolSieve,
        call: UnderWay,
        responses: InputResponses | None,
        state: str | None,
    ) -> CallToolResult | InputRequiredResult:
        """Send it, and once more if the listing has changed that says which headers go along."""

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            call.heard()
            call.context.report_progress(progress, total, message or "")

        async def send() -> CallToolResult | InputRequiredResult:
            return await client.session.call_tool(
                self.tool,
                dict(self.arguments),
                progress_callback=on_progress,
                input_responses=responses,
                request_state=state,
                meta=cast("RequestParamsMeta | None", self.meta and dict(self.meta)),
                allow_input_required=True,
            )

        with within(str((self.meta or {}).get("traceparent", ""))):
            try:
                return await send()
            except MCPError as error:
                if error.error.code != HEADER_MISMATCH:
                    raise
            await list_tools(client, sieve, anew=True)
            return await send()


class Connection:
    """A server that any task may call."""

    def __init__(self, name: str, spec: ServerSpec, base: Path, tasks: TaskGroup) -> None:
        self.name = name
        self.spec = spec
        self.starts = 0
        """How often the server has been started."""
        self._base = base
        self._tasks = tasks
        self._session: Session | None = None
        self._unfinished: set[Session] = set()
        self._child: ChildServer | None = None
        self._closed = False
        self._places = anyio.Semaphore(MAX_IN_FLIGHT, fast_acquire=True)

    @property
    def transport(self) -> Transport:
        """How the server is reached."""
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
        context: CallContext,
        *,
        retry: bool,
        meta: Mapping[str, Any] | None = None,
        served: dict[str, str] | None = None,
    ) -> CallToolResult:
        """Run a tool and return its result.

        Args:
            retry: Whether the call may run again if the server is lost in the middle of it. A call
                that did not reach the server is tried again in any case.
            meta: Sent along as `_meta`.
            served: Told how the server was reached; see `harness.events.ToolCallFinished`.

        Raises:
            InputRequired: The server wants to know something first.
            ToolServerError: The server was lost, or nothing was heard from it for the call timeout.
            ToolError: The server refused the call, or a person refused to answer.
        """
        for last_attempt in (False, True):
            session = await self._open()
            call = UnderWay(context, patience=self.spec.timeouts.call, places=self._places)
            try:
                return await self._call(
                    session, call, _Request(tool, arguments, meta, {} if served is None else served)
                )
            except _Lost as loss:
                session.lose()
                if last_attempt or (loss.ran and not (retry and not call.has_asked)):
                    await self._complain(session, tool, loss)
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """End the server for good; returns when its process is gone."""
        self._closed = True
        async with anyio.create_task_group() as ending:
            for session in self._unfinished:
                ending.start_soon(session.end)

    async def _call(self, session: Session, call: UnderWay, request: _Request) -> CallToolResult:
        tool = request.tool
        async with call.going_on():
            with session.calling(call) as client:
                request.served.update(self._reached(session, client))
                try:
                    send = partial(request.send, client, session.sieve, call)
                    return await call.result(send, meanwhile=session.is_asked_meanwhile)
                except MCPError as error:
                    if error.error.code not in (NOT_DELIVERED, REFUSED):
                        request.served["status"] = str(error.error.code)
                    self._translate(session, call, tool, error)
                except ValidationError as error:
                    raise ToolError(
                        f"{tool} answered something that is not MCP: {_first_fault(error)}"
                    ) from error
                except RuntimeError as error:
                    if session.lost:
                        raise _Lost(str(error), ran=True) from error
                    raise ToolError(
                        f"{tool} returned something its own output schema does not allow: {error}"
                    ) from error
        raise ToolServerError(
            f"{self.name}.{tool} gave no sign of life for {self.spec.timeouts.call:g} s; the call was cancelled"
        )

    def _reached(self, session: Session, client: Client) -> dict[str, str]:
        """Return what is known of how the server is reached."""
        known = {"transport": self.transport, "protocol": client.session.protocol_version or ""}
        if self.spec.url:
            address = urlsplit(self.spec.url)
            known["address"] = address.hostname or ""
            known["port"] = str(address.port or {"https": 443, "http": 80}.get(address.scheme, ""))
        known["session"] = session.identity
        return {name: value for name, value in known.items() if value}

    def _translate(self, session: Session, call: UnderWay, tool: str, error: MCPError) -> NoReturn:
        """Raise what an error of the protocol means.

        Servers use the code of a closed connection for errors of their own as well; over pipes it
        counts only if the pipe did end.
        """
        code, message = error.error.code, error.error.message
        if code == NOT_DELIVERED:
            raise _Lost(message, ran=False) from error
        if code == CONNECTION_CLOSED and (session.lost or self.transport == "http"):
            raise _Lost(message, ran=True) from error
        if code == REFUSED:
            raise ToolServerError(f"the server {self.name} did not run {tool}: {message}") from error
        if code == URL_ELICITATION_REQUIRED and call.context.ask is not None:
            inquiry = inquiry_before(error.error)
            if inquiry is not None:
                raise InputRequired(inquiry) from error
        raise ToolError(message) from error

    async def _complain(self, session: Session, tool: str, loss: _Lost) -> NoReturn:
        """Raise that the server was lost, with its last words once they are in."""
        if self.transport == "stdio":
            with anyio.move_on_after(CLOSE_SECONDS):
                await session.over.wait()
        if not loss.ran:
            raise ToolServerError(f"the server {self.name} did not run {tool}: {loss}") from loss
        raise ToolServerError(
            f"the server {self.name} was lost during {tool}; whether it took effect is unknown"
            + self._last_words()
        ) from loss

    async def _open(self) -> Session:
        session = self._session
        if session is None or session.lost:
            session = self._start(session)
        error = await session.failure()
        if error is None:
            return session
        verb = "reached" if self.transport == "http" else "started"
        raise ToolServerError(
            f"the server {self.name} could not be {verb}: {_in_words(error)}" + self._last_words()
        ) from error

    def _start(self, previous: Session | None) -> Session:
        if self._closed:
            raise ToolServerError(f"the server {self.name} was closed: its run has ended")
        session = self._session = Session(self._client, self.spec.timeouts.connect)
        self.starts += 1
        self._unfinished.add(session)
        self._tasks.start_soon(self._own, session, previous if self.transport == "stdio" else None)
        return session

    async def _own(self, session: Session, previous: Session | None) -> None:
        try:
            await session.run(previous)
        finally:
            self._unfinished.discard(session)

    def _client(self, session: Session) -> AbstractAsyncContextManager[Client]:
        if self.spec.module:
            return module_client(self.spec, self._base, session)
        if self.spec.url:
            return http_client(self.spec, session)
        self._child = child_server(self.spec, self._base, session)
        return child_client(self._child, session)

    def _last_words(self) -> str:
        child = self._child
        if child is None:
            return ""
        ended = f"\n  it ended with exit code {child.exit_code}" if (child.exit_code or 0) > 0 else ""
        lines = list(child.tail)[-SHOWN_TAIL_LINES:]
        return ended + ("\n  its last words: " + "\n  ".join(lines) if lines else "")


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def _in_words(error: BaseException) -> str:
    """Return the innermost cause of nested exception groups, in words."""
    cause = innermost(error)
    match cause:
        case FileNotFoundError() if cause.filename:
            return f"command or file not found: {cause.filename}"
        case PermissionError() if cause.filename:
            return f"not allowed to run or read {cause.filename}"
        case MCPError() if cause.error.code == CONNECTION_CLOSED:
            return "it ended before it answered"
        case MCPError() | TimeoutError() | ToolServerError() | ConnectionError() if str(cause):
            return str(cause)
        case ValidationError():
            return f"it answered something that is not MCP: {_first_fault(cause)}"
        case _:
            return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__

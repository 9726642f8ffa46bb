"""One lifetime of a server, from start to loss or close.

An MCP client must be entered and left in the same task, and a client whose transport died never
recovers. So a session is one client in a task of its own, which enters it, keeps it and leaves it;
every other task only calls it. A session that was lost takes no new calls, and ends when the last
call under way has left it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar

import anyio
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import INVALID_PARAMS, ElicitRequestParams, ElicitResult, ErrorData
from mcp_types import Tool as ListedTool

from harness.errors import ToolError, innermost
from harness.tools.inquiries import inquiry_meanwhile, response_to
from harness.tools.listing import list_tools
from harness.tools.sieve import ToolSieve
from harness.tools.under_way import UnderWay

CLOSE_SECONDS = 8.0
"""How long a session may take to end before it is cancelled."""

TELL_APART_SECONDS = 10.0
"""How long a server's question waits for the other calls to end that it might belong to."""

_calling: ContextVar[UnderWay | None] = ContextVar("_calling", default=None)
"""The call that whatever runs here was caused by. HTTP carries it to the stream of the call's answer."""

_log = logging.getLogger(__name__)


class Session:
    """A client and the task that owns it."""

    def __init__(
        self, open_client: Callable[[Session], AbstractAsyncContextManager[Client]], connect_seconds: float
    ) -> None:
        self.lost = False
        """Whether it takes no more calls."""
        self.tools: list[ListedTool] = []
        self.sieve = ToolSieve()
        self.error: BaseException | None = None
        """Why it could not be started, or how it ended."""
        self.identity = ""
        """What its server calls it, if it does (`mcp-session-id`)."""
        self.over = anyio.Event()
        """Set when nothing of it is left."""
        self._open_client = open_client
        self._connect_seconds = connect_seconds
        self._deadline = anyio.current_time() + connect_seconds
        self._client: Client | None = None
        self._calls: set[UnderWay] = set()
        self._unassigned = 0
        """Questions of the server that belong to one of the calls, it is not known which."""
        self._abandoned = 0
        """How many calls were cancelled; the server may not have noticed."""
        self._fewer_calls = anyio.Event()
        self._answered = anyio.Event()
        self._stop = anyio.Event()
        self._scope = anyio.CancelScope()

    async def run(self, previous: Session | None) -> None:
        """Enter the client, keep it until told to stop, leave it: all in this task.

        Args:
            previous: A session whose process must be gone first.
        """
        try:
            with self._scope:
                if previous is not None:
                    await previous.over.wait()
                async with self._open_client(self) as client:
                    self._client = client
                    self.tools = await list_tools(client, self.sieve)
                    self._answered.set()
                    await self._stop.wait()
        except BaseException as error:
            self.error = self.error or error
            # The SDK reports a broken transport to this task as a cancellation nobody asked for;
            # only one that comes from above is ours to pass on.
            cancelled = isinstance(error, anyio.get_cancelled_exc_class())
            if cancelled and anyio.current_effective_deadline() == -float("inf"):
                raise
            if isinstance(innermost(error), KeyboardInterrupt | SystemExit):
                raise
        finally:
            self.lost = True
            self._answered.set()
            self.over.set()

    def is_called(self, identity: str) -> None:
        """Remember what the server calls the session."""
        self.identity = identity

    async def failure(self) -> BaseException | None:
        """Wait until the server has listed its tools, or return what kept it from doing so in time."""
        if not self._answered.is_set():
            with anyio.CancelScope(deadline=self._deadline):
                await self._answered.wait()
            if not self._answered.is_set():
                self.error = TimeoutError(f"no answer within {self._connect_seconds:g} s")
                self._give_up()
        if self._client is None and self.error is None:
            return ConnectionError("it was closed while it was starting")
        return self.error

    @property
    def is_asked_meanwhile(self) -> bool:
        """Whether the server asks in the middle of calls, as was done until 2025."""
        return self._client is not None and self._client.session.initialize_result is not None

    @contextmanager
    def calling(self, call: UnderWay) -> Generator[Client]:
        """Yield the client, and keep it open meanwhile."""
        assert self._client is not None
        self._calls.add(call)
        token = _calling.set(call)
        try:
            yield self._client
        except anyio.get_cancelled_exc_class():
            self._abandoned += 1
            raise
        finally:
            _calling.reset(token)
            self._calls.remove(call)
            if self._unassigned:
                self._fewer_calls.set()
                self._fewer_calls = anyio.Event()
            if self.lost and not self._calls:
                self._stop.set()

    async def elicit(
        self, context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult | ErrorData:
        """Have a person asked what the server wants to know; see `mcp.Client.elicitation_callback`.

        Declined if nobody can be asked for the call, or it cannot be told which call it is.
        """
        call = await self._asking_call()
        if call is None or call.context.ask is None:
            return ElicitResult(action="decline")
        try:
            answer = await call.ask(inquiry_meanwhile(params))
            return ElicitResult(action="cancel") if answer is None else response_to(answer)
        except ToolError as error:
            return ErrorData(code=INVALID_PARAMS, message=str(error))

    async def _asking_call(self) -> UnderWay | None:
        """Return the call that the server asks for.

        The protocol does not say. It is known where the transport knows it, and otherwise when no
        other call is left that it might be.
        """
        call = _calling.get()
        if call in self._calls:
            return call
        abandoned = self._abandoned
        self._unassigned += 1
        try:
            with anyio.move_on_after(TELL_APART_SECONDS):
                while len(self._calls) > self._unassigned:
                    await self._fewer_calls.wait()
        finally:
            self._unassigned -= 1
        if len(self._calls) == 1 and self._abandoned == abandoned:
            return next(iter(self._calls))
        _log.warning("a server's question was declined: it cannot be told which call it belongs to")
        return None

    def lose(self) -> None:
        """Take no more calls, and end when those under way are done."""
        self.lost = True
        if not self._calls:
            self._stop.set()

    async def end(self) -> None:
        """End it now; returns when nothing of it is left, even if the caller is cancelled."""
        self.lost = True
        if self._answered.is_set():
            self._stop.set()
        else:
            self._give_up()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self.over.wait()
        self._scope.cancel()

    def _give_up(self) -> None:
        """End a start that hangs: it would never look whether it is told to stop."""
        self.lost = True
        self._scope.cancel()
        self._answered.set()

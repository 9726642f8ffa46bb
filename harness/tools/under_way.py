"""One call at a server: sent again in rounds, watched for signs of life, and asked about meanwhile.

A server of the 2026 era that wants to know something ends the call with a question, and is called
again with the answer, by whichever process and whenever there is one. A server of the 2025 era asks
while the call goes on, and waits. Source: MCP 2026-07-28, "Multi Round-Trip Requests".
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, InputRequiredResult, InputResponses

from harness.errors import ToolError
from harness.tools.inquiries import inquiry_of, is_same, responses_to
from harness.tools.port import CallContext, InputRequired, Inquiry, InquiryAnswer

MAX_ROUNDS = 20
"""How often a call is sent for one result, or one question to a person."""

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 0.25
"""How long to wait before a call is sent again whose server only wants it to be sent again."""

Send = Callable[[InputResponses | None, str | None], Awaitable[CallToolResult | InputRequiredResult]]
"""Sends a call together with what its server asked for, and with the state it gave out."""


@dataclass(eq=False)
class _Question:
    """A question that a server asks meanwhile."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    over: anyio.Event = field(default_factory=anyio.Event)


class UnderWay:
    """A call that a server has to answer.

    Args:
        patience: Seconds without a sign of life after which it is given up.
        places: What the server may do at a time; while a person is asked, the call has no place.
    """

    def __init__(self, context: CallContext, *, patience: float, places: anyio.Semaphore) -> None:
        self.context = context
        self.has_asked = False
        """Whether a person was asked while it went on."""
        self._patience = patience
        self._places = places
        self._has_place = False
        self._asks = False
        self._scope = anyio.CancelScope()
        self._questions: list[_Question] = []
        self._one_by_one: anyio.Lock | None = None
        self._failure: Exception | None = None

    @asynccontextmanager
    async def going_on(self) -> AsyncGenerator[None]:
        """Have a place at the server, and end quietly when nothing is heard from it for too long.

        Raises:
            Exception: What asking a person raised.
        """
        await self._places.acquire()
        self._has_place = True
        try:
            with self._scope:
                self.heard()
                try:
                    yield
                finally:
                    if self._questions:
                        await self._take_questions_back()
            if self._failure is not None:
                raise self._failure
        finally:
            if self._has_place:
                self._places.release()

    def heard(self) -> None:
        """Take a sign of life into account."""
        if not self._asks:
            self._scope.deadline = anyio.current_time() + self._patience

    async def result(self, send: Send, *, meanwhile: bool) -> CallToolResult:
        """Send the call and return its result.

        Args:
            meanwhile: Whether its server asks while the call goes on, instead of ending it with a
                question.

        Raises:
            InputRequired: Somebody has to answer first.
            ToolError: The server wants what nobody is asked for, or never comes to a result.
        """
        if not meanwhile:
            return await self._in_rounds(send)
        answer = self.context.answer
        if answer is not None and answer.content is None:
            raise ToolError(f"a person declined: {answer.inquiry.message}")
        result = await send(None, None)
        assert isinstance(result, CallToolResult), "the SDK lets nothing else through before 2026"
        return result

    async def _in_rounds(self, send: Send) -> CallToolResult:
        """Send the call as often as its server wants without needing anybody; return the result.

        An answer whose state the server does not take any more, as it has expired or the server has
        been restarted, is given again if the server asks the same again.
        """
        answer, anew = self.context.answer, False
        responses = responses_to(answer) if answer else None
        state = answer.inquiry.state or None if answer else None
        wait = FIRST_WAIT_SECONDS
        for _ in range(MAX_ROUNDS):
            self.heard()
            try:
                result = await send(responses, state)
            except MCPError as error:
                if state is None or anew or not _is_state_refused(error):
                    raise
                responses, state, anew = None, None, True
                continue
            if isinstance(result, CallToolResult):
                return result
            responses, state = None, result.request_state
            if not result.input_requests:
                await anyio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
                continue
            inquiry = inquiry_of(result.input_requests, state)
            if anew and answer and is_same(inquiry, answer.inquiry):
                responses, answer = responses_to(InquiryAnswer(inquiry, answer.content)), None
            elif self.context.ask is None:
                responses = responses_to(InquiryAnswer(inquiry, None))
            else:
                raise InputRequired(inquiry)
        raise ToolError(f"the server wanted the call to be sent more than {MAX_ROUNDS} times")

    async def ask(self, inquiry: Inquiry) -> InquiryAnswer | None:
        """Ask a person, one question after the other; None if the call ends before the answer comes.

        To be called from the task in which the server asks. Whatever goes wrong is the call's error.
        """
        assert self.context.ask is not None
        lock = self._one_by_one = self._one_by_one or anyio.Lock()
        question = _Question()
        self._questions.append(question)
        try:
            with question.scope:
                async with lock:
                    with self._waiting():
                        return await self.context.ask(inquiry)
        except Exception as error:
            self._failure = error
            self._scope.cancel()
        finally:
            self._questions.remove(question)
            question.over.set()
        return None

    async def _take_questions_back(self) -> None:
        with anyio.CancelScope(shield=True):
            for question in list(self._questions):
                question.scope.cancel()
                await question.over.wait()

    @contextmanager
    def _waiting(self) -> Generator[None]:
        """Wait for a person as long as it takes, and leave the place at the server to others."""
        self._asks = self.has_asked = True
        self._scope.deadline = float("inf")
        if self._has_place:
            self._places.release()
            self._has_place = False
        try:
            yield
        finally:
            # Not waited for: the server may be waiting for the answer before it serves anybody else.
            with suppress(anyio.WouldBlock):
                self._places.acquire_nowait()
                self._has_place = True
            self._asks = False
            self.heard()


def _is_state_refused(error: MCPError) -> bool:
    """Return whether a server refused the state it had given out, and so has done nothing."""
    words = f"{error.error.message} {error.error.data}".lower()
    return error.error.code == INVALID_PARAMS and "requeststate" in re.sub(r"[\W_]", "", words)

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
from anyio.abc import TaskGroup
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, InputRequiredResult, InputResponses

from harness.errors import ToolError
from harness.tools.inquiries import inquiry_of, is_same, responses_to
from harness.tools.port import CallContext, InputRequired, Inquiry, InquiryAnswer

MAX_ROUNDS = 20
"""How often a call is sent for one result, or one question to a person."""

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 1.0
"""How long to wait before a call is sent again whose server only wants it to be sent again."""

Send = Callable[[InputResponses | None, str | None], Awaitable[CallToolResult | InputRequiredResult]]
"""Sends a call together with what its server asked for, and with the state it gave out."""


@dataclass
class _Question:
    inquiry: Inquiry
    answer: InquiryAnswer | None = None
    settled: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


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
        self._one_by_one = anyio.Lock()
        self._scope = anyio.CancelScope()
        self._questions: TaskGroup | None = None

    @asynccontextmanager
    async def going_on(self) -> AsyncGenerator[None]:
        """Have a place at the server, and end quietly when nothing is heard from it for too long."""
        await self._places.acquire()
        self._has_place = True
        try:
            with self._scope:
                self.heard()
                yield
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
                question; then `ask` may be called until this returns.

        Raises:
            InputRequired: Somebody has to answer first.
            ToolError: The server wants what nobody is asked for, or never comes to a result.
        """
        if not meanwhile:
            return await self._in_rounds(send)
        answer = self.context.answer
        if answer is not None and answer.content is None:
            raise ToolError(f"a person declined: {answer.inquiry.message}")
        result = await (send(None, None) if self.context.ask is None else self._asked_meanwhile(send))
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

    async def _asked_meanwhile(self, send: Send) -> CallToolResult | InputRequiredResult:
        result: CallToolResult | InputRequiredResult | None = None
        failure: Exception | None = None
        async with anyio.create_task_group() as self._questions:
            try:
                result = await send(None, None)
            except Exception as error:
                # Raised again outside the task group, which would wrap it in an ExceptionGroup.
                failure = error
            self._questions.cancel_scope.cancel()
        if failure is not None:
            raise failure
        assert result is not None
        return result

    async def ask(self, inquiry: Inquiry) -> InquiryAnswer | None:
        """Have a person asked in the task of the call; None if the call ends before the answer comes."""
        assert self._questions is not None
        question = _Question(inquiry)
        self._questions.start_soon(self._put, question)
        try:
            await question.settled.wait()
        finally:
            question.scope.cancel()
        return question.answer

    async def _put(self, question: _Question) -> None:
        assert self.context.ask is not None
        try:
            with question.scope:
                async with self._one_by_one:
                    with self._waiting():
                        question.answer = await self.context.ask(question.inquiry)
        finally:
            question.settled.set()

    @contextmanager
    def _waiting(self) -> Generator[None]:
        """Wait for a person as long as it takes, and leave the place at the server to others."""
        self._asks = self.has_asked = True
        self._scope.deadline = float("inf")
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

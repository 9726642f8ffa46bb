"""The team as an MCP server: every agent that is offered is a tool that takes a task.

The run goes on for as long as the call: what happens in it is told as progress, cancelling the call
cancels the run, and when a person must decide something the client is asked, if it can be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any, cast

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.request_state import RequestStateSecurity
from mcp_types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from harness.errors import HarnessError, StoreError
from harness.events import ApprovalRequested
from harness.run import RunResult
from harness.serve.chat_shapes import waiting_text
from harness.serve.following import Following
from harness.serve.mcp_questions import (
    answers_in,
    ask_now,
    asks_by_round_trip,
    can_be_asked,
    round_trip,
    run_in,
)
from harness.serve.options import ServeOptions
from harness.serve.problems import Refusal
from harness.serve.reception import Order, Reception
from harness.serve.spans import current_traceparent
from harness.serve.telling import progress_line
from harness.tools.launch import root_logger_kept
from harness.version import version
from harness.views import citation_view, json_line, question_view

IDEMPOTENCY_KEY = "harness/idempotency-key"
"""In `_meta` of a call: a call with a key that was used before is the same call."""

STATE_SECONDS = 7 * 24 * 3600.0
"""How long a person may think before a call can no longer be gone on with."""

_UNANSWERED = ("failed", "cancelled", "interrupted")


class RunReport(BaseModel):
    """What a run came to."""

    run_id: str = Field(description="The run; its events stay in the store.")
    stop_reason: str = Field(description="done, or what ended it; suspended if it waits for a person.")
    output: Any = Field(description="The answer.")
    citations: list[dict[str, str]] = Field(description="Quotes, with where they stand.")
    waiting: list[dict[str, Any]] = Field(description="The calls that wait for a person.")
    notes: list[str] = Field(description="What a reader should know about how it was made.")
    error: str = Field(description="Why there is no answer.")


def team_server(reception: Reception, following: Following) -> MCPServer:
    """Return the MCP server of a team, with one tool per agent that is offered."""
    spec = reception.harness.team.spec
    with root_logger_kept():
        server = MCPServer(
            spec.name,
            version=version(),
            instructions=spec.description or None,
            log_level="ERROR",
            request_state_security=_state_security(reception.options),
        )
    for agent in reception.agents:
        server.add_tool(
            _tool(reception, following, agent),
            name=agent,
            description=spec.agents[agent].description or f"Gives a task to {agent}.",
            annotations=ToolAnnotations(read_only_hint=False, open_world_hint=True),
        )
    if reception.options.extend_mcp is not None:
        reception.options.extend_mcp(server)
    return server


def _state_security(options: ServeOptions) -> RequestStateSecurity:
    """Return what seals the state of calls that wait: with tokens it outlives a restart."""
    if not options.tokens:
        return RequestStateSecurity.ephemeral(ttl=STATE_SECONDS)
    secret = hashlib.sha256("\0".join(("harness request state", *sorted(options.tokens))).encode())
    return RequestStateSecurity(keys=[secret.digest()], ttl=STATE_SECONDS)


_ToolFunction = Callable[..., Coroutine[Any, Any, CallToolResult]]


def _tool(reception: Reception, following: Following, agent: str) -> _ToolFunction:
    async def give_task(
        task: Annotated[str, Field(description="What to do, with everything needed to do it.")],
        context: Context[Any, Any],
    ) -> Annotated[CallToolResult, RunReport]:
        try:
            return cast(CallToolResult, await _Call(reception, following, context).answer(agent, task))
        except HarnessError as error:
            raise ToolError(str(error)) from error

    return give_task


class _Call:
    """One call of an agent's tool."""

    def __init__(self, reception: Reception, following: Following, context: Context[Any, Any]) -> None:
        self._reception = reception
        self._following = following
        self._context = context
        self._dismissed = False
        """True if the client was asked and nobody decided anything; it is not asked again."""

    async def answer(self, agent: str, task: str) -> CallToolResult | InputRequiredResult:
        """Return what the run came to, or what a person must decide first."""
        run_id = await self._begin(agent, task)
        while True:
            result = await self._outcome(run_id)
            questions = await self._reception.questions(run_id)
            can_ask = can_be_asked(self._context) and not self._dismissed
            if result.stop_reason != "suspended" or not can_ask:
                return _report(result, questions)
            if asks_by_round_trip(self._context):
                return round_trip(run_id, questions)
            decided = await ask_now(self._context, questions)
            self._dismissed = not decided
            await self._reception.decide(run_id, decided)

    async def _begin(self, agent: str, task: str) -> str:
        """Start the run, or go on with the one that the client was asked about."""
        state = self._context.request_state
        if state is not None:
            run_id = run_in(state)
            questions = await self._reception.questions(run_id)
            decided = answers_in(self._context.input_responses or {}, questions)
            self._dismissed = not decided
            await self._reception.decide(run_id, decided)
            return run_id
        order = Order(task, entry=agent, traceparent=current_traceparent())
        key = (self._context.request_context.meta or {}).get(IDEMPOTENCY_KEY)
        if isinstance(key, str) and key:
            run_id, again = await self._reception.start_once(order, f"mcp\0{key}")
            if again:
                await self._reception.take_up(run_id)
            return run_id
        return (await self._reception.start(order)).id

    async def _outcome(self, run_id: str) -> RunResult:
        """Wait for the run and tell the client how it goes; a call that is cancelled cancels it."""
        outcome: RunResult | Exception = Refusal(500, "nothing came of it")
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell, run_id)
                try:
                    outcome = await self._reception.outcome(run_id)
                except Exception as error:
                    outcome = error
                tasks.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._reception.cancel_if_live(run_id)
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _tell(self, run_id: str) -> None:
        if "progress_token" not in (self._context.request_context.meta or {}):
            return
        # A store that breaks ends the run, which is told as the outcome.
        with suppress(StoreError):
            async for batch in self._following.events(run_id):
                for recorded in batch:
                    line = progress_line(recorded.event)
                    if line:
                        await self._context.report_progress(recorded.sequence + 1, None, line)


def _report(result: RunResult, questions: tuple[ApprovalRequested, ...]) -> CallToolResult:
    report = RunReport(
        run_id=result.run_id,
        stop_reason=result.stop_reason,
        output=result.output,
        citations=[citation_view(citation) for citation in result.citations],
        waiting=[question_view(question) for question in questions],
        notes=list(result.notes),
        error=result.error,
    )
    failed = result.stop_reason in _UNANSWERED
    return CallToolResult(
        content=[TextContent(type="text", text=_text(result, questions))],
        structured_content=report.model_dump(mode="json"),
        is_error=failed,
    )


def _text(result: RunResult, questions: tuple[ApprovalRequested, ...]) -> str:
    """Return the report as a model reads it."""
    if result.stop_reason == "suspended":
        return waiting_text(result.run_id, questions)
    if result.stop_reason in _UNANSWERED:
        return f"Run {result.run_id} {result.stop_reason}: {result.error or 'it has no answer'}"
    lines = [result.output if isinstance(result.output, str) else json_line(result.output)]
    for number, citation in enumerate(result.citations, 1):
        lines.append(f"[{number}] {citation.locator or citation.source}: {citation.quote}")
    if result.stop_reason != "done":
        lines.append(f"(Run {result.run_id} was ended by a limit: {result.error})")
    return "\n".join(lines)

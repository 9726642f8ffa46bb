"""Redacts what comes into a run from outside: what tools, servers and models say.

Every text passes here once, before the loop sees it, so a secret reaches neither a model nor the
journal, and whatever is computed from the journal needs no care of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from harness.adapters import RunTools
from harness.errors import HarnessError, ToolError
from harness.events import Event, ToolServerFailed, ToolServerStarted
from harness.messages import Image, Message, Part, Reasoning, Text, ToolCall, ToolDefinition, ToolResult
from harness.models.port import CallOptions, Model, ModelResponse, Observe, Price, Retrying, Transcript
from harness.redaction import Redactor
from harness.tools.port import AskPerson, CallContext, InputRequired, Inquiry, InquiryAnswer, Tool, ToolOutput

MOST_KEPT = 2_000
"""Guarded tools that are kept for further agents."""


class GuardedTools:
    """The tools of a run, none of which can say a secret; see `harness.loop.team_run.ScopedTools`."""

    def __init__(self, source: RunTools, guard: ToolGuard) -> None:
        self._source = source
        self._guard = guard

    @asynccontextmanager
    async def __call__(
        self, patterns: Sequence[str], *, agent: str, emit: Callable[[Event], None]
    ) -> AsyncGenerator[list[Tool]]:
        """Yield the tools of the agent run at path `agent`."""
        redactor = self._guard.redactor

        def emit_redacted(event: Event) -> None:
            match event:
                case ToolServerFailed():
                    emit(replace(event, error=redactor.text(event.error)))
                case ToolServerStarted():
                    emit(replace(event, tools=redactor.json(event.tools)))
                case _:
                    emit(event)

        try:
            async with self._source(patterns, agent=agent, emit=emit_redacted) as tools:
                yield [self._guard.tool(tool) for tool in tools]
        except HarnessError as error:
            redactor.error(error)
            raise


class ToolGuard:
    """Makes guarded tools, one for each tool, so that agents go on sharing definitions."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self._guarded: OrderedDict[int, tuple[Tool, Tool]] = OrderedDict()
        """The newest only: servers of a single run or agent bring tools of their own, and go."""

    def tool(self, tool: Tool) -> Tool:
        """Return the tool with everything redacted that its server says."""
        known = self._guarded.get(id(tool))
        if known is None:
            known = self._guarded[id(tool)] = (tool, self._made(tool))
            if len(self._guarded) > MOST_KEPT:
                self._guarded.popitem(last=False)
        return known[1]

    def _made(self, tool: Tool) -> Tool:
        redactor = self.redactor

        async def invoke(arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
            try:
                output = await tool.invoke(arguments, self._context(context))
            except InputRequired as required:
                raise InputRequired(self._inquiry(required.inquiry)) from required
            except Exception as error:
                redactor.error(error)
                if isinstance(error, ToolError):
                    error.served = redactor.json(error.served)
                raise
            text, served = redactor.text(output.text), redactor.json(output.served)
            if text is output.text and served is output.served:
                return output
            return replace(output, text=text, served=served)

        today = None if tool.today is None else self._definition(tool.today)
        return replace(tool, definition=self._definition(tool.definition), invoke=invoke, today=today)

    def _definition(self, definition: ToolDefinition) -> ToolDefinition:
        plain = (definition.name, definition.description, definition.parameters)
        clean = self.redactor.json(plain)
        return definition if clean is plain else ToolDefinition(*clean)

    def _context(self, context: CallContext) -> CallContext:
        redactor, report, ask = self.redactor, context.report_progress, context.ask

        def report_redacted(done: float, total: float | None, message: str) -> None:
            report(done, total, redactor.text(message))

        return replace(
            context, report_progress=report_redacted, ask=None if ask is None else self._asking(ask)
        )

    def _asking(self, ask: AskPerson) -> AskPerson:
        async def ask_redacted(inquiry: Inquiry) -> InquiryAnswer:
            answer = await ask(self._inquiry(inquiry))
            return replace(answer, inquiry=inquiry)

        return ask_redacted

    def _inquiry(self, inquiry: Inquiry) -> Inquiry:
        """Return what is asked; a server that hid a secret in its state will not know it again."""
        redactor = self.redactor
        return Inquiry(
            redactor.text(inquiry.message),
            redactor.json(inquiry.form),
            redactor.text(inquiry.request),
            redactor.text(inquiry.state),
        )


class GuardedModel:
    """A model none of whose replies and errors holds a secret; what streams is shown as it comes."""

    def __init__(self, model: Model, redactor: Redactor) -> None:
        self._model = model
        self._redactor = redactor

    def __getattr__(self, name: str) -> Any:
        """Return what only this kind of model has."""
        return getattr(self._model, name)

    @property
    def name(self) -> str:
        """See `harness.models.port.Model`."""
        return self._model.name

    @property
    def provider(self) -> str:
        """See `harness.models.port.Model`."""
        return self._model.provider

    @property
    def context_window(self) -> int | None:
        """See `harness.models.port.Model`."""
        return self._model.context_window

    @property
    def price(self) -> Price | None:
        """See `harness.models.port.Model`."""
        return self._model.price

    def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
        """See `harness.models.port.Model`."""
        return self._model.open(tools)

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """See `harness.models.port.Model`."""

        def observe_redacted(notice: Any) -> None:
            if isinstance(notice, Retrying):
                notice = replace(notice, reason=self._redactor.text(notice.reason))
            observe(notice)

        try:
            response = await self._model.respond(transcript, options, observe_redacted)
        except Exception as error:
            self._redactor.error(error)
            raise
        text = self._redactor.text
        return replace(
            response,
            message=redacted_message(response.message, self._redactor),
            model=text(response.model),
            response_id=text(response.response_id),
            notes=tuple(map(text, response.notes)),
        )

    async def close(self) -> None:
        """See `harness.models.port.Model`."""
        await self._model.close()


def redacted_message(message: Message, redactor: Redactor) -> Message:
    """Return the message without secrets; the same object if it holds none.

    Thinking that holds one goes whole, with all other thinking of the message: its provider takes it back as
    it was, or not at all.
    """
    parts = tuple(_redacted_part(part, redactor) for part in message.parts)
    if all(new is old for new, old in zip(parts, message.parts, strict=True)):
        return message
    if None in parts:
        parts = tuple(part for part in parts if not isinstance(part, Reasoning))
    return replace(message, parts=tuple(part for part in parts if part is not None))


def _redacted_part(part: Part, redactor: Redactor) -> Part | None:
    match part:
        case Reasoning():
            clean = redactor.text(part.text) is part.text and redactor.text(part.payload) is part.payload
            return part if clean else None
        case Text() | ToolResult():
            text = redactor.text(part.text)
            return part if text is part.text else replace(part, text=text)
        case ToolCall():
            arguments = redactor.text(part.arguments)
            return part if arguments is part.arguments else replace(part, arguments=arguments)
        case Image():
            return part

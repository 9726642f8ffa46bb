"""The spans of one agent run: itself, its model calls and its planning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from harness import errors
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    EntryAppended,
    ModelCallFinished,
    ModelCallRetried,
    ModelCallStarted,
    ModelCallWaited,
    ModelFellBack,
    PlanCreated,
    ThinkingDecided,
)
from harness.tracing import semconv
from harness.tracing.content import ContentCapture, answer_json, output_json
from harness.tracing.open_span import Attributes, OpenSpan, SpanMaker
from harness.tracing.window import WindowFacts

OnSpan = Callable[[ReadableSpan], None]
"""Receives a finished span. Must not raise or block."""

PLAN_TOOL = "plan"
"""The harness's own tool by which an orchestrator makes its plan."""

INTERRUPTED = "interrupted"
"""`error.type` of what was begun again because its end was never recorded."""

_ERROR_NAMES = frozenset(name for name in vars(errors) if name[0].isupper()) | {"cancelled"}


_WHOLE = frozenset({"max_tokens", "seed", "n"})


def error_type_of(error: str, fallback: str = semconv.OTHER_ERROR) -> str:
    """Return the class of error that a text begins with, if it is one of ours, else `fallback`."""
    name = error.partition(":")[0]
    return name if name in _ERROR_NAMES else fallback


class AgentSpans:
    """Folds the events of one agent run."""

    def __init__(
        self,
        event: AgentRunStarted,
        at: int,
        *,
        maker: SpanMaker,
        on_span: OnSpan,
        content: ContentCapture,
        parent: OpenSpan,
        attempt: int,
    ) -> None:
        self.path = event.agent
        self.name = event.name
        self.parent_call = event.parent_call
        self.descriptions = {tool.name: tool.description for tool in event.tools} if content != "off" else {}
        self.plan_key = ""
        """Key of the tool call that the newest plan is carried out in."""
        self.waiting: dict[str, tuple[Attributes, ReadableSpan]] = {}
        """Ended sub-agents whose reports have not yet come into this window, by path."""
        self._maker = maker
        self._on_span = on_span
        self._content: ContentCapture = content
        self._window = WindowFacts(event.tools, content)
        self._chat: OpenSpan | None = None
        self._planning: OpenSpan | None = None
        self._turn = 0
        self._calls_in_turn = 0
        self._compacted = False
        self._thinking: Attributes = {}
        self._requested = _request_attributes(event.request)
        self._for_chats: Attributes = dict(self._requested)
        _write_endpoint(event.request, self._for_chats)
        self.tool_calls = self._model_calls = 0
        self._input_tokens = self._output_tokens = 0
        self.span = maker.open(
            semconv.INVOKE_AGENT,
            f"agent {self.path}",
            at,
            _agent_attributes(event) | self._requested,
            parent,
            attempt,
        )

    def entry_replaced(self) -> None:
        """Note that the window is not what it was when the last request was made of it."""
        self._compacted = True

    def entry_appended(self, event: EntryAppended) -> None:
        """Take a new entry, which may be the report that an ended sub-agent's span waits for."""
        self._window.append(event)
        if self.waiting and event.origin.startswith("report:"):
            held = self.waiting.pop(event.origin[7:], None)
            if held:
                attributes, span = held
                attributes[semconv.REPORT_TOKENS] = event.tokens
                self._on_span(span)

    def turn_finished(self, at: int) -> None:
        """Let go of everything that belongs to the turn."""
        self.end_planning(at)
        for _, span in self.waiting.values():
            self._on_span(span)
        self.waiting.clear()

    def thinking_decided(self, event: ThinkingDecided) -> None:
        """Remember how much thinking the next call asks for."""
        facts: dict[str, str | int | None] = {
            semconv.REASONING_LEVEL: event.effort,
            semconv.THINKING_MODE: event.mode,
            semconv.THINKING_EFFORT: event.effort,
            semconv.THINKING_BUDGET: event.budget,
            semconv.THINKING_REASON: event.reason,
            semconv.THINKING_ENFORCEMENT: event.enforcement,
            semconv.THINKING_ENFORCED_BY: event.enforced_by,
        }
        self._thinking = {name: value for name, value in facts.items() if value is not None}

    def model_call_started(self, event: ModelCallStarted, at: int) -> None:
        """Open a `chat` span; a call begun again supersedes the one whose end was never recorded."""
        attempt = 1
        if event.turn != self._turn:
            self._turn, self._calls_in_turn = event.turn, 0
        if self._chat:
            attempt = self._chat.attempt + 1
            self._on_span(self._maker.close(self._chat, at, INTERRUPTED))
        else:
            self._calls_in_turn += 1
        attributes: Attributes = {
            semconv.PROVIDER_NAME: event.provider,
            semconv.REQUEST_MODEL: event.model,
            semconv.AGENT_PATH: self.path,
            semconv.TURN: event.turn,
            semconv.WINDOW_ENTRIES: event.entries,
            semconv.WINDOW_TOKENS: event.input_tokens,
            semconv.REQUEST_DIGEST: event.digest,
            **self._for_chats,
            **self._thinking,
        }
        self._thinking = {}
        if self._compacted:
            attributes[semconv.CONVERSATION_COMPACTED] = True
            self._compacted = False
        self._model_calls += 1
        if event.tool_choice != "auto":
            attributes[semconv.TOOL_CHOICE] = event.tool_choice
        if self.span.attributes.get(semconv.REQUEST_MODEL) != event.model:
            # Only an agent that uses a single model may name it (gen_ai.invoke_agent.internal).
            self.span.attributes.pop(semconv.REQUEST_MODEL, None)
        self._window.request(attributes, self.span.attributes)
        in_process = event.provider in semconv.IN_PROCESS_PROVIDERS
        span_type = semconv.CHAT_IN_PROCESS if in_process else semconv.CHAT
        place = f"chat {self.path}/turn-{event.turn}/{self._calls_in_turn}"
        self._chat = self._maker.open(span_type, place, at, attributes, self.span, attempt)

    def model_call_retried(self, event: ModelCallRetried, at: int) -> None:
        """Note a repetition in the call's span."""
        if self._chat:
            self._chat.attributes[semconv.RETRIES] = event.attempt
            facts = {
                semconv.RETRY_ATTEMPT: event.attempt,
                semconv.WAIT_SECONDS: event.wait_seconds,
                semconv.REASON: event.reason,
            }
            self._chat.note(semconv.EVENT_RETRIED, at, facts)

    def model_call_waited(self, event: ModelCallWaited, at: int) -> None:
        """Note in the call's span how long its request waited."""
        if self._chat:
            facts: Attributes = {semconv.WAIT_SECONDS: event.seconds, semconv.REASON: event.reason}
            self._chat.note(semconv.EVENT_WAITED, at, facts)

    def model_fell_back(self, event: ModelFellBack, at: int) -> None:
        """Note that the agent goes on with another model, which is asked elsewhere and in another way."""
        self._for_chats = _request_attributes(event.request)
        _write_endpoint(event.request, self._for_chats)
        facts: Attributes = {
            semconv.FELL_BACK_FROM: event.from_model,
            semconv.FELL_BACK_TO: event.to_model,
            semconv.REASON: event.reason,
        }
        self.span.note(semconv.EVENT_FELL_BACK, at, facts)

    def model_call_finished(self, event: ModelCallFinished, at: int) -> None:
        """Close the `chat` span; one that makes a plan becomes a child of a `plan` span."""
        chat, self._chat = self._chat, None
        if chat is None:
            return
        _write_response(event, chat.attributes)
        self.span.attributes[semconv.RESPONSE_FINISH_REASONS] = chat.attributes[
            semconv.RESPONSE_FINISH_REASONS
        ]
        self._input_tokens += event.usage.input_tokens
        self._output_tokens += event.usage.output_tokens
        if event.message:
            if self._content != "off":
                chat.attributes[semconv.OUTPUT_MESSAGES] = output_json(event.message, event.stop_reason)
            if any(call.name == PLAN_TOOL for call in event.message.tool_calls):
                self.end_planning(at)
                self._planning = self._open_plan(f"plan {self.path}/turn-{event.turn}", chat.start)
                chat.parent = self._planning.context
        error_type = error_type_of(event.error) if event.stop_reason == "error" else ""
        self._on_span(self._maker.close(chat, at, error_type, event.error))

    def plan_created(self, event: PlanCreated, at: int) -> None:
        """Close the `plan` span; a plan that no response made gets one without length."""
        span, self._planning = self._planning, None
        if span is None:
            span = self._open_plan(f"plan {self.path}/turn-{event.turn}/v{event.version}", at)
        span.attributes[semconv.TURN] = event.turn
        span.attributes[semconv.PLAN_VERSION] = event.version
        span.attributes[semconv.PLAN_TASKS] = tuple(task.id for task in event.tasks)
        span.attributes[semconv.PLAN_AGENTS] = tuple(task.agent for task in event.tasks)
        span.attributes[semconv.PLAN_KEPT] = event.kept
        self.plan_key = event.key
        self._on_span(self._maker.close(span, at))

    def end_planning(self, at: int, error_type: str = "") -> None:
        """Close the `plan` span of a response that made no plan, if there is one."""
        span, self._planning = self._planning, None
        if span:
            self._on_span(self._maker.close(span, at, error_type))

    def finish(self, event: AgentRunFinished, at: int) -> ReadableSpan:
        """Return the agent's finished span."""
        report = event.report
        attributes = self.span.attributes
        attributes[semconv.AGENT_TURNS] = event.turns
        attributes[semconv.AGENT_MODEL_CALLS] = self._model_calls
        attributes[semconv.AGENT_TOOL_CALLS] = self.tool_calls
        attributes[semconv.REPORT_STATUS] = report.status
        attributes[semconv.REPORT_STOP_REASON] = report.stop_reason
        attributes[semconv.REPORT_EVIDENCE] = len(report.evidence)
        attributes[semconv.REPORT_SHORTENED] = report.shortened
        if self._content != "off":
            attributes[semconv.OUTPUT_MESSAGES] = answer_json(report.answer, "end")
        error_type = ""
        if event.error or report.status == "failed":
            fallback = semconv.OTHER_ERROR if report.stop_reason == "done" else report.stop_reason
            error_type = error_type_of(event.error, fallback)
        return self.abandon(at, error_type, event.error)

    def abandon(self, at: int, error_type: str, error: str = "") -> ReadableSpan:
        """Return the agent's span as it stands, and deliver everything open below it."""
        self.turn_finished(at)
        chat, self._chat = self._chat, None
        if chat:
            self._on_span(self._maker.close(chat, at, error_type or INTERRUPTED))
        self.span.attributes[semconv.USAGE_INPUT_TOKENS] = self._input_tokens
        self.span.attributes[semconv.USAGE_OUTPUT_TOKENS] = self._output_tokens
        return self._maker.close(self.span, at, error_type, error)

    def reopen(self, parent: OpenSpan, at: int) -> None:
        """Go on after an interruption, in a further span of the same agent."""
        self.span.parent = parent.context
        self._maker.reopen(self.span, at)

    def _open_plan(self, place: str, start: int) -> OpenSpan:
        attributes: Attributes = {
            semconv.AGENT_NAME: self.name,
            semconv.AGENT_PATH: self.path,
            semconv.TURN: self._turn,
        }
        return self._maker.open(semconv.PLAN, place, start, attributes, self.span)


def _request_attributes(request: Mapping[str, Any]) -> Attributes:
    """Return what an agent asks in every request."""
    told: Attributes = {}
    for name, attribute in semconv.REQUESTED.items():
        value = request.get(name)
        if value is None:
            continue
        if name == "stop":
            told[attribute] = (value,) if isinstance(value, str) else tuple(map(str, value))
        elif isinstance(value, str):
            told[attribute] = value
        elif isinstance(value, int | float) and not (name == "n" and value == 1):
            told[attribute] = int(value) if name in _WHOLE else float(value)
    return told


def _write_endpoint(request: Mapping[str, Any], attributes: Attributes) -> None:
    if request.get("address"):
        attributes[semconv.SERVER_ADDRESS] = str(request["address"])
        if request.get("port"):
            attributes[semconv.SERVER_PORT] = int(request["port"])
    if request.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    if isinstance(request.get("top_k"), int):
        attributes[semconv.REQUEST_TOP_K] = request["top_k"]
    if request.get("reasoning"):
        attributes[semconv.REASONING_LEVEL] = str(request["reasoning"])


def _agent_attributes(event: AgentRunStarted) -> Attributes:
    attributes: Attributes = {
        semconv.AGENT_NAME: event.name,
        semconv.REQUEST_MODEL: event.model,
        semconv.AGENT_PATH: event.agent,
        semconv.AGENT_DEPTH: event.depth,
    }
    if event.description:
        attributes[semconv.AGENT_DESCRIPTION] = event.description
    if event.task_id:
        attributes[semconv.PLAN_TASK] = event.task_id
    return attributes


def _write_response(event: ModelCallFinished, attributes: Attributes) -> None:
    """Write what the provider said about its response."""
    usage = event.usage
    attributes[semconv.RESPONSE_FINISH_REASONS] = (semconv.FINISH_REASONS[event.stop_reason],)
    if event.message:
        attributes[semconv.RESPONSE_MODEL] = event.model
        attributes[semconv.USAGE_INPUT_TOKENS] = usage.input_tokens
        attributes[semconv.USAGE_OUTPUT_TOKENS] = usage.output_tokens
    if event.first_chunk_seconds is not None:
        attributes[semconv.TIME_TO_FIRST_CHUNK] = event.first_chunk_seconds
    if event.response_id:
        attributes[semconv.RESPONSE_ID] = event.response_id
    if usage.cached_tokens:
        attributes[semconv.USAGE_CACHE_READ_INPUT_TOKENS] = usage.cached_tokens
    if usage.cache_write_tokens:
        attributes[semconv.USAGE_CACHE_WRITE_INPUT_TOKENS] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        attributes[semconv.USAGE_REASONING_OUTPUT_TOKENS] = usage.reasoning_tokens
    if usage.estimated:
        attributes[semconv.USAGE_ESTIMATED] = True
    if event.cost is not None:
        attributes[semconv.COST] = event.cost

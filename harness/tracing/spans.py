"""The spans of a run, computed from its events.

    invoke_workflow TEAM
    └── invoke_agent ENTRY
        ├── plan ENTRY                     from the request to the plan
        │   └── chat MODEL
        ├── execute_tool plan              carries the plan out; its tasks are span events
        │   ├── invoke_agent RESEARCHER    a fresh window; parent is the call that asked for it
        │   │   ├── chat MODEL
        │   │   └── execute_tool corpus.search
        │   └── invoke_agent CRITIC …
        └── chat MODEL

A call of an MCP tool is one span, `execute_tool`, which carries the attributes of the `mcp.client` span it
takes the place of, as the conventions want where an outer span already traces the call. Its id is made of
its place, so the server was told it before it existed: what the server emits is a child of it.

The projection is a fold: it sees events and nothing else, so a live run and its journal read back
give the same spans, ids and times included. It never touches the loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    ApprovalDecided,
    ApprovalRequested,
    CitationsVerified,
    DeliverableRejected,
    EntryAppended,
    EntryReplaced,
    Event,
    LimitWasReached,
    ModelCallFinished,
    ModelCallLost,
    ModelCallRetried,
    ModelCallStarted,
    ModelCallWaited,
    ModelFellBack,
    PlanCreated,
    PlanExecuted,
    PlanTaskFinished,
    PlanTaskStarted,
    Recorded,
    ReplanRequested,
    RunFinished,
    RunResumed,
    RunStarted,
    SummaryFinished,
    SummaryStarted,
    ThinkingDecided,
    ThinkingOverran,
    ToolCallFinished,
    ToolCallStarted,
    ToolServerFailed,
    ToolServerStarted,
    TurnFinished,
    TurnStarted,
    WindowCompacted,
)
from harness.trace_ids import tool_span_id
from harness.tracing import semconv
from harness.tracing.agent_spans import INTERRUPTED, PLAN_TOOL, AgentSpans, OnSpan
from harness.tracing.content import ContentCapture, answer_json, array_json, message_json
from harness.tracing.notes import note_contract, note_overrun, write_server
from harness.tracing.open_span import Attributes, OpenSpan, SpanMaker


class SpanProjector:
    """Turns the events of one run, in order and from the first, into finished spans.

    Spans come out when they end, children before parents. A sub-agent's span waits until its
    report stands in the parent's window, so that it can say what the report costs there.
    """

    def __init__(
        self,
        on_span: OnSpan,
        *,
        content: ContentCapture = "off",
        resource: Resource | None = None,
    ) -> None:
        self._on_span = on_span
        self._muted = False
        self._content: ContentCapture = content
        self._resource = resource or Resource.get_empty()
        self._maker: SpanMaker
        self._root: OpenSpan | None = None
        self._agents: dict[str, AgentSpans] = {}
        self._tools: dict[str, tuple[OpenSpan, AgentSpans]] = {}
        self._servers: dict[str, str] = {}
        self._suspended = False
        """True between the end of a run and its being taken up again."""
        self._last = 0
        self._epoch = 1
        self._ends = 0

    def __call__(self, recorded: Recorded) -> None:
        """Take the next event."""
        at = int(recorded.at * 1e9)
        self._last = at
        event = recorded.event
        if isinstance(event, RunStarted):
            self._run_started(event, recorded.run_id, at)
            return
        if self._suspended:
            self._take_up(at)
        if isinstance(event, RunResumed):
            self._resumed(event)
        self._route(event, at)

    def skip(self, earlier: Iterable[Recorded], *, ended: bool = False) -> None:
        """Take events whose spans an earlier process has delivered: fold them, deliver nothing.

        Args:
            earlier: The events that still count.
            ended: Whether that process said that the run had ended, and so delivered all spans; what is
                open then goes on in further ones. After a crash the open ones were never delivered.
        """
        self._muted = True
        for recorded in earlier:
            self(recorded)
        if ended and self._root and not self._suspended:
            self._end_all(self._root, self._last, INTERRUPTED)
        self._muted = False

    def finish(self) -> None:
        """Deliver what is still open, marked `harness.unfinished`; for the record of a cut-off run."""
        if self._root and not self._suspended:
            for span in (self._root, *(agent.span for agent in self._agents.values())):
                span.attributes[semconv.UNFINISHED] = True
            self._end_all(self._root, self._last, "")

    def _route(self, event: Event, at: int) -> None:
        match event:
            case (
                RunStarted()
                | RunResumed()
                | TurnStarted()
                | ModelCallLost()
                | SummaryStarted()
                | SummaryFinished()
            ):
                pass
            case RunFinished():
                self._run_finished(event, at)
            case AgentRunStarted() | AgentRunFinished():
                self._agent_event(event, at)
            case EntryAppended() | EntryReplaced() | WindowCompacted() | TurnFinished():
                self._window_event(event, at)
            case (
                ThinkingDecided()
                | ThinkingOverran()
                | ModelCallStarted()
                | ModelCallRetried()
                | ModelCallWaited()
                | ModelCallFinished()
                | ModelFellBack()
            ):
                self._model_event(event, at)
            case ApprovalRequested() | ApprovalDecided():
                self._approval_event(event, at)
            case ToolCallStarted():
                self._tool_call_started(event, at)
            case ToolCallFinished():
                self._tool_call_finished(event, at)
            case ToolServerStarted() | ToolServerFailed():
                self._server_event(event, at)
            case PlanCreated() | PlanTaskStarted() | PlanTaskFinished() | PlanExecuted():
                self._plan_event(event, at)
            case ReplanRequested() | DeliverableRejected() | CitationsVerified() | LimitWasReached():
                self._contract_event(event, at)
            case _:
                assert_never(event)

    def _deliver(self, span: ReadableSpan) -> None:
        if not self._muted:
            self._on_span(span)

    # --- the run ---

    def _run_started(self, event: RunStarted, run_id: str, at: int) -> None:
        self._maker = SpanMaker(run_id, event.harness_version, self._resource, caller=event.traceparent)
        attributes: Attributes = {
            semconv.WORKFLOW_NAME: event.team_name,
            semconv.TEAM_DIGEST: event.team_digest,
            semconv.ENTRY_AGENT: event.entry,
            semconv.FORMAT: event.format,
        }
        if self._content != "off":
            attributes[semconv.INPUT_MESSAGES] = array_json([message_json(event.task)])
        self._root = self._maker.open(semconv.INVOKE_WORKFLOW, "run", at, attributes, None)

    def _run_finished(self, event: RunFinished, at: int) -> None:
        root = self._open_root
        usage = event.usage
        root.attributes[semconv.RUN_STOP_REASON] = event.stop_reason
        root.attributes[semconv.RUN_INPUT_TOKENS] = usage.input_tokens
        root.attributes[semconv.RUN_OUTPUT_TOKENS] = usage.output_tokens
        root.attributes[semconv.RUN_MODEL_CALLS] = usage.calls
        root.attributes[semconv.RUN_CITATIONS] = len(event.citations)
        root.attributes[semconv.RUN_DROPPED_CLAIMS] = len(event.dropped)
        if event.cost is not None:
            root.attributes[semconv.COST] = event.cost
        if self._content != "off" and event.output is not None:
            root.attributes[semconv.OUTPUT_MESSAGES] = answer_json(event.output, "end")
        self._end_all(root, at, "" if event.stop_reason == "done" else event.stop_reason, event.error)

    def _end_all(self, root: OpenSpan, at: int, error_type: str, error: str = "") -> None:
        """Deliver every span still open, children before parents, and keep what a resume needs."""
        for span, _ in reversed(self._tools.values()):
            self._deliver(self._maker.close(span, at, error_type))
        for agent in reversed(self._agents.values()):
            self._deliver(agent.abandon(at, error_type))
        self._deliver(self._maker.close(root, at, error_type, error))
        self._suspended = True
        self._ends += 1

    def _take_up(self, at: int) -> None:
        """Go on with a run that had ended: what was open goes on in further spans."""
        self._suspended = False
        self._epoch = max(self._epoch, self._ends + 1)
        self._maker.reopen(self._open_root, at)
        for agent in self._agents.values():
            agent.reopen(self._parent_of(agent.parent_call), at)
            for span, owner in self._tools.values():
                if owner is agent:
                    span.parent = agent.span.context
                    self._maker.reopen(span, at)
                    identity = tool_span_id(self._maker.run_id, span.key, span.call_attempt, self._epoch)
                    self._maker.rename(span, identity)

    def _resumed(self, event: RunResumed) -> None:
        """Take up open calls: what their servers are told from now on names another span."""
        self._epoch = event.epoch
        for span, _ in self._tools.values():
            self._maker.rename(
                span, tool_span_id(self._maker.run_id, span.key, span.call_attempt, self._epoch)
            )

    @property
    def _open_root(self) -> OpenSpan:
        if self._root is None:
            raise ValueError("the first event of a run is run.started")
        return self._root

    # --- agents and their model calls ---

    def _parent_of(self, parent_call: str) -> OpenSpan:
        call = self._tools.get(parent_call)
        return call[0] if call else self._open_root

    def _agent_event(self, event: AgentRunStarted | AgentRunFinished, at: int) -> None:
        if isinstance(event, AgentRunStarted):
            self._agent_run_started(event, at)
        else:
            self._agent_run_finished(event, at)

    def _agent_run_started(self, event: AgentRunStarted, at: int) -> None:
        earlier = self._agents.pop(event.agent, None)
        if earlier:
            self._deliver(earlier.abandon(at, INTERRUPTED))
        self._agents[event.agent] = AgentSpans(
            event,
            at,
            maker=self._maker,
            on_span=self._deliver,
            content=self._content,
            parent=self._parent_of(event.parent_call),
            attempt=earlier.span.attempt + 1 if earlier else 1,
        )

    def _agent_run_finished(self, event: AgentRunFinished, at: int) -> None:
        agent = self._agents.pop(event.agent)
        span = agent.finish(event, at)
        call = self._tools.get(agent.parent_call)
        if call:
            call[1].waiting[event.agent] = (agent.span.attributes, span)
        else:
            self._deliver(span)

    def _window_event(
        self, event: EntryAppended | EntryReplaced | WindowCompacted | TurnFinished, at: int
    ) -> None:
        agent = self._agents.get(event.agent)
        if agent and isinstance(event, EntryReplaced | WindowCompacted):
            agent.entry_replaced()
            return
        if agent and isinstance(event, EntryAppended):
            agent.entry_appended(event)
        elif agent:
            agent.turn_finished(at)

    def _model_event(
        self,
        event: ThinkingDecided
        | ThinkingOverran
        | ModelCallStarted
        | ModelCallRetried
        | ModelCallWaited
        | ModelCallFinished
        | ModelFellBack,
        at: int,
    ) -> None:
        agent = self._agents[event.agent]
        match event:
            case ThinkingDecided():
                agent.thinking_decided(event)
            case ThinkingOverran():
                note_overrun(agent.span, event, at)
            case ModelCallStarted():
                agent.model_call_started(event, at)
            case ModelCallRetried():
                agent.model_call_retried(event, at)
            case ModelCallWaited():
                agent.model_call_waited(event, at)
            case ModelCallFinished():
                agent.model_call_finished(event, at)
            case ModelFellBack():
                agent.model_fell_back(event, at)

    # --- tools ---

    def _server_event(self, event: ToolServerStarted | ToolServerFailed, at: int) -> None:
        facts: Attributes = {semconv.TOOL_SERVER: event.server}
        match event:
            case ToolServerStarted():
                self._servers[event.server] = event.transport
                facts[semconv.SERVER_TRANSPORT] = event.transport
                facts[semconv.SERVER_TOOLS] = len(event.tools)
                facts[semconv.SERVER_SECONDS] = event.seconds
                self._open_root.note(semconv.EVENT_SERVER_STARTED, at, facts)
            case ToolServerFailed():
                facts[semconv.SERVER_REQUIRED] = event.required
                facts[semconv.REASON] = event.error
                self._open_root.note(semconv.EVENT_SERVER_FAILED, at, facts)

    def _tool_call_started(self, event: ToolCallStarted, at: int) -> None:
        earlier = self._tools.pop(event.key, None)
        if earlier:
            self._deliver(self._maker.close(earlier[0], at, INTERRUPTED))
        span = self._open_tool(event, at, attempt=earlier[0].attempt + 1 if earlier else 1)
        span.call_attempt = max(event.attempt, earlier[0].call_attempt + 1 if earlier else 1)
        identity = tool_span_id(self._maker.run_id, event.key, span.call_attempt, self._epoch)
        self._maker.rename(span, identity)
        span.attributes[semconv.EFFECT] = event.effect
        if self._content != "off":
            span.attributes[semconv.TOOL_CALL_ARGUMENTS] = event.arguments

    def _open_tool(self, event: ToolCallStarted | ToolCallFinished, at: int, *, attempt: int = 1) -> OpenSpan:
        agent = self._agents[event.agent]
        attributes: Attributes = {
            semconv.TOOL_NAME: event.tool,
            semconv.TOOL_TYPE: semconv.FUNCTION,
            semconv.TOOL_CALL_ID: event.call_id,
            semconv.AGENT_NAME: agent.name,
            semconv.AGENT_PATH: event.agent,
            semconv.TURN: event.turn,
            semconv.CALL_KEY: event.key,
        }
        server = event.tool.partition(".")[0]
        if server in self._servers:
            write_server(server, {"transport": self._servers[server]}, attributes)
        if event.tool in agent.descriptions:
            attributes[semconv.TOOL_DESCRIPTION] = agent.descriptions[event.tool]
        span = self._maker.open(
            semconv.EXECUTE_TOOL, f"tool {event.key}", at, attributes, agent.span, attempt
        )
        span.key = event.key
        self._maker.rename(span, tool_span_id(self._maker.run_id, event.key, 1, self._epoch))
        agent.tool_calls += 1 if attempt == 1 else 0
        self._tools[event.key] = (span, agent)
        return span

    def _tool_call_finished(self, event: ToolCallFinished, at: int) -> None:
        if event.key not in self._tools:
            self._open_tool(event, at)
        span, agent = self._tools.pop(event.key)
        if event.served:
            write_server(event.tool.partition(".")[0], event.served, span.attributes)
        span.attributes[semconv.RESULT_CHARACTERS] = len(event.shown)
        if event.whole is not None:
            span.attributes[semconv.WHOLE_RESULT_CHARACTERS] = len(event.whole)
        if self._content != "off":
            span.attributes[semconv.TOOL_CALL_RESULT] = event.shown
        error_type = ""
        if event.is_error:
            error_type = semconv.TOOL_ERROR if event.error_type in ("", "tool") else event.error_type
        if event.tool == PLAN_TOOL:
            agent.end_planning(at, error_type)
        self._deliver(self._maker.close(span, at, error_type))

    def _approval_event(self, event: ApprovalRequested | ApprovalDecided, at: int) -> None:
        """Write a question and its answer into the span of the call, or of the agent before it begins."""
        call = self._tools.get(event.key)
        span = call[0] if call else self._span_of(event.agent)
        facts: Attributes = {semconv.CALL_KEY: event.key, semconv.QUESTION: event.kind}
        match event:
            case ApprovalRequested():
                span.note(semconv.EVENT_APPROVAL_REQUESTED, at, facts)
            case ApprovalDecided():
                facts[semconv.DECISION] = event.decision
                span.note(semconv.EVENT_APPROVAL_DECIDED, at, facts)

    # --- plans, contracts and limits ---

    def _span_of(self, path: str) -> OpenSpan:
        agent = self._agents.get(path)
        return agent.span if agent else self._open_root

    def _plan_event(
        self, event: PlanCreated | PlanTaskStarted | PlanTaskFinished | PlanExecuted, at: int
    ) -> None:
        """Write the making of a plan into its own span, its execution into that of the call."""
        agent = self._agents[event.agent]
        if isinstance(event, PlanCreated):
            agent.plan_created(event, at)
        call = self._tools.get(agent.plan_key)
        span = call[0] if call else agent.span
        facts: Attributes = {semconv.PLAN_VERSION: event.version}
        match event:
            case PlanCreated():
                span.attributes[semconv.PLAN_VERSION] = event.version
                facts[semconv.PLAN_TASKS] = tuple(task.id for task in event.tasks)
                span.note(semconv.EVENT_PLAN_CREATED, at, facts)
            case PlanTaskStarted():
                facts[semconv.PLAN_TASK] = event.task
                facts[semconv.PLAN_TASK_CHILD] = event.child
                span.note(semconv.EVENT_TASK_STARTED, at, facts)
            case PlanTaskFinished():
                facts[semconv.PLAN_TASK] = event.task
                facts[semconv.PLAN_TASK_STATUS] = event.status
                span.note(semconv.EVENT_TASK_FINISHED, at, facts)
            case PlanExecuted():
                span.note(semconv.EVENT_PLAN_EXECUTED, at, facts)

    def _contract_event(
        self, event: ReplanRequested | DeliverableRejected | CitationsVerified | LimitWasReached, at: int
    ) -> None:
        note_contract(self._span_of(event.agent), event, at, content=self._content)

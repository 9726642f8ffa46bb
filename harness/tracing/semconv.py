"""Every name this project writes into a trace, in one table.

The GenAI and MCP conventions have no release and no stable attribute, and names move monthly, so no
other module spells one out. Pinned to open-telemetry/semantic-conventions-genai at e07f4eb
(2026-10-02). What the conventions have no word for (provenance of context, budgets, plans,
citations) is ours, under `harness.`.

What our spans could have and have not, and why:

    jsonrpc.request.id                  the MCP client does not tell it, and a guess may be another call's
    gen_ai.usage.{text,image,audio}.*   no wire API we speak reports usage by modality
    gen_ai.request.previous_response.id requests hold the whole conversation
    gen_ai.prompt.*, .data_source.id    there are no named prompts, and sources are tools
    network.protocol.version            HTTP negotiates it below us
    gen_ai.client.operation.exception   an error is the span's status and `error.type`
    ….time_per_output_chunk             pieces of a reply are shown and not recorded
    mcp.client.session.duration         sessions outlive runs and are shared by them
    tracestate, baggage in `_meta`      a run keeps its caller's `traceparent` only: baggage may hold secrets
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import SpanKind

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"
SCOPE: Final = "harness"
"""Name of the instrumentation scope; its version is that of the harness that made the run."""

# --- GenAI -----------------------------------------------------------------------------------------

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_DESCRIPTION: Final = "gen_ai.agent.description"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
CONVERSATION_COMPACTED: Final = "gen_ai.conversation.compacted"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
REQUESTED: Final = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "stop": "gen_ai.request.stop_sequences",
    "n": "gen_ai.request.choice.count",
    "output": "gen_ai.output.type",
}
"""What an agent asks in every request, by the names of `AgentRunStarted.request`; on chat and agent spans."""
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
"""On chat spans only."""
REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE_INPUT_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"

EVENT_EVALUATION: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_VALUE: Final = "gen_ai.evaluation.score.value"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

# Content: written only where the standard switch asks for it.
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
CONTENT: Final = frozenset(
    {
        *(SYSTEM_INSTRUCTIONS, INPUT_MESSAGES, OUTPUT_MESSAGES),
        *(TOOL_DEFINITIONS, TOOL_DESCRIPTION, TOOL_CALL_ARGUMENTS, TOOL_CALL_RESULT),
    }
)
EVENT_DETAILS: Final = "gen_ai.client.inference.operation.details"
"""What spans of model calls say, and what was said, as a log record beside them."""

# --- MCP and general -------------------------------------------------------------------------------

MCP_METHOD_NAME: Final = "mcp.method.name"
NETWORK_TRANSPORT: Final = "network.transport"
MCP_SESSION_ID: Final = "mcp.session.id"
MCP_PROTOCOL_VERSION: Final = "mcp.protocol.version"
JSONRPC_REQUEST_ID: Final = "jsonrpc.request.id"
RPC_STATUS_CODE: Final = "rpc.response.status_code"
NETWORK_PROTOCOL: Final = "network.protocol.name"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"

SERVED: Final = {
    "session": MCP_SESSION_ID,
    "protocol": MCP_PROTOCOL_VERSION,
    "request": JSONRPC_REQUEST_ID,
    "status": RPC_STATUS_CODE,
    "address": SERVER_ADDRESS,
}
"""How a tool's server was reached, by the names of `ToolCallFinished.served`."""

# --- Ours: on any span -----------------------------------------------------------------------------

RUN_ID: Final = "harness.run.id"
AGENT_PATH: Final = "harness.agent.path"
TURN: Final = "harness.turn"
ATTEMPT: Final = "harness.attempt"
"""From 2: the same thing was begun again, after a crash or an interruption."""
UNFINISHED: Final = "harness.unfinished"
"""True on a span that the record ends in the middle of."""
COST: Final = "harness.cost.usd"

# --- Ours: the run ---------------------------------------------------------------------------------

TEAM_DIGEST: Final = "harness.team.digest"
FORMAT: Final = "harness.journal.format"
ENTRY_AGENT: Final = "harness.entry"
RUN_STOP_REASON: Final = "harness.run.stop_reason"
RUN_INPUT_TOKENS: Final = "harness.run.input_tokens"
RUN_OUTPUT_TOKENS: Final = "harness.run.output_tokens"
RUN_MODEL_CALLS: Final = "harness.run.model_calls"
RUN_CITATIONS: Final = "harness.run.citations"
RUN_DROPPED_CLAIMS: Final = "harness.run.dropped_claims"

# --- Ours: an agent run ----------------------------------------------------------------------------

AGENT_DEPTH: Final = "harness.agent.depth"
AGENT_MODEL_CALLS: Final = "harness.agent.model_calls"
AGENT_TOOL_CALLS: Final = "harness.agent.tool_calls"
AGENT_TURNS: Final = "harness.agent.turns"
PLAN_TASK: Final = "harness.plan.task"
BRIEF_TOKENS: Final = "harness.brief.tokens"
"""Tokens of the task or brief the agent began with."""
REPORT_TOKENS: Final = "harness.report.tokens"
"""Tokens that came back into the parent's window."""
REPORT_STATUS: Final = "harness.report.status"
REPORT_STOP_REASON: Final = "harness.report.stop_reason"
REPORT_SHORTENED: Final = "harness.report.shortened"
REPORT_EVIDENCE: Final = "harness.report.evidence"
REJECTIONS: Final = "harness.deliverable.rejections"
REPLANS: Final = "harness.plan.replan_requests"
THINKING_MODE: Final = "harness.thinking.mode"
THINKING_EFFORT: Final = "harness.thinking.effort"
THINKING_BUDGET: Final = "harness.thinking.budget"
THINKING_TOKENS: Final = "harness.thinking.tokens"
THINKING_REASON: Final = "harness.thinking.reason"
THINKING_ENFORCEMENT: Final = "harness.thinking.enforcement"
THINKING_ENFORCED_BY: Final = "harness.thinking.enforced_by"
LIMITS_REACHED: Final = "harness.limits.reached"
CITATIONS_KEPT: Final = "harness.citations.kept"
CITATIONS_DROPPED: Final = "harness.citations.dropped"
CONTEXT_INPUT_KINDS: Final = "harness.context.input.kind"
"""Origins of what the window held at the agent's first request; named after proposal #181."""
CONTEXT_INPUT_TOKENS: Final = "harness.context.input.tokens"

# --- Ours: a model call ----------------------------------------------------------------------------

WINDOW_ENTRIES: Final = "harness.window.entries"
WINDOW_TOKENS: Final = "harness.window.tokens"
"""Our count of the whole request, tool definitions included."""
WINDOW_ORIGINS: Final = "harness.window.origins"
"""Origins of the entries that are new since the agent's last request, in order."""
WINDOW_ORIGIN_TOKENS: Final = "harness.window.origin_tokens"
"""Tokens of each of them."""
REQUEST_DIGEST: Final = "harness.request.digest"
TOOL_CHOICE: Final = "harness.request.tool_choice"
USAGE_ESTIMATED: Final = "harness.usage.estimated"
RETRIES: Final = "harness.model_call.retries"

# --- Ours: a tool call -----------------------------------------------------------------------------

CALL_KEY: Final = "harness.tool.call.key"
EFFECT: Final = "harness.tool.effect"
TOOL_SERVER: Final = "harness.tool.server"
RESULT_CHARACTERS: Final = "harness.tool.result.characters"
WHOLE_RESULT_CHARACTERS: Final = "harness.tool.result.whole_characters"
"""Set where the model saw only a part of the result."""

# --- Ours: a finding of the doctor, beside the event's own attributes ------------------------------

FINDING_FINGERPRINT: Final = "harness.finding.fingerprint"
"""The same for the same finding in another run of the team."""
FINDING_SUBJECT: Final = "harness.finding.subject"
FINDING_CONFIDENCE: Final = "harness.finding.confidence"
FINDING_TOKENS: Final = "harness.finding.tokens"
FINDING_SECONDS: Final = "harness.finding.seconds"
FINDING_TURNS: Final = "harness.finding.turns"
FINDING_SPANS: Final = "harness.finding.spans"
"""All spans that take part, the one the event belongs to first."""
FINDING_REMEDY: Final = "harness.finding.remedy"

# --- Ours: a plan ----------------------------------------------------------------------------------

PLAN_VERSION: Final = "harness.plan.version"
PLAN_TASKS: Final = "harness.plan.tasks"
PLAN_AGENTS: Final = "harness.plan.agents"
PLAN_KEPT: Final = "harness.plan.kept"
PLAN_TASK_STATUS: Final = "harness.plan.task.status"
PLAN_TASK_CHILD: Final = "harness.plan.task.child"

# --- Ours: span events and their attributes --------------------------------------------------------

EVENT_RETRIED: Final = "harness.model_call.retried"
EVENT_WAITED: Final = "harness.model_call.waited"
EVENT_THINKING_OVERRAN: Final = "harness.thinking.overran"
EVENT_FELL_BACK: Final = "harness.model.fell_back"
FELL_BACK_FROM: Final = "harness.model.from"
FELL_BACK_TO: Final = "harness.model.to"
EVENT_LIMIT: Final = "harness.limit.reached"
EVENT_APPROVAL_REQUESTED: Final = "harness.approval.requested"
EVENT_APPROVAL_DECIDED: Final = "harness.approval.decided"
QUESTION: Final = "harness.approval.kind"
DECISION: Final = "harness.approval.decision"
EVENT_REJECTED: Final = "harness.deliverable.rejected"
EVENT_CITATIONS: Final = "harness.citations.verified"
EVENT_REPLAN: Final = "harness.replan.requested"
EVENT_PLAN_CREATED: Final = "harness.plan.created"
EVENT_TASK_STARTED: Final = "harness.plan_task.started"
EVENT_TASK_FINISHED: Final = "harness.plan_task.finished"
EVENT_PLAN_EXECUTED: Final = "harness.plan.executed"
EVENT_SERVER_STARTED: Final = "harness.tool_server.started"
EVENT_SERVER_FAILED: Final = "harness.tool_server.failed"
REASON: Final = "harness.reason"
REASONS: Final = "harness.reasons"
WAIT_SECONDS: Final = "harness.wait_seconds"
RETRY_ATTEMPT: Final = "harness.retry.attempt"
LIMIT: Final = "harness.limit.name"
LIMIT_SCOPE: Final = "harness.limit.scope"
LIMIT_ALLOWED: Final = "harness.limit.allowed"
SERVER_TRANSPORT: Final = "harness.tool_server.transport"
SERVER_TOOLS: Final = "harness.tool_server.tools"
SERVER_SECONDS: Final = "harness.tool_server.seconds"
SERVER_REQUIRED: Final = "harness.tool_server.required"


@dataclass(frozen=True, slots=True)
class SpanType:
    """One kind of span in the conventions; all we emit are named `{operation} {target}`."""

    operation: str
    target: str
    """The attribute whose value the name ends with."""
    kind: SpanKind = SpanKind.INTERNAL


INVOKE_WORKFLOW: Final = SpanType("invoke_workflow", WORKFLOW_NAME)
INVOKE_AGENT: Final = SpanType("invoke_agent", AGENT_NAME)
PLAN: Final = SpanType("plan", AGENT_NAME)
CHAT: Final = SpanType("chat", REQUEST_MODEL, SpanKind.CLIENT)
CHAT_IN_PROCESS: Final = SpanType("chat", REQUEST_MODEL)
EXECUTE_TOOL: Final = SpanType("execute_tool", TOOL_NAME)

IN_PROCESS_PROVIDERS: Final = frozenset({"offline", "scripted"})
"""Models that run in this process: their `chat` spans are INTERNAL, all others CLIENT."""

FINISH_REASONS: Final = {
    "end": "stop",
    "tool_calls": "tool_call",
    "length": "length",
    "refusal": "content_filter",
    "error": "error",
}
"""Our stop reasons as `FinishReason` of the output messages schema spells them."""

NETWORK_TRANSPORTS: Final = {"stdio": "pipe", "http": "tcp"}
"""`network.transport` by transport of the server; a server in this process has none."""

TOOL_CALLED: Final = "tools/call"
FUNCTION: Final = "function"
TOOL_ERROR: Final = "tool_error"
"""`error.type` where the tool itself says that it failed (MCP `isError`)."""
OTHER_ERROR: Final = "_OTHER"
"""`error.type` where no class of error is known."""


# --- Metrics ---------------------------------------------------------------------------------------

TOKEN_MODALITY: Final = "gen_ai.token.modality"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric of the conventions: a histogram, or without `buckets` a counter."""

    name: str
    unit: str
    buckets: tuple[float, ...] = ()
    description: str = ""


_SECONDS: Final = tuple(round(0.01 * 2**power, 2) for power in range(14))
_AGENT_SECONDS: Final = tuple(round(0.1 * 2**power, 1) for power in range(13))
_MCP_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_RUN_SECONDS: Final = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_COUNTS: Final = tuple(float(2**power) for power in range(8))
_TOKENS: Final = tuple(float(4**power) for power in range(14))

WORKFLOW_DURATION: Final = Instrument("gen_ai.invoke_workflow.duration", "s", _RUN_SECONDS)
AGENT_DURATION: Final = Instrument("gen_ai.invoke_agent.duration", "s", _AGENT_SECONDS)
AGENT_INFERENCES: Final = Instrument("gen_ai.invoke_agent.inference_calls", "{inference_call}", _COUNTS)
AGENT_TOOLS: Final = Instrument("gen_ai.invoke_agent.tool_calls", "{tool_call}", _COUNTS)
TOOL_DURATION: Final = Instrument("gen_ai.execute_tool.duration", "s", _SECONDS)
MCP_DURATION: Final = Instrument("mcp.client.operation.duration", "s", _MCP_SECONDS)
OPERATION_DURATION: Final = Instrument("gen_ai.client.operation.duration", "s", _SECONDS)
FIRST_CHUNK: Final = Instrument("gen_ai.client.operation.time_to_first_chunk", "s", _SECONDS)
TOKENS_OF_OPERATION: Final = {
    USAGE_INPUT_TOKENS: Instrument("gen_ai.client.inference.operation.input_tokens", "{token}", _TOKENS),
    USAGE_OUTPUT_TOKENS: Instrument("gen_ai.client.inference.operation.output_tokens", "{token}", _TOKENS),
}
"""Histograms of tokens per call, by the attribute of its span."""
TOKENS_USED: Final = {
    name: Instrument(f"gen_ai.client.inference.usage.{name.removeprefix('gen_ai.usage.')}", "{token}")
    for name in (
        USAGE_INPUT_TOKENS,
        USAGE_OUTPUT_TOKENS,
        USAGE_CACHE_READ_INPUT_TOKENS,
        USAGE_CACHE_WRITE_INPUT_TOKENS,
        USAGE_REASONING_OUTPUT_TOKENS,
    )
}
"""Counters of tokens, by the attribute of a call's span."""

"""What a span says, by whichever conventions: GenAI of any year, OpenInference, Traceloop, MCP.

Real spans mix them, so they are merged and not chosen between: every attribute is looked up in one table,
and of several names for one thing the first in its row that is there counts.
"""

from __future__ import annotations

from typing import Final

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "operation": ("gen_ai.operation.name",),
    "kind": ("openinference.span.kind",),
    "traceloop_kind": ("traceloop.span.kind",),
    "request_type": ("llm.request.type",),
    "mcp_method": ("mcp.method.name",),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "model": (
        "gen_ai.response.model",
        "llm.response.model_name",
        "gen_ai.request.model",
        "llm.request.model_name",
        "llm.model_name",
        "model_name",
    ),
    "conversation": ("gen_ai.conversation.id", "traceloop.association.properties.session_id", "session.id"),
    "agent": ("gen_ai.agent.name", "agent.name", "agent_name", "langgraph.node"),
    "entity": ("traceloop.entity.name",),
    "workflow": ("gen_ai.workflow.name", "traceloop.workflow.name"),
    "node": ("graph.node.name", "graph.node.id"),
    "instructions": ("gen_ai.system_instructions",),
    "inputs": ("gen_ai.input.messages", "gen_ai.prompt", "pydantic_ai.all_messages", "all_messages_events"),
    "outputs": ("gen_ai.output.messages", "gen_ai.completion"),
    "events": ("events",),
    "definitions": ("gen_ai.tool.definitions", "gen_ai.request.tools"),
    "request_parameters": ("model_request_parameters",),
    "tool": ("gen_ai.tool.name", "tool.name"),
    "call_id": ("gen_ai.tool.call.id", "tool.id", "tool_call.id"),
    "arguments": (
        "gen_ai.tool.call.arguments",
        "tool_arguments",
        "mcp.request.argument",
        "traceloop.entity.input",
        "input.value",
        "tool.parameters",
    ),
    "result": (
        "gen_ai.tool.call.result",
        "tool_response",
        "mcp.response.value",
        "traceloop.entity.output",
        "output.value",
    ),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "cached_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "cost": ("harness.cost.usd", "operation.cost", "gen_ai.usage.cost", "llm.cost.total"),
    "finish": (
        "gen_ai.response.finish_reasons",
        "gen_ai.response.finish_reason",
        "llm.response.finish_reason",
        "llm.finish_reason",
    ),
    "error_type": ("error.type",),
}
"""Names of one thing, the best first."""

RANKED: Final[dict[str, tuple[str, int]]] = {
    name: (field, rank) for field, names in FIELDS.items() for rank, name in enumerate(names)
}

FLATTENED: Final[dict[str, str]] = {
    "llm.input_messages.": "inputs",
    "llm.output_messages.": "outputs",
    "llm.tools.": "definitions",
    "gen_ai.prompt.": "inputs",
    "gen_ai.completion.": "outputs",
    "llm.request.functions.": "definitions",
}
"""Lists written as one attribute per leaf, with the index in the name."""

MODEL_OPERATIONS: Final = frozenset(
    {"chat", "generate_content", "text_completion", "completion", "responses"}
)
AGENT_OPERATIONS: Final = frozenset({"invoke_agent"})
TOOL_OPERATIONS: Final = frozenset({"execute_tool"})
WORKFLOW_OPERATIONS: Final = frozenset({"invoke_workflow", "workflow"})

OPENINFERENCE_KINDS: Final = {"LLM": "model", "AGENT": "agent", "TOOL": "tool", "CHAIN": "chain"}
TRACELOOP_KINDS: Final = {
    "workflow": "workflow",
    "agent": "agent",
    "tool": "tool",
    "task": "chain",
    "handoff": "handoff",
}

MESSAGE_EVENTS: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "choice",
}
"""Content before version 1.37: one span event or log record for each message."""

DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"

CONTENT_EVENTS: Final = {
    "gen_ai.content.prompt": "gen_ai.prompt",
    "gen_ai.content.completion": "gen_ai.completion",
}
"""Content before version 1.28: one event with all messages as JSON."""

STOP_REASONS: Final = {
    "stop": "end",
    "end_turn": "end",
    "completed": "end",
    "tool_call": "tool_calls",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "refusal",
}

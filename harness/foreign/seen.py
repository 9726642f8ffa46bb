"""What one span says about a run, whatever its dialect, in as little memory as it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from harness.foreign.conventions import (
    AGENT_OPERATIONS,
    CONTENT_EVENTS,
    DETAILS_EVENT,
    FLATTENED,
    MESSAGE_EVENTS,
    MODEL_OPERATIONS,
    OPENINFERENCE_KINDS,
    RANKED,
    TOOL_OPERATIONS,
    TRACELOOP_KINDS,
    WORKFLOW_OPERATIONS,
)
from harness.foreign.messages import Interned, Json, as_text, definitions_of, parsed
from harness.foreign.span import Attributes, Span, SpanEvent
from harness.messages import Message, ToolDefinition

SpanKind = Literal["workflow", "agent", "model", "tool", "chain", "handoff", "other"]


@dataclass(slots=True, eq=False)
class Seen:
    """One span, read. What it does not say is None or empty."""

    id: str
    parent: str
    name: str
    start: float | None
    end: float | None
    kind: SpanKind = "other"
    dialect: str = ""
    failed: bool = False
    error: str = ""
    error_type: str = ""
    agent: str = ""
    """Name of the agent, the workflow, or the node of a graph."""
    conversation: str = ""
    model: str = ""
    provider: str = ""
    instructions: tuple[Message, ...] = ()
    inputs: tuple[Message, ...] | None = None
    outputs: tuple[Message, ...] | None = None
    definitions: tuple[ToolDefinition, ...] | None = None
    tool: str = ""
    call_id: str = ""
    arguments: str | None = None
    result: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    finish: str = ""
    is_mcp: bool = False
    own: Attributes | None = None
    """Attributes of the harness's own, `harness.*`."""
    order: int = 0
    """Its place among all that was read, for those without times."""


class Reader:
    """Reads spans of one trace; what they hold in common is kept once."""

    def __init__(self) -> None:
        self.interned = Interned()
        self._definitions: dict[str, tuple[ToolDefinition, ...]] = {}
        self._count = 0

    def read(self, span: Span) -> Seen:
        """Return what a span says."""
        facts, own, dialect = self._facts(span.attributes)
        for event in span.events:
            self._event(event, facts)
        self._count += 1
        text = self.interned.text
        seen = Seen(text(span.id), text(span.parent), text(span.name), span.start, span.end)
        seen.order, seen.dialect, seen.own = self._count, dialect, own
        seen.failed, seen.error = span.failed, span.error
        seen.kind = _kind(facts, span.name)
        seen.error_type = _string(facts.get("error_type"))
        seen.agent = self.interned.text(_agent_name(facts, seen.kind, span.name))
        seen.conversation = self.interned.text(_string(facts.get("conversation")))
        if seen.kind == "tool":
            self._tool(facts, seen)
        elif seen.kind == "model":
            self._model(facts, seen)
        elif seen.kind in ("agent", "workflow", "chain"):
            self._content(facts, seen)
        return seen

    def add(self, seen: Seen, event: SpanEvent) -> None:
        """Add what a log record says about a span that was read already."""
        facts: Attributes = {}
        self._event(event, facts)
        if seen.kind != "model" or not facts:
            return
        told = Seen(seen.id, "", "", None, None)
        self._model(facts, told)
        for name in ("inputs", "outputs", "definitions", "instructions", "input_tokens", "output_tokens"):
            if not getattr(seen, name):
                setattr(seen, name, getattr(told, name))
            elif name in ("inputs", "outputs") and event.name in MESSAGE_EVENTS:
                setattr(seen, name, (*getattr(seen, name), *(getattr(told, name) or ())))

    # --- attributes ---

    def _facts(self, attributes: Attributes) -> tuple[Attributes, Attributes | None, str]:
        facts: Attributes = {}
        ranks: dict[str, int] = {}
        flattened: dict[str, Json] = {}
        own: Attributes | None = None
        for name, value in attributes.items():
            known = RANKED.get(name)
            if known is not None:
                field, rank = known
                if value is not None and value != "" and rank < ranks.get(field, 99):
                    ranks[field], facts[field] = rank, value
            elif name.startswith("harness."):
                own = own or {}
                own[name] = value
            else:
                for prefix in FLATTENED:
                    if name.startswith(prefix):
                        _unflatten(flattened.setdefault(prefix, {}), name[len(prefix) :], value)
                        break
        for prefix, tree in flattened.items():
            facts.setdefault(FLATTENED[prefix], _listed(tree))
        dialects = [dialect for name, dialect in _DIALECTS.items() if name in facts]
        if "provider" in facts and not dialects:
            dialects = ["genai"]
        return facts, own, "+".join(dialects)

    def _event(self, event: SpanEvent, facts: Attributes) -> None:
        """Merge an event that carries content."""
        if event.name == DETAILS_EVENT:
            more, _, _ = self._facts(event.attributes)
            for name, value in more.items():
                facts.setdefault(name, value)
        elif event.name in CONTENT_EVENTS:
            name = CONTENT_EVENTS[event.name]
            facts.setdefault(RANKED[name][0], event.attributes.get(name))
        elif event.name in MESSAGE_EVENTS:
            _message_event(event.name, event.attributes, facts)
        elif event.name == "exception":
            facts.setdefault("error_type", event.attributes.get("exception.type"))

    # --- kinds ---

    def _content(self, facts: Attributes, seen: Seen) -> None:
        if "inputs" in facts:
            seen.inputs = self.interned.growing(facts["inputs"], seen.parent)
        elif isinstance(facts.get("arguments"), str):
            seen.arguments = facts["arguments"]
        if "outputs" in facts:
            seen.outputs = _replies(self.interned.messages(facts["outputs"]))
        elif isinstance(facts.get("result"), str):
            seen.result = facts["result"]
        if "instructions" in facts:
            seen.instructions = self._instructions(facts["instructions"])
        if "definitions" in facts:
            seen.definitions = self._defined(facts["definitions"])
        seen.model = self.interned.text(_string(facts.get("model")))
        seen.cost = _number(facts.get("cost"))

    def _model(self, facts: Attributes, seen: Seen) -> None:
        if "inputs" not in facts and "events" in facts:
            _listed_events(parsed(facts["events"]), facts)
        parameters = parsed(facts.get("request_parameters"))
        if "definitions" not in facts and isinstance(parameters, dict):
            tools = cast("Json", parameters).get("function_tools")
            if tools:
                facts["definitions"] = as_text(tools).replace('"parameters_json_schema"', '"parameters"')
        self._content(facts, seen)
        seen.provider = self.interned.text(_string(facts.get("provider")))
        seen.input_tokens = _count(facts.get("input_tokens"))
        seen.output_tokens = _count(facts.get("output_tokens"))
        seen.cached_tokens = _count(facts.get("cached_tokens"))
        seen.reasoning_tokens = _count(facts.get("reasoning_tokens"))
        finish = facts.get("finish")
        seen.finish = _string(cast("list[Any]", finish)[0] if isinstance(finish, list) and finish else finish)

    def _tool(self, facts: Attributes, seen: Seen) -> None:
        named = facts.get("tool") or (facts.get("entity") if "traceloop_kind" in facts else None)
        seen.is_mcp = facts.get("mcp_method") == "tools/call"
        if not named:
            named = seen.name.removeprefix("execute_tool ").removeprefix("tools/call ").removesuffix(".tool")
        seen.tool = self.interned.text(_string(named))
        seen.call_id = _string(facts.get("call_id"))
        arguments, result = facts.get("arguments"), facts.get("result")
        if arguments is not None:
            seen.arguments = _tool_arguments(arguments)
        if result is not None:
            seen.result = self.interned.text(_tool_result(result))

    def _instructions(self, value: Any) -> tuple[Message, ...]:
        value = parsed(value)
        key = as_text(value)
        if isinstance(value, list):
            return self.interned.messages(
                [{"role": "system", "parts": [part]} for part in cast("list[Any]", value)]
            )
        return self.interned.messages([{"role": "system", "content": key}]) if key else ()

    def _defined(self, value: Any) -> tuple[ToolDefinition, ...]:
        key = as_text(value)
        known = self._definitions.get(key)
        if known is None:
            known = self._definitions[key] = definitions_of(value)
        return known


def _kind(facts: Attributes, name: str) -> SpanKind:
    operation = facts.get("operation")
    if isinstance(operation, str):
        kind = _OPERATIONS.get(operation.lower())
        if kind is not None:
            return kind
    method = facts.get("mcp_method")
    if method == "tools/call":
        return "tool"
    known = OPENINFERENCE_KINDS.get(_string(facts.get("kind")).upper())
    if known is None:
        known = TRACELOOP_KINDS.get(_string(facts.get("traceloop_kind")))
    if known == "tool" and name.startswith(("handoff to", "transfer_to")):
        return "handoff"
    if known is not None:
        return cast("SpanKind", known)
    if facts.get("request_type") in ("chat", "completion"):
        return "model"
    if operation is None and "provider" in facts and ("inputs" in facts or "input_tokens" in facts):
        return "model"
    return "other"


_OPERATIONS: dict[str, SpanKind] = {
    **dict.fromkeys(MODEL_OPERATIONS, "model"),
    **dict.fromkeys(AGENT_OPERATIONS, "agent"),
    **dict.fromkeys(TOOL_OPERATIONS, "tool"),
    **dict.fromkeys(WORKFLOW_OPERATIONS, "workflow"),
}
_DIALECTS = {"operation": "genai", "kind": "openinference", "traceloop_kind": "traceloop"}
"""Dialects by an attribute that shows them, in the order in which they are named."""


def _agent_name(facts: Attributes, kind: SpanKind, name: str) -> str:
    if kind == "workflow":
        return _string(facts.get("workflow")) or name
    told = facts.get("agent")
    if not told and kind == "agent":
        told = facts.get("entity") or name.removeprefix("invoke_agent ").removesuffix(".agent").removesuffix(
            ".run"
        )
    return _string(told or facts.get("node")) if kind in ("agent", "chain", "model", "tool") else ""


def _message_event(name: str, facts: Attributes, into: Attributes) -> None:
    """Add a message that stands in an event of its own to what the span says."""
    role = MESSAGE_EVENTS[name]
    held: Json = {key.removeprefix("gen_ai.event."): parsed(value) for key, value in facts.items()}
    if role == "choice":
        inner = held.get("message")
        choice = cast("Json", inner) if isinstance(inner, dict) else held
        message = {**choice, "role": "assistant"}
        if isinstance(inner, str):
            message["content"] = inner
        if "tool_calls" in held:
            message["tool_calls"] = held["tool_calls"]
        message.pop("message", None)
        _append(into, "outputs", message)
        into.setdefault("finish", held.get("finish_reason"))
    else:
        _append(into, "inputs", {**held, "role": held.get("role") or role})


def _append(into: Attributes, name: str, message: Json) -> None:
    held = into.setdefault(name, [])
    if isinstance(held, list):
        cast("list[Any]", held).append(message)


def _listed_events(events: Any, facts: Attributes) -> None:
    """Read the events that pydantic-ai of 2025 writes as one JSON attribute."""
    for event in cast("list[Any]", events) if isinstance(events, list) else []:
        if isinstance(event, dict):
            held = cast("Json", event)
            name = _string(held.get("event.name"))
            if name in MESSAGE_EVENTS:
                _message_event(name, held, facts)


def _replies(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return messages that a model wrote; formats that leave the role out mean the assistant's."""
    return tuple(
        [
            message if message.role in ("assistant", "tool") else Message("assistant", message.parts)
            for message in messages
        ]
    )


def _unflatten(tree: Json, path: str, value: Any) -> None:
    """Put a leaf back where its name says: `0.message.role` into `{0: {message: {role: …}}}`."""
    *way, last = path.split(".", 12)
    for key in way:
        inner = tree.get(key)
        if not isinstance(inner, dict):
            inner = tree[key] = {}
        tree = cast("Json", inner)
    tree[last] = value


def _listed(tree: Json) -> Any:
    """Return a tree with its numbered branches as lists, and `message` unwrapped."""
    if "message" in tree and isinstance(tree["message"], dict):
        tree = cast("Json", tree["message"])
    plain = {
        key: _listed(cast("Json", value)) if isinstance(value, dict) else value for key, value in tree.items()
    }
    if plain and all(key.isdigit() for key in plain):
        return [plain[key] for key in sorted(plain, key=lambda key: (len(key), key))]
    return plain


def _tool_arguments(value: Any) -> str:
    """Return a call's arguments; a wrapper that an instrumentation put around them is taken off."""
    inner = parsed(value)
    if isinstance(inner, dict) and cast("Json", inner).keys() <= _WRAPPERS:
        held = cast("Json", inner)
        for key in ("inputs", "input", "kwargs", "arguments"):
            wrapped = parsed(held.get(key))
            if isinstance(wrapped, dict):
                return as_text(cast("Json", wrapped))
    return value if isinstance(value, str) else as_text(value)


_WRAPPERS = {
    "inputs",
    "input",
    "input_str",
    "kwargs",
    "args",
    "arguments",
    "tags",
    "metadata",
    "name",
    "sanitize_inputs_outputs",
}


def _tool_result(value: Any) -> str:
    """Return what a tool gave back; LangChain's message around it is taken off."""
    inner = parsed(value)
    if isinstance(inner, dict):
        held = cast("Json", inner)
        for key in ("output", "kwargs", "update"):
            wrapped = parsed(held.get(key))
            if isinstance(wrapped, dict) and ("content" in wrapped or "kwargs" in wrapped):
                return _tool_result(cast("Json", wrapped)) if wrapped is not inner else as_text(value)
        content = held.get("content")
        if "content" in held and (held.get("type") in ("tool", "ToolMessage") or "tool_call_id" in held):
            return content if isinstance(content, str) else as_text(content)
        if set(held) <= {"output", "type"} and isinstance(held.get("output"), str):
            return held["output"]
    return value if isinstance(value, str) else as_text(value)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else as_text(value)


def _count(value: Any) -> int | None:
    """Return a number of tokens, if it is one."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value) if abs(value) < 1e15 else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**15:
        return None
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e12 else None

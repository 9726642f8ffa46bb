"""ATIF trajectories, as Harbor and other benchmarks keep them (versions 1.0 to 1.7).

Source: RFC 0001 "Agent Trajectory Interchange Format". A step of source `agent` is one model call with its
tool calls and, in `observation`, their results; a trajectory of a sub-agent is referred to, or embedded.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

from harness.foreign.conversation import Conversation
from harness.foreign.facets import facets_of
from harness.foreign.messages import as_text, definitions_of, messages_of
from harness.foreign.otlp_json import wrong
from harness.messages import Message, Part, Reasoning, Text, ToolCall, ToolResult
from harness.record import AgentBuilder, AgentRecord, RunRecord, Turn

Json = dict[str, Any]


def is_trajectory(document: Any) -> bool:
    """Return whether a document is an ATIF trajectory."""
    if not isinstance(document, dict):
        return False
    held = cast("Json", document)
    version = held.get("schema_version")
    return (isinstance(version, str) and version.upper().startswith("ATIF")) or (
        "steps" in held and "agent" in held
    )


def records(document: Any, place: str, *, name: str) -> Iterator[RunRecord]:
    """Yield the run of a trajectory.

    Raises:
        TraceError: Something is not as the format has it.
    """
    held = cast("Json", document)
    identity = held.get("session_id") or held.get("trajectory_id") or name
    record = RunRecord(as_text(identity), as_text(held.get("schema_version")) or "ATIF", name=name)
    _agent(held, record, "", "", place)
    entry = next(iter(record.agents.values()))
    record.task = next((one.message.text for one in entry.entries if one.origin == "task"), "")
    record.answer = entry.report
    reward = _reward(held)
    if reward is not None:
        record.outcome = "done" if reward == 1 else "failed"
    times = [turn.started for turn in record.turns() if turn.started is not None]
    record.started, record.ended = min(times, default=None), max(times, default=None)
    record.carries = facets_of(record)
    yield record


def _agent(held: Json, record: RunRecord, parent: str, call: str, place: str) -> str:
    about = _object(held.get("agent"), f"{place}.agent".lstrip("."))
    name = as_text(about.get("name")) or "agent"
    word = name.replace("/", "_")
    path = base = f"{parent}/{word}" if parent else word
    while path in record.agents:
        path = f"{base}-{len(record.agents)}"
    agent = AgentRecord(path, name, parent=parent, parent_call=call, model=as_text(about.get("model_name")))
    agent.tools = definitions_of(about.get("tool_definitions")) or None
    record.agents[path] = agent
    conversation = Conversation(AgentBuilder(agent), is_sub_agent=bool(parent))
    steps = held.get("steps")
    if not isinstance(steps, list):
        wrong(f"{place}.steps".lstrip("."), "a list of steps", steps)
    embedded = _embedded(held)
    delegated: list[tuple[str, Json]] = []
    for index, step in enumerate(cast("list[Any]", steps)):
        where = f"{place}.steps[{index}]".lstrip(".")
        delegated += _step(_object(step, where), conversation, embedded, where)
        record.spans += 1
    conversation.finish()
    by_id = {call.id: call for call in agent.calls()}
    for call_id, inner in delegated:
        asked = by_id.get(call_id)
        child = _agent(inner, record, path, asked.key if asked else "", f"{place}: sub-agent")
        if asked is not None:
            asked.children.append(child)
    return path


def _step(
    step: Json, conversation: Conversation, embedded: dict[str, Json], place: str
) -> list[tuple[str, Json]]:
    """Take one step; return the sub-agents' trajectories in it, by the call that asked for each."""
    source = step.get("source")
    if source not in ("system", "user", "agent"):
        wrong(f"{place}.source", "system, user or agent", source)
    if source != "agent":
        for message in messages_of({"role": source, "content": step.get("message", "")}):
            conversation.take(message)
        return _observe(step, conversation, embedded, place)
    parts: list[Part] = []
    if step.get("reasoning_content"):
        parts.append(Reasoning(as_text(step["reasoning_content"])))
    if step.get("message") not in (None, ""):
        told = next(messages_of({"role": "assistant", "content": step["message"]}))
        parts += told.parts
    calls: Any = step.get("tool_calls") or []
    if not isinstance(calls, list):
        wrong(f"{place}.tool_calls", "a list", calls)
    for index, call in enumerate(cast("list[Any]", calls)):
        held = _object(call, f"{place}.tool_calls[{index}]")
        name = held.get("function_name") or held.get("name") or ""
        parts.append(
            ToolCall(as_text(held.get("tool_call_id")), as_text(name), as_text(held.get("arguments", {})))
        )
    conversation.take(Message("assistant", tuple(parts)), _turn(step, conversation, place))
    return _observe(step, conversation, embedded, place)


def _turn(step: Json, conversation: Conversation, place: str) -> Turn:
    metrics = _object(step.get("metrics") or {}, f"{place}.metrics")
    model = as_text(step.get("model_name")) or conversation.builder.record.model
    return Turn(
        conversation.builder.record.path,
        0,
        model=model,
        reported=_tokens(metrics, "prompt_tokens"),
        output=_tokens(metrics, "completion_tokens"),
        cached=_tokens(metrics, "cached_tokens"),
        cost=_cost(metrics.get("cost_usd")),
        started=when(step.get("timestamp")),
        span=f"step {step.get('step_id', '')}",
    )


def _observe(
    step: Json, conversation: Conversation, embedded: dict[str, Json], place: str
) -> list[tuple[str, Json]]:
    observation = _object(step.get("observation") or {}, f"{place}.observation")
    results: Any = observation.get("results") or []
    if not isinstance(results, list):
        wrong(f"{place}.observation.results", "a list", results)
    calls = [call for call in _last_calls(conversation)]
    delegated: list[tuple[str, Json]] = []
    for index, result in enumerate(cast("list[Any]", results)):
        held = _object(result, f"{place}.observation.results[{index}]")
        call_id = held.get("source_call_id") or (calls[index] if index < len(calls) else "")
        text = _content(held.get("content"))
        if call_id:
            failed = held.get("is_error") is True
            conversation.take(Message("tool", (ToolResult(as_text(call_id), text, failed),)))
        elif text:
            conversation.take(Message("user", (Text(text),)))
        references: Any = held.get("subagent_trajectory_ref") or []
        for reference in cast("list[Any]", references) if isinstance(references, list) else [references]:
            named = cast("Json", reference) if isinstance(reference, dict) else {}
            for key in ("trajectory_id", "session_id"):
                known = named.get(key)
                if isinstance(known, str) and known in embedded:
                    delegated.append((as_text(call_id), embedded.pop(known)))
                    break
    return delegated


def _last_calls(conversation: Conversation) -> list[str]:
    turns = conversation.builder.record.turns
    return [call.id for call in turns[-1].calls] if turns else []


def _content(value: Any) -> str:
    message = next(messages_of({"role": "tool", "content": value}), None)
    return message.text if message else ""


def _embedded(held: Json) -> dict[str, Json]:
    """Return embedded trajectories of sub-agents by id."""
    inner = held.get("subagent_trajectories")
    found: dict[str, Json] = {}
    for one in cast("list[Any]", inner) if isinstance(inner, list) else []:
        if is_trajectory(one):
            for key in ("trajectory_id", "session_id"):
                if isinstance(one.get(key), str):
                    found[one[key]] = cast("Json", one)
    return found


def _reward(held: Json) -> float | None:
    extra, final = held.get("extra"), held.get("final_metrics")
    for place in (held, extra, final, cast("Json", final).get("extra") if isinstance(final, dict) else None):
        reward = cast("Json", place).get("reward") if isinstance(place, dict) else None
        if isinstance(reward, int | float) and not isinstance(reward, bool):
            return reward
    return None


def when(value: Any) -> float | None:
    """Return an ISO 8601 time as seconds since 1970; None if it is none."""
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _tokens(metrics: Json, name: str) -> int | None:
    value = metrics.get(name)
    plausible = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15
    return value if plausible else None


def _cost(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e12 else None


def _object(value: Any, place: str) -> Json:
    if not isinstance(value, dict):
        wrong(place, "an object", value)
    return cast("Json", value)

"""Lists of OpenAI chat messages: tau-bench results, fine-tuning lines, plain conversations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from harness.foreign.conversation import record_of_messages
from harness.foreign.facets import OUTCOME
from harness.foreign.messages import as_text, definitions_of
from harness.foreign.otlp_json import wrong
from harness.record import RunRecord

LISTS = ("traj", "messages", "conversation", "trajectory")
"""Keys under which a conversation stands."""

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def is_conversation(value: Any) -> bool:
    """Return whether a value is a list of messages."""
    if not isinstance(value, list) or not value:
        return False
    first = cast("list[Any]", value)[0]
    return isinstance(first, dict) and cast("dict[str, Any]", first).get("role") in _ROLES


def has_conversation(value: Any) -> bool:
    """Return whether a value is an object with a list of messages in it."""
    if not isinstance(value, dict):
        return False
    held = cast("dict[str, Any]", value)
    return any(isinstance(held.get(key), list) for key in LISTS)


def records(document: Any, place: str, *, name: str, number: int = 0) -> Iterator[RunRecord]:
    """Yield the runs of one document: a conversation, an object that holds one, or a list of either."""
    if is_conversation(document):
        yield _record(document, {}, place, f"{name}#{number}" if number else name)
    elif isinstance(document, dict):
        held = cast("dict[str, Any]", document)
        key = next((key for key in LISTS if key in held), None)
        if key is None:
            wrong(place, f"one of {', '.join(LISTS)}", document)
        yield _record(held[key], held, f"{place}.{key}".lstrip("."), _name(held, name, number))
    elif isinstance(document, list):
        for index, element in enumerate(cast("list[Any]", document)):
            yield from records(element, f"{place}[{index}]", name=name, number=index + 1)
    else:
        wrong(place, "messages", document)


def _name(held: dict[str, Any], name: str, number: int) -> str:
    words = [
        f"{key} {held[key]}" for key in ("task_id", "trial", "id") if isinstance(held.get(key), int | str)
    ]
    return f"{name} {', '.join(words)}" if words else f"{name}#{number}" if number else name


def _record(messages: Any, held: dict[str, Any], place: str, name: str) -> RunRecord:
    if not isinstance(messages, list):
        wrong(place, "a list of messages", messages)
    for index, message in enumerate(cast("list[Any]", messages)):
        _check(message, f"{place}[{index}]")
    tools = definitions_of(held["tools"]) if held.get("tools") else ()
    record = record_of_messages(
        cast("list[Any]", messages), identity=name, source="openai messages", tools=tools
    )
    reward = held.get("reward")
    if isinstance(reward, int | float):
        record.outcome = "done" if reward == 1 else "failed"
        record.carries |= OUTCOME
    record.reference = _reference(held)
    return record


def _check(message: Any, place: str) -> None:
    if not isinstance(message, dict):
        wrong(place, "a message with a role", message)
    held = cast("dict[str, Any]", message)
    if held.get("role") not in _ROLES:
        wrong(f"{place}.role", "system, user, assistant or tool", held.get("role"))
    if not isinstance(held.get("content", ""), str | list | dict | None):
        wrong(f"{place}.content", "text or a list of parts", held["content"])
    calls = held.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        wrong(f"{place}.tool_calls", "a list", calls)
    for index, call in enumerate(cast("list[Any]", calls or [])):
        if not isinstance(call, dict) or not isinstance(
            cast("dict[str, Any]", call).get("function", {}), dict | str
        ):
            wrong(f"{place}.tool_calls[{index}]", "a tool call with a function", call)


def _reference(held: dict[str, Any]) -> list[tuple[str, Mapping[str, Any]]] | None:
    info = held.get("info")
    task = cast("dict[str, Any]", info).get("task") if isinstance(info, dict) else None
    actions = cast("dict[str, Any]", task).get("actions") if isinstance(task, dict) else None
    if not isinstance(actions, list):
        return None
    found: list[tuple[str, Mapping[str, Any]]] = []
    for action in cast("list[Any]", actions):
        if isinstance(action, dict):
            known = cast("dict[str, Any]", action)
            arguments: Any = known.get("kwargs", known.get("arguments"))
            wanted = cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}
            found.append((as_text(known.get("name", "")), wanted))
    return found

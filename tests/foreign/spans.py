"""OTLP JSON written by hand, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def value_of(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case dict():
            return {"kvlistValue": {"values": pairs(value)}}
        case _:
            return {"arrayValue": {"values": [value_of(one) for one in value]}}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value_of(value)} for key, value in attributes.items()]


def span(identity: int, parent: int, name: str, /, **facts: Any) -> dict[str, Any]:
    """Return a span; keyword `_events`, `_at`, `_trace`, `_failed`, the rest are attributes with `__` for dots."""
    at = facts.pop("_at", identity)
    events = facts.pop("_events", [])
    held: dict[str, Any] = {
        "traceId": f"{facts.pop('_trace', 1):032x}",
        "spanId": f"{identity:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name,
        "startTimeUnixNano": str(1_700_000_000_000_000_000 + at * 1_000_000_000),
        "endTimeUnixNano": str(1_700_000_000_500_000_000 + at * 1_000_000_000),
        "events": [{"name": event, "attributes": pairs(told)} for event, told in events],
        "status": {"code": 2, "message": "it broke"} if facts.pop("_failed", False) else {},
    }
    held["attributes"] = pairs({key.replace("__", "."): value for key, value in facts.items()})
    return held


def write(path: Path, *spans: dict[str, Any], lines: bool = False) -> Path:
    groups = [[one] for one in spans] if lines else [list(spans)]
    path.write_text(
        "\n".join(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": group}]}]}) for group in groups)
    )
    return path


def text(role: str, said: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": said}]}


def asks(identity: str, tool: str, **arguments: Any) -> dict[str, Any]:
    call = {"type": "tool_call", "id": identity, "name": tool, "arguments": arguments}
    return {"role": "assistant", "parts": [call]}


def answers(identity: str, said: str) -> dict[str, Any]:
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": identity, "response": said}]}

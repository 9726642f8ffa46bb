"""Holds what we emit against the GenAI and MCP conventions, as `semconv/` has them as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
from opentelemetry.sdk.trace import ReadableSpan

DATA = Path(__file__).parent / "semconv"
CHECKER = json.loads((DATA / "genai_checker.e07f4eb-overlay.json").read_text())
TYPES = {
    "invoke_workflow": "gen_ai.invoke_workflow.internal",
    "invoke_agent": "gen_ai.invoke_agent.internal",
    "plan": "gen_ai.plan.internal",
    "chat": "gen_ai.inference.client",
    "execute_tool": "gen_ai.execute_tool.internal",
}
ON_ANY_SPAN = {"gen_ai.conversation.id"}
"""Its note lets applications that manage conversations add it to other spans."""
KNOWN_HERE = {
    "invoke_workflow": {"gen_ai.workflow.name"},
    "invoke_agent": {"gen_ai.agent.name", "gen_ai.conversation.id"},
    "plan": {"gen_ai.agent.name"},
    "chat": {"gen_ai.request.model", "gen_ai.conversation.id"},
    "execute_tool": {"gen_ai.agent.name", "gen_ai.conversation.id", "gen_ai.tool.call.id"},
}
"""Required where known, and always known here."""
SCHEMAS = {
    name: jsonschema.Draft202012Validator(json.loads((DATA / file).read_text()))
    for name, file in {
        "gen_ai.input.messages": "gen-ai-input-messages.json",
        "gen_ai.output.messages": "gen-ai-output-messages.json",
        "gen_ai.system_instructions": "gen-ai-system-instructions.json",
        "gen_ai.tool.definitions": "gen-ai-tool-definitions.json",
    }.items()
}
PYTHON = {"int": int, "double": float, "boolean": bool, "string[]": tuple}


def faults_of(span: ReadableSpan) -> list[str]:
    """Return how a span breaks the conventions."""
    have: dict[str, Any] = dict(span.attributes or {})
    operation = have.get("gen_ai.operation.name", "")
    if operation not in TYPES:
        return [f"{span.name}: operation {operation!r}"]
    shape = CHECKER["spans"][TYPES[operation]]
    listed = set(shape["attributes"]) | ON_ANY_SPAN
    if "mcp.method.name" in have:
        # An MCP call that an outer span traces adds MCP's attributes to it (mcp/spans.yaml).
        listed |= set(CHECKER["spans"]["mcp.client"]["attributes"])
    kinds = {shape["kind"]} | ({"internal"} if operation == "chat" else set())
    target = shape["name_rule"][0].partition(" ")[2].strip("{}")
    expected = f"{operation} {have[target]}" if target in have else operation
    return [
        *(f"{span.name}: {name} is missing" for name in _wanted(span, shape, operation, have) - set(have)),
        *_unknown(span.name, have, listed),
        *([] if span.kind.name.lower() in kinds else [f"{span.name}: kind {span.kind.name}"]),
        *([] if span.name == expected else [f"{span.name}: should be {expected}"]),
        *_mistyped(span.name, have),
        *_malformed(span.name, have),
    ]


def _wanted(span: ReadableSpan, shape: Any, operation: str, have: Mapping[str, Any]) -> set[str]:
    wanted = {name for name, facts in shape["attributes"].items() if facts["level"] == "required"}
    wanted |= KNOWN_HERE[operation]
    if span.status.status_code.name == "ERROR":
        wanted.add("error.type")
    if "server.address" in have:
        wanted.add("server.port")
    if operation == "chat" and "gen_ai.response.time_to_first_chunk" in have:
        wanted.add("gen_ai.request.stream")
    return wanted


def _unknown(name: str, have: Mapping[str, Any], listed: set[str]) -> list[str]:
    return [
        f"{name}: unknown {key}"
        for key in have
        if key not in listed and not key.startswith(("harness.", "openinference."))
    ]


def _mistyped(name: str, have: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {key} is of the wrong type" for key, value in have.items() if not _typed(key, value)]


def _typed(name: str, value: Any) -> bool:
    facts = CHECKER["attributes"].get(name)
    python = PYTHON.get(facts["type"], str) if facts else object
    return isinstance(value, python) and (python is not int or not isinstance(value, bool))


def _malformed(name: str, have: Mapping[str, Any]) -> list[str]:
    faults: list[str] = []
    for key in set(have) & set(SCHEMAS):
        try:
            SCHEMAS[key].validate(json.loads(have[key]))
        except (ValueError, jsonschema.ValidationError) as error:
            faults.append(f"{name}: {key}: {str(error).splitlines()[0]}")
    return faults


def faults_of_event(name: str, attributes: Mapping[str, Any]) -> list[str]:
    """Return how an event of the conventions breaks them."""
    if name not in CHECKER["events"]:
        return [f"unknown event {name}"]
    shape = CHECKER["events"][name]["attributes"]
    required = {key for key, facts in shape.items() if facts["level"] == "required"}
    return [
        *(f"{name}: {key} is missing" for key in required - set(attributes)),
        *_unknown(name, attributes, set(shape)),
        *_mistyped(name, attributes),
    ]


def faults_of_metric(metric: Any) -> list[str]:
    """Return how a metric, as OTLP carries it, breaks the conventions."""
    shape = CHECKER["metrics"].get(metric.name)
    if shape is None:
        return [f"unknown metric {metric.name}"]
    is_histogram = metric.HasField("histogram")
    points = metric.histogram.data_points if is_histogram else metric.sum.data_points
    faults = [f"{metric.name}: unit {metric.unit}"] if metric.unit != shape["unit"] else []
    if is_histogram != (shape["instrument"] == "histogram"):
        faults.append(f"{metric.name}: is a {shape['instrument']}")
    required = {name for name, facts in shape["attributes"].items() if facts["level"] == "required"}
    for point in points:
        names = {pair.key for pair in point.attributes}
        faults += [f"{metric.name}: {name} is missing" for name in required - names]
        faults += [f"{metric.name}: unknown {name}" for name in names - set(shape["attributes"])]
        if is_histogram and list(point.explicit_bounds) != shape["explicit_bucket_boundaries"]:
            faults.append(f"{metric.name}: buckets {list(point.explicit_bounds)}")
    return faults

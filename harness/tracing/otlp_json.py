"""Spans as OTLP JSON: one `{"resourceSpans": […]}` object per line.

Source: OTLP specification 1.x, "JSON Protobuf Encoding", and the file exporter's format ("JSON
lines"). Ids are lower-case hex, enums are integers, 64-bit integers are strings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace.status import StatusCode

from harness.tracing.content import encode

Json = dict[str, Any]

_HAS_IS_REMOTE = 0x100
"""`SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`: all parents are known to be local."""


def encode_line(spans: Sequence[ReadableSpan]) -> bytes:
    """Return one line, its newline included, that holds `spans` grouped by resource and scope."""
    groups: dict[tuple[int, InstrumentationScope | None], list[ReadableSpan]] = {}
    for span in spans:
        groups.setdefault((id(span.resource), span.instrumentation_scope), []).append(span)
    resource_spans = [
        _resource_spans(group[0].resource, scope, group) for (_, scope), group in groups.items()
    ]
    return encode({"resourceSpans": resource_spans}) + b"\n"


def _resource_spans(
    resource: Resource, scope: InstrumentationScope | None, spans: Sequence[ReadableSpan]
) -> Json:
    scope_spans: Json = {"spans": [_span(span) for span in spans]}
    if scope:
        scope_spans["scope"] = {"name": scope.name, "version": scope.version or ""}
        scope_spans["schemaUrl"] = scope.schema_url or ""
    encoded: Json = {
        "resource": {"attributes": attributes_json(resource.attributes)},
        "scopeSpans": [scope_spans],
    }
    if resource.schema_url:
        encoded["schemaUrl"] = resource.schema_url
    return encoded


def _span(span: ReadableSpan) -> Json:
    context = span.context
    assert context is not None
    encoded: Json = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": attributes_json(span.attributes),
        "status": _status(span),
        "flags": _HAS_IS_REMOTE,
    }
    if span.parent:
        encoded["parentSpanId"] = f"{span.parent.span_id:016x}"
    if span.events:
        encoded["events"] = [
            {
                "timeUnixNano": str(event.timestamp),
                "name": event.name,
                "attributes": attributes_json(event.attributes),
            }
            for event in span.events
        ]
    return encoded


def _status(span: ReadableSpan) -> Json:
    if span.status.status_code is StatusCode.UNSET:
        return {}
    encoded: Json = {"code": span.status.status_code.value}
    if span.status.description:
        encoded["message"] = span.status.description
    return encoded


def attributes_json(attributes: Mapping[str, Any] | None) -> list[Json]:
    """Return attributes as OTLP lists them."""
    return [{"key": key, "value": _value(value)} for key, value in (attributes or {}).items()]


def _value(value: Any) -> Json:
    match value:
        case str():
            return {"stringValue": value}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value if math.isfinite(value) else _special(value)}
        case None:
            return {}
        case Mapping():
            return {"kvlistValue": {"values": attributes_json(cast("Mapping[str, Any]", value))}}
        case _:
            return {"arrayValue": {"values": [_value(element) for element in value]}}


def _special(value: float) -> str:
    """Return what the protobuf JSON mapping writes for a number that JSON has no word for."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

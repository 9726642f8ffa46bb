"""Events of the conventions as OTLP log records, each belonging to a span that has long ended.

Source: OTLP specification 1.x; what is an event is a log record with a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from harness.tracing import semconv
from harness.tracing.content import encode
from harness.tracing.otlp_json import attributes_json

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def log_record(
    event: str, attributes: Mapping[str, Any], at: int, *, span: SpanContext, version: str, resource: Resource
) -> ReadableLogRecord:
    """Return an event of a span.

    Args:
        at: Nanoseconds since 1970.
        span: Whose event it is; one without ids if that is not known.
        version: Of the harness that says it.
    """
    record = LogRecord(
        timestamp=at,
        observed_timestamp=at,
        context=set_span_in_context(NonRecordingSpan(span)),
        severity_number=SeverityNumber.INFO,
        attributes=attributes,
        event_name=event,
    )
    scope = InstrumentationScope(semconv.SCOPE, version, semconv.SCHEMA_URL)
    return ReadableLogRecord(record, resource, scope)


def span_named(trace_id: str, span_id: str) -> SpanContext:
    """Return the span with these ids, in hex; one without ids where one of them is none."""
    try:
        return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=_SAMPLED)
    except ValueError:
        return SpanContext(0, 0, is_remote=True)


def encode_log_line(records: Sequence[ReadableLogRecord]) -> bytes:
    """Return one line of OTLP JSON, its newline included, that holds records of one resource and scope."""
    first = records[0]
    scope = first.instrumentation_scope
    logs: dict[str, Any] = {"logRecords": [_record(one.log_record) for one in records]}
    if scope:
        logs |= {
            "scope": {"name": scope.name, "version": scope.version or ""},
            "schemaUrl": scope.schema_url or "",
        }
    whole = {"resource": {"attributes": attributes_json(first.resource.attributes)}, "scopeLogs": [logs]}
    return encode({"resourceLogs": [whole]}) + b"\n"


def _record(record: LogRecord) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "timeUnixNano": str(record.timestamp),
        "observedTimeUnixNano": str(record.observed_timestamp),
        "severityNumber": SeverityNumber.INFO.value,
        "eventName": record.event_name,
        "attributes": attributes_json(record.attributes),
    }
    if record.trace_id and record.span_id:
        encoded |= {
            "traceId": f"{record.trace_id:032x}",
            "spanId": f"{record.span_id:016x}",
            "flags": int(_SAMPLED),
        }
    return encoded

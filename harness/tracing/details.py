"""Content beside spans: the event `gen_ai.client.inference.operation.details` of every model call.

Source: `events.yaml` of the GenAI conventions. The event has the attributes of the call's span; what was
said is structured there and JSON text on spans. Tools and agents have no such event, so where content is
in events only, their arguments and results are nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan

from harness.tracing import semconv
from harness.tracing.content import ContentPlace
from harness.tracing.log_records import log_record


def details_of(spans: Sequence[ReadableSpan], place: ContentPlace) -> list[ReadableLogRecord]:
    """Return the events of the model calls among `spans`; none where content is in spans only."""
    if place == "spans":
        return []
    return [
        _details(span)
        for span in spans
        if span.attributes and span.attributes.get(semconv.OPERATION_NAME) == semconv.CHAT.operation
    ]


def spans_as_shown(spans: Sequence[ReadableSpan], place: ContentPlace) -> Sequence[ReadableSpan]:
    """Return the spans as they go out: without what was said where that is in events only."""
    return [_without_content(span) for span in spans] if place == "events" else spans


def _details(span: ReadableSpan) -> ReadableLogRecord:
    told: dict[str, Any] = {
        name: orjson.loads(str(value)) if name in semconv.CONTENT else value
        for name, value in (span.attributes or {}).items()
        if not name.startswith("harness.")
    }
    context, scope = span.context, span.instrumentation_scope
    assert context is not None
    return log_record(
        semconv.EVENT_DETAILS,
        told,
        span.end_time or 0,
        span=context,
        version=(scope.version if scope else "") or "",
        resource=span.resource,
    )


def _without_content(span: ReadableSpan) -> ReadableSpan:
    said: Mapping[str, Any] = span.attributes or {}
    if semconv.CONTENT.isdisjoint(said):
        return span
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: value for name, value in said.items() if name not in semconv.CONTENT},
        events=span.events,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )

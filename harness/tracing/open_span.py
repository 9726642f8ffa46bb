"""A span under way, and what it takes to end one.

Spans are built as finished `ReadableSpan`s, not recorded through a tracer: that costs a third, and
their ids and times come from the journal and not from chance and the clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from harness.trace_ids import caller_ids, span_id, trace_id
from harness.tracing import semconv
from harness.tracing.semconv import SpanType

Attributes = dict[str, AttributeValue]

_UNSET = Status(StatusCode.UNSET)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class OpenSpan:
    """What is known of a span before it ends; `attributes` may be added to until then."""

    __slots__ = (
        "attempt",
        "attributes",
        "call_attempt",
        "context",
        "events",
        "key",
        "kind",
        "name",
        "parent",
        "place",
        "start",
    )

    def __init__(self, name: str, kind: SpanKind, place: str, start: int, attributes: Attributes) -> None:
        self.name = name
        self.kind = kind
        self.place = place
        self.start = start
        """Nanoseconds since 1970."""
        self.attributes = attributes
        self.events: list[SpanEvent] = []
        self.attempt = 1
        self.key = ""
        """Key of the tool call, if it is one."""
        self.call_attempt = 1
        """Which attempt at the tool call it is, as its journal counts them."""
        self.context: SpanContext
        self.parent: SpanContext | None

    def note(self, name: str, at: int, attributes: Mapping[str, AttributeValue]) -> None:
        """Add a span event."""
        self.events.append(SpanEvent(name, attributes, at))


class SpanMaker:
    """Opens and closes the spans of one run.

    Args:
        caller: W3C trace context of whoever asked for the run; its spans then belong to that trace.
    """

    def __init__(self, run_id: str, version: str, resource: Resource, *, caller: str = "") -> None:
        self.run_id = run_id
        ids = caller_ids(caller)
        self._caller = SpanContext(*ids, is_remote=True, trace_flags=_SAMPLED) if ids else None
        self._trace = trace_id(run_id, caller)
        self._resource = resource
        self._scope = InstrumentationScope(semconv.SCOPE, version, semconv.SCHEMA_URL)

    def open(
        self,
        span_type: SpanType,
        place: str,
        start: int,
        attributes: Attributes,
        parent: OpenSpan | None,
        attempt: int = 1,
    ) -> OpenSpan:
        """Begin a span; its name ends with the attribute that its type says."""
        target = attributes.get(span_type.target)
        name = f"{span_type.operation} {target}" if target else span_type.operation
        attributes[semconv.OPERATION_NAME] = span_type.operation
        attributes[semconv.CONVERSATION_ID] = attributes[semconv.RUN_ID] = self.run_id
        span = OpenSpan(name, span_type.kind, place, start, attributes)
        span.parent = parent.context if parent else self._caller
        self._begin(span, attempt)
        return span

    def reopen(self, span: OpenSpan, start: int) -> None:
        """Begin a span anew that was closed before its thing had ended."""
        span.start = start
        span.events = []
        span.attributes = dict(span.attributes)
        span.attributes.pop(semconv.ERROR_TYPE, None)
        self._begin(span, span.attempt + 1)

    def rename(self, span: OpenSpan, identity: int) -> None:
        """Give an open span another id."""
        span.context = SpanContext(self._trace, identity, False, _SAMPLED)

    def close(self, span: OpenSpan, end: int, error_type: str = "", error: str = "") -> ReadableSpan:
        """Return the finished span; with `error_type` it is a failed one."""
        status = _UNSET
        if error_type:
            span.attributes[semconv.ERROR_TYPE] = error_type
            status = Status(StatusCode.ERROR, error or None)
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=self._resource,
            attributes=span.attributes,
            events=span.events,
            kind=span.kind,
            status=status,
            start_time=span.start,
            end_time=max(end, span.start),
            instrumentation_scope=self._scope,
        )

    def _begin(self, span: OpenSpan, attempt: int) -> None:
        span.attempt = attempt
        if attempt > 1:
            span.attributes[semconv.ATTEMPT] = attempt
        identity = span_id(self.run_id, span.place, attempt)
        span.context = SpanContext(self._trace, identity, False, _SAMPLED)

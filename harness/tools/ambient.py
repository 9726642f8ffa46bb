"""The trace context in which requests to servers are sent.

The MCP SDK writes whatever context is current into `_meta`, over what stands there; inside a program
that traces itself that would be its own span, and not that of the call.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import context as ambient
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from harness.trace_ids import caller_ids

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


@contextmanager
def within(traceparent: str) -> Generator[None]:
    """Make the span that `traceparent` names the current one; without a good one change nothing."""
    ids = caller_ids(traceparent)
    if ids is None:
        yield
        return
    span = NonRecordingSpan(SpanContext(*ids, is_remote=True, trace_flags=_SAMPLED))
    token = ambient.attach(set_span_in_context(span))
    try:
        yield
    finally:
        ambient.detach(token)

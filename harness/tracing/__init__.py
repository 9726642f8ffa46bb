"""The OpenTelemetry view of runs, computed from their events."""

from harness.trace_ids import traceparent
from harness.tracing.content import ContentCapture, content_capture
from harness.tracing.delivery import Delivered
from harness.tracing.evaluations import Evaluation, encode_evaluations
from harness.tracing.export import (
    SpanIds,
    Tracing,
    TracingSummary,
    export_run,
    open_log_sink,
    send_evaluations,
)
from harness.tracing.otlp_json import encode_line
from harness.tracing.spans import SpanProjector

__all__ = [
    "ContentCapture",
    "Delivered",
    "Evaluation",
    "SpanIds",
    "SpanProjector",
    "Tracing",
    "TracingSummary",
    "content_capture",
    "encode_evaluations",
    "encode_line",
    "export_run",
    "open_log_sink",
    "send_evaluations",
    "traceparent",
]

"""Where spans go: a file of OTLP JSON lines, or an OTLP/HTTP collector."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage]
    attach,
    set_value,
)
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from harness.errors import UsageError
from harness.tracing.content import ContentPlace
from harness.tracing.details import details_of, spans_as_shown
from harness.tracing.log_records import encode_log_line
from harness.tracing.otlp_json import encode_line

_EXPORTER_LOGGERS = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.common._internal",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)


class FileSink:
    """Appends to a file, one line of OTLP JSON per batch, and one of its events if it has any."""

    def __init__(self, path: Path, content: ContentPlace = "spans") -> None:
        """Open the file, making its directory if need be.

        Raises:
            UsageError: It cannot be written.
        """
        self.destination = str(path)
        self._content: ContentPlace = content
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
        except OSError as error:
            raise UsageError(f"the trace file {path} cannot be written: {error.strerror}") from error

    def send(self, spans: Sequence[ReadableSpan]) -> str:
        """Write what there is and hand it to the system."""
        self._file.write(encode_with_events(spans, self._content))
        self._file.flush()
        return ""

    def interrupt(self) -> None:
        """Do nothing: what a disk has begun it ends."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def encode_with_events(spans: Sequence[ReadableSpan], content: ContentPlace) -> bytes:
    """Return lines of OTLP JSON that hold spans, and what was said where `content` says."""
    events = details_of(spans, content)
    return encode_line(spans_as_shown(spans, content)) + (encode_log_line(events) if events else b"")


class _Collector:
    """One of the SDK's OTLP/HTTP exporters, which read their own variables.

    Importing one costs 90 ms and `requests`, and most runs have no collector.
    """

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self.destination: str = exporter._endpoint
        self._complaints = _Complaints()
        self._interrupted = False

    def interrupt(self) -> None:
        """End the exporter's retries and its connections."""
        self._interrupted = True
        self._exporter.shutdown()

    def close(self) -> str:
        """End the exporter."""
        if not self._interrupted:
            self._exporter.shutdown()
        self._complaints.forget()
        return ""

    def _post(self, what: Any) -> str:
        """Post one request, with the exporter's own retries; return why it failed, or nothing."""
        self._complaints.listen()
        if self._exporter.export(what).name == "SUCCESS":
            return ""
        return self._complaints.last or "the exporter gave up"


class CollectorSink(_Collector):
    """Posts spans to a collector."""

    def __init__(
        self,
        *,
        timeout_seconds: float | None = None,
        endpoint: str | None = None,
        content: ContentPlace = "spans",
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        super().__init__(OTLPSpanExporter(endpoint=endpoint, timeout=timeout_seconds))
        self._content: ContentPlace = content

    def send(self, spans: Sequence[ReadableSpan]) -> str:
        """Post one request."""
        return self._post(spans_as_shown(spans, self._content))


class LogSink(_Collector):
    """Posts log records to a collector."""

    def __init__(self, *, timeout_seconds: float | None = None, endpoint: str | None = None) -> None:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

        super().__init__(OTLPLogExporter(endpoint=endpoint, timeout=timeout_seconds))

    def send(self, records: Sequence[ReadableLogRecord]) -> str:
        """Post one request; return why it failed, or nothing."""
        return self._post(records)


class EventsSink(_Collector):
    """Posts what was said in model calls to a collector, as events of their spans."""

    carries = "events"

    def __init__(self, *, endpoint: str | None = None) -> None:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

        super().__init__(OTLPLogExporter(endpoint=endpoint))

    def send(self, spans: Sequence[ReadableSpan]) -> str:
        """Post the events of the model calls among the spans."""
        events = details_of(spans, "events")
        return self._post(events) if events else ""


class MetricsSink(_Collector):
    """Adds up what spans measure, and posts the sums every so often and at the end."""

    carries = "metrics"

    def __init__(self, resource: Resource, *, every_seconds: float, timeout_seconds: float | None) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        from harness.tracing.metrics import Metrics

        super().__init__(OTLPMetricExporter(timeout=timeout_seconds))
        self._metrics = Metrics()
        self._resource = resource
        self._every = every_seconds
        self._next = time.monotonic() + every_seconds

    def send(self, spans: Sequence[ReadableSpan]) -> str:
        """Add up, and post if it is time."""
        self._metrics.add(spans)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            self._post(self._metrics.read(self._resource))  # What fails now goes along with the next.
        return ""

    def close(self) -> str:
        """Post the last sums and end the exporter; return why it failed, or nothing."""
        error = "" if self._interrupted else self._post(self._metrics.read(self._resource))
        super().close()
        return error


class _Complaints(logging.Filter):
    """Keeps what the exporter logs in our thread out of the user's log, and remembers the last of it.

    The loggers are shared with whatever else in the process uses OpenTelemetry, so their levels and
    the records of other threads are left alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        self._thread = 0

    def listen(self) -> None:
        """Begin, in the thread that calls this."""
        if not self._thread:
            self._thread = threading.get_ident()
            attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
            for name in _EXPORTER_LOGGERS:
                logging.getLogger(name).addFilter(self)

    def forget(self) -> None:
        """End."""
        for name in _EXPORTER_LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record of any other thread pass."""
        if record.thread != self._thread:
            return True
        self.last = record.getMessage()
        return False

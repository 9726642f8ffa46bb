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
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from harness.errors import UsageError
from harness.tracing.otlp_json import encode_line

_EXPORTER_LOGGERS = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.common._internal",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)


class FileSink:
    """Appends to a file, one line of OTLP JSON per batch."""

    def __init__(self, path: Path) -> None:
        """Open the file, making its directory if need be.

        Raises:
            UsageError: It cannot be written.
        """
        self.destination = str(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
        except OSError as error:
            raise UsageError(f"the trace file {path} cannot be written: {error.strerror}") from error

    def send(self, spans: Sequence[ReadableSpan]) -> str:
        """Write one line and hand it to the system."""
        self._file.write(encode_line(spans))
        self._file.flush()
        return ""

    def interrupt(self) -> None:
        """Do nothing: what a disk has begun it ends."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CollectorSink:
    """Posts to a collector through the OTLP/HTTP exporter, which reads its own variables."""

    def __init__(self, *, timeout_seconds: float | None = None, endpoint: str | None = None) -> None:
        # Costs 90 ms and `requests`, and most runs have no collector.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=timeout_seconds)
        self.destination = self._exporter._endpoint  # pyright: ignore[reportPrivateUsage]
        self._complaints = _Complaints()
        self._interrupted = False

    def send(self, spans: Sequence[ReadableSpan]) -> str:
        """Post one request, with the exporter's own retries."""
        self._complaints.listen()
        if self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return ""
        return self._complaints.last or "the exporter gave up"

    def interrupt(self) -> None:
        """End the exporter's retries and its connections."""
        self._interrupted = True
        self._exporter.shutdown()

    def close(self) -> None:
        """End the exporter."""
        if not self._interrupted:
            self._exporter.shutdown()
        self._complaints.forget()


class MetricsSink:
    """Adds up what spans measure, and posts the sums every so often and at the end."""

    measures = True

    def __init__(self, resource: Resource, *, every_seconds: float, timeout_seconds: float | None) -> None:
        # As dear as the exporter of spans; most runs have no collector.
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        from harness.tracing.metrics import Metrics

        self._exporter: Any = OTLPMetricExporter(timeout=timeout_seconds)
        self.destination = self._exporter._endpoint  # pyright: ignore[reportPrivateUsage]
        self._metrics = Metrics()
        self._resource = resource
        self._every = every_seconds
        self._next = time.monotonic() + every_seconds
        self._complaints = _Complaints()
        self._interrupted = False

    def send(self, spans: Sequence[ReadableSpan]) -> str:
        """Add up, and post if it is time."""
        self._metrics.add(spans)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            self._post()  # What fails now goes along with the next.
        return ""

    def interrupt(self) -> None:
        """End the exporter's retries and its connections."""
        self._interrupted = True
        self._exporter.shutdown()

    def close(self) -> str:
        """Post the last sums and end the exporter; return why it failed, or nothing."""
        error = "" if self._interrupted else self._post()
        if not self._interrupted:
            self._exporter.shutdown()
        self._complaints.forget()
        return error

    def _post(self) -> str:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        self._complaints.listen()
        if self._exporter.export(self._metrics.read(self._resource)) is MetricExportResult.SUCCESS:
            return ""
        return self._complaints.last or "the exporter gave up"


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

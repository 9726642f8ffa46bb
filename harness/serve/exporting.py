"""Where the spans of requests go: to the same places as those of runs, and nowhere unless asked for."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import Tracer

from harness.tracing import Tracing
from harness.version import version


@contextmanager
def request_tracer(trace: Path | None) -> Generator[Tracer | None]:
    """Yield what makes the spans of requests, or None if the environment and `trace` ask for no traces.

    No global provider is set: tool servers of the process would else be traced twice.

    Raises:
        UsageError: The file cannot be written.
    """
    tracing = Tracing.from_environment(trace)
    if tracing is None:
        yield None
        return
    provider = TracerProvider(resource=tracing.resource, shutdown_on_exit=False)
    provider.add_span_processor(_HandingOn(tracing))
    try:
        yield provider.get_tracer("harness.serve", version())
    finally:
        for problem in tracing.close().problems:
            warnings.warn(f"traces of requests: {problem}", RuntimeWarning, stacklevel=2)


class _HandingOn(SpanProcessor):
    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def on_end(self, span: ReadableSpan) -> None:
        self._tracing.take(span)

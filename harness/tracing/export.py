"""Traces of live and past runs, and the standard variables that say where they go.

    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT  a collector; without one of them nothing leaves the machine
    OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER=none        no collector whatever else is set
    OTEL_METRICS_EXPORTER=none, OTEL_METRIC_EXPORT_*    the same for metrics, and how often they are sent
    OTEL_LOGS_EXPORTER=none                             the same for events, which go as log records
    OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES         who is traced
    OTEL_BSP_*, OTEL_EXPORTER_OTLP_*                    queueing, headers, certificates, timeouts
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT  content of messages; off unless set

Source: OpenTelemetry specification, "Environment Variable Specification". No global tracer provider
is set: a program that embeds a run keeps its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan

from harness.errors import UsageError
from harness.events import Recorded, RunFinished, RunResumed
from harness.loop.state import effective
from harness.tracing import semconv
from harness.tracing.agent_spans import OnSpan
from harness.tracing.content import ContentCapture, content_capture, content_place
from harness.tracing.delivery import Batching, Delivered, Delivery, Sink
from harness.tracing.evaluations import Evaluation
from harness.tracing.sinks import CollectorSink, EventsSink, FileSink, LogSink, MetricsSink
from harness.tracing.spans import SpanProjector

FILE_BATCHING = Batching(queue_size=16_384, batch_size=512, delay_seconds=0.5)

Signal = Literal["TRACES", "METRICS", "LOGS"]

CLOSE_SECONDS = 2.0
"""How long the end of a program waits for its spans to arrive."""


@dataclass(frozen=True, slots=True)
class TracingSummary:
    """What became of the spans."""

    deliveries: tuple[Delivered, ...]
    faults: tuple[str, ...] = ()
    """Runs that could not be traced, and other things a user should know, once each."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What to tell the user; nothing if every span arrived."""
        lost = [delivery for delivery in self.deliveries if delivery.lost]
        # A collector that takes no spans takes nothing else either, which need not be said.
        said = [one for one in lost if one.carries == "spans"] or lost
        return (*self.faults, *map(str, said))


class Tracing:
    """Projects runs into spans and delivers them in the background.

    A listener of run logs: never raises, never waits. A run that cannot be projected goes on
    without a trace, and the summary says so.
    """

    def __init__(
        self,
        sinks: Mapping[Sink, Batching],
        *,
        content: ContentCapture = "off",
        resource: Resource | None = None,
        faults: Sequence[str] = (),
    ) -> None:
        self._deliveries = [Delivery(sink, batching) for sink, batching in sinks.items()]
        self._content: ContentCapture = content
        self._resource = resource or resource_from_environment()
        self._projectors: dict[str, SpanProjector] = {}
        self._faults = list(faults)
        self._untraceable: set[str] = set()

    @classmethod
    def from_environment(cls, trace_file: Path | None = None) -> Tracing | None:
        """Return what the variables and `trace_file` ask for, or None if they ask for nothing.

        Raises:
            UsageError: The file cannot be written.
        """
        sinks: dict[Sink, Batching] = {}
        faults: list[str] = []
        if trace_file:
            sinks[FileSink(trace_file, content_place(os.environ))] = FILE_BATCHING
        if content_place(os.environ) != "spans" and _wanted(os.environ, "LOGS"):
            try:
                sinks[EventsSink()] = _batching(os.environ)
            except Exception as error:
                faults.append(f"no events were exported to a collector: {error}")
        if _wanted(os.environ, "TRACES"):
            try:
                sinks[_collector(os.environ)] = _batching(os.environ)
            except Exception as error:
                faults.append(f"no spans were exported to a collector: {error}")
        resource = resource_from_environment()
        if _wanted(os.environ, "METRICS"):
            try:
                _check_protocol(os.environ, "METRICS")
                seconds = _number(os.environ, "OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1000
                timeout = _number(os.environ, "OTEL_METRIC_EXPORT_TIMEOUT", 0) / 1000 or None
                sink = MetricsSink(resource, every_seconds=seconds, timeout_seconds=timeout)
                sinks[sink] = replace(FILE_BATCHING, delay_seconds=min(5.0, seconds))
            except Exception as error:
                faults.append(f"no metrics were exported to a collector: {error}")
        if not sinks and not faults:
            return None
        return cls(sinks, content=content_capture(os.environ), resource=resource, faults=faults)

    def __call__(self, recorded: Recorded) -> None:
        """Take the next event of any run."""
        run_id = recorded.run_id
        if run_id not in self._untraceable:
            try:
                self._projector(run_id)(recorded)
            except Exception as error:
                self._give_up(run_id, error)
        if isinstance(recorded.event, RunFinished):
            self._projectors.pop(run_id, None)
            self._untraceable.discard(run_id)

    @property
    def resource(self) -> Resource:
        """Who is traced."""
        return self._resource

    def take(self, span: ReadableSpan) -> None:
        """Deliver a finished span of something else than a run."""
        self._put(span)

    def skip(self, run_id: str, earlier: Iterable[Recorded], *, ended: bool = False) -> None:
        """Take the events before a run's resumption; see `SpanProjector.skip`."""
        try:
            self._projector(run_id).skip(earlier, ended=ended)
        except Exception as error:
            self._give_up(run_id, error)

    def export(self, events: Iterable[Recorded]) -> None:
        """Deliver the spans of a past run, waiting for slow destinations rather than dropping."""
        export_run(events, self._put_when_there_is_room, content=self._content, resource=self._resource)

    def close(self, seconds: float = CLOSE_SECONDS) -> TracingSummary:
        """Deliver what is left, or give up after `seconds`, and say what became of it all."""
        deadline = time.monotonic() + seconds
        for delivery in self._deliveries:
            delivery.end()
        delivered = tuple(
            delivery.close(max(0.0, deadline - time.monotonic())) for delivery in self._deliveries
        )
        return TracingSummary(delivered, tuple(self._faults))

    def _projector(self, run_id: str) -> SpanProjector:
        projector = self._projectors.get(run_id)
        if projector is None:
            projector = SpanProjector(self._put, content=self._content, resource=self._resource)
            self._projectors[run_id] = projector
        return projector

    def _put(self, span: ReadableSpan) -> None:
        for delivery in self._deliveries:
            delivery.put(span)

    def _put_when_there_is_room(self, span: ReadableSpan) -> None:
        for delivery in self._deliveries:
            delivery.put_when_there_is_room(span)

    def _give_up(self, run_id: str, error: Exception) -> None:
        """Leave a run without a trace; a fault of ours here must not become one of the run."""
        self._projectors.pop(run_id, None)
        self._untraceable.add(run_id)
        self._faults.append(f"run {run_id} could not be traced further: {type(error).__name__}: {error}")


def export_run(
    events: Iterable[Recorded],
    on_span: OnSpan,
    *,
    content: ContentCapture = "off",
    resource: Resource | None = None,
) -> None:
    """Compute the spans of one past run; those of a run that was cut off are marked unfinished."""
    projector = SpanProjector(on_span, content=content, resource=resource)
    before: list[Recorded] = []
    for recorded in events:
        if isinstance(recorded.event, RunResumed):
            # What came of the stop was delivered and does not count any more: begin anew without it.
            ended = bool(before) and isinstance(before[-1].event, RunFinished)
            projector = SpanProjector(on_span, content=content, resource=resource)
            projector.skip(effective([*before, recorded]), ended=ended)
        else:
            projector(recorded)
        before.append(recorded)
    projector.finish()


class SpanIds:
    """Ids of the spans of one past run, as its export shows them, by the places that its record names.

    Computed when the first is asked for.
    """

    def __init__(self, events: Sequence[Recorded]) -> None:
        self._events = events

    def __call__(self, place: str) -> str:
        """Return the id, in hex, of the newest span at `agent PATH`, `chat PATH/turn-N/1` or `tool KEY`."""
        return self._ids.get(place, "")

    @cached_property
    def _ids(self) -> dict[str, str]:
        ids: dict[str, str] = {}

        def note(span: ReadableSpan) -> None:
            facts: Mapping[str, Any] = span.attributes or {}
            path = facts.get(semconv.AGENT_PATH, "")
            places = {
                "invoke_agent": f"agent {path}",
                "chat": f"chat {path}/turn-{facts.get(semconv.TURN)}/1",
                "execute_tool": f"tool {facts.get(semconv.CALL_KEY)}",
            }
            place = places.get(str(facts.get(semconv.OPERATION_NAME)))
            if place and span.context:
                ids[place] = f"{span.context.span_id:016x}"

        export_run(self._events, note)
        return ids


def open_log_sink() -> LogSink:
    """Return where the standard variables send log records.

    Raises:
        UsageError: They name no collector, or none that can be used.
    """
    if not _wanted(os.environ, "LOGS"):
        raise UsageError(
            "findings go to the collector that OTEL_EXPORTER_OTLP_ENDPOINT (or _LOGS_ENDPOINT) names;"
            " set it to, say, http://127.0.0.1:4318"
        )
    _check_protocol(os.environ, "LOGS")
    return LogSink()


def send_evaluations(evaluations: Sequence[Evaluation], sink: LogSink) -> str:
    """Post judgements, as made now, and close the sink; return why some did not arrive, or nothing."""
    resource, now = resource_from_environment(), time.time_ns()
    size = FILE_BATCHING.batch_size
    try:
        for start in range(0, len(evaluations), size):
            batch = evaluations[start : start + size]
            problem = sink.send([one.log_record(now, resource) for one in batch])
            if problem:
                lost = f"{len(evaluations) - start} of {len(evaluations)} findings"
                return f"{lost} did not reach {sink.destination}: {problem}"
    finally:
        sink.close()
    return ""


def resource_from_environment() -> Resource:
    """Return who is traced: this project unless the standard variables say otherwise."""
    named = Resource(
        {
            "service.name": semconv.SCOPE,
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": version("opentelemetry-sdk"),
        }
    )
    return named.merge(OTELResourceDetector().detect())


def _wanted(environment: Mapping[str, str], signal: Signal) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get(f"OTEL_{signal}_EXPORTER", "").strip() or "otlp"
    endpoint = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or environment.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    return bool(endpoint) and "otlp" in [name.strip().lower() for name in exporters.split(",")]


def _check_protocol(environment: Mapping[str, str], signal: Signal) -> None:
    protocol = (
        environment.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")
        or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    if protocol != "http/protobuf":
        raise UsageError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol} is not supported;"
            " set it to http/protobuf, and the endpoint to the collector's HTTP port (often 4318)"
        )


def _collector(environment: Mapping[str, str]) -> Sink:
    _check_protocol(environment, "TRACES")
    milliseconds = _number(environment, "OTEL_BSP_EXPORT_TIMEOUT", 0)
    return CollectorSink(timeout_seconds=milliseconds / 1000 or None, content=content_place(environment))


def _batching(environment: Mapping[str, str]) -> Batching:
    default = Batching()
    queue_size = _number(environment, "OTEL_BSP_MAX_QUEUE_SIZE", default.queue_size)
    batch_size = _number(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default.batch_size)
    delay = _number(environment, "OTEL_BSP_SCHEDULE_DELAY", int(default.delay_seconds * 1000))
    return Batching(queue_size, min(batch_size, queue_size), delay / 1000)


def _number(environment: Mapping[str, str], variable: str, default: int) -> int:
    """Return a positive number, or the default where there is none, as the specification asks."""
    try:
        number = int(environment.get(variable, ""))
    except ValueError:
        return default
    return number if number > 0 else default

"""The metrics of the GenAI and MCP conventions, computed from finished spans.

A span holds all that is measured, so metrics are a fold over spans as spans are one over events.
Aggregated here and not by the SDK's instruments, which cost several times as much a measurement.
Not measured: `mcp.client.session.duration` (sessions outlive runs) and `time_per_output_chunk` (pieces are
not recorded).

Exported to `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, or `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/metrics`,
every `OTEL_METRIC_EXPORT_INTERVAL` milliseconds and at the end, unless `OTEL_METRICS_EXPORTER` is `none`.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from harness.tracing import semconv
from harness.tracing.semconv import Instrument
from harness.version import version

Labels = tuple[tuple[str, Any], ...]


@dataclass
class _Series:
    """One instrument with one set of attributes."""

    instrument: Instrument
    labels: Labels
    count: int = 0
    total: float = 0
    least: float = float("inf")
    most: float = float("-inf")
    buckets: list[int] = field(default_factory=list[int])

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        if self.instrument.buckets:
            self.buckets = self.buckets or [0] * (len(self.instrument.buckets) + 1)
            self.buckets[bisect_left(self.instrument.buckets, value)] += 1
            self.least, self.most = min(self.least, value), max(self.most, value)

    def point(self, since: int, now: int) -> HistogramDataPoint | NumberDataPoint:
        labels = dict(self.labels)
        if not self.instrument.buckets:
            return NumberDataPoint(labels, since, now, int(self.total))
        return HistogramDataPoint(
            labels,
            since,
            now,
            self.count,
            self.total,
            list(self.buckets),
            list(self.instrument.buckets),
            self.least,
            self.most,
        )


class Metrics:
    """Adds up what finished spans measure."""

    def __init__(self) -> None:
        self._since = time.time_ns()
        self._series: dict[tuple[str, Labels], _Series] = {}

    def add(self, spans: Iterable[ReadableSpan]) -> None:
        """Take finished spans, each once."""
        for span in spans:
            facts: Mapping[str, Any] = span.attributes or {}
            seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
            match facts.get(semconv.OPERATION_NAME):
                case "chat":
                    self._chat(facts, seconds)
                case "execute_tool":
                    self._tool(facts, seconds)
                case "invoke_agent":
                    self._agent(facts, seconds)
                case "invoke_workflow":
                    labels = _labels(facts, semconv.WORKFLOW_NAME, semconv.ERROR_TYPE)
                    self._note(semconv.WORKFLOW_DURATION, labels, seconds)
                case _:
                    pass

    def read(self, resource: Resource) -> MetricsData:
        """Return all that has been added up since the beginning."""
        now = time.time_ns()
        points: dict[Instrument, list[Any]] = {}
        for series in self._series.values():
            points.setdefault(series.instrument, []).append(series.point(self._since, now))
        metrics = [
            Metric(instrument.name, instrument.description, instrument.unit, _data(instrument, found))
            for instrument, found in points.items()
        ]
        scope = InstrumentationScope(semconv.SCOPE, version(), semconv.SCHEMA_URL)
        scopes = [ScopeMetrics(scope, metrics, semconv.SCHEMA_URL)]
        return MetricsData([ResourceMetrics(resource, scopes, resource.schema_url)])

    def _chat(self, facts: Mapping[str, Any], seconds: float) -> None:
        served = (semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL, semconv.SERVER_ADDRESS, semconv.SERVER_PORT)
        plain = _labels(facts, semconv.OPERATION_NAME, semconv.PROVIDER_NAME, *served)
        labels = plain + _labels(facts, semconv.ERROR_TYPE)
        self._note(semconv.OPERATION_DURATION, labels, seconds)
        first = facts.get(semconv.TIME_TO_FIRST_CHUNK)
        if first is not None:
            self._note(semconv.FIRST_CHUNK, plain, first)
        for name, instrument in semconv.TOKENS_OF_OPERATION.items():
            if name in facts:
                self._note(instrument, labels, facts[name])
        counted = (*plain, (semconv.TOKEN_MODALITY, "text"))
        for name, instrument in semconv.TOKENS_USED.items():
            if name in facts:
                self._note(instrument, counted, facts[name])

    def _tool(self, facts: Mapping[str, Any], seconds: float) -> None:
        names = (semconv.TOOL_NAME, semconv.TOOL_TYPE, semconv.AGENT_NAME, semconv.ERROR_TYPE)
        self._note(semconv.TOOL_DURATION, _labels(facts, *names), seconds)
        if semconv.MCP_METHOD_NAME in facts:
            labels = _labels(
                facts,
                *(semconv.MCP_METHOD_NAME, semconv.OPERATION_NAME, semconv.TOOL_NAME),
                *(semconv.MCP_PROTOCOL_VERSION, semconv.NETWORK_TRANSPORT, semconv.NETWORK_PROTOCOL),
                *(semconv.SERVER_ADDRESS, semconv.SERVER_PORT, semconv.RPC_STATUS_CODE, semconv.ERROR_TYPE),
            )
            self._note(semconv.MCP_DURATION, labels, seconds)

    def _agent(self, facts: Mapping[str, Any], seconds: float) -> None:
        named = _labels(facts, semconv.AGENT_NAME)
        labels = named + _labels(facts, semconv.REQUEST_MODEL, semconv.ERROR_TYPE)
        self._note(semconv.AGENT_DURATION, labels, seconds)
        if semconv.AGENT_MODEL_CALLS in facts:
            self._note(semconv.AGENT_INFERENCES, named, facts[semconv.AGENT_MODEL_CALLS])
            self._note(semconv.AGENT_TOOLS, named, facts[semconv.AGENT_TOOL_CALLS])

    def _note(self, instrument: Instrument, labels: Labels, value: float) -> None:
        key = (instrument.name, labels)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(instrument, labels)
        series.add(value)


def _labels(facts: Mapping[str, Any], *names: str) -> Labels:
    return tuple((name, facts[name]) for name in names if name in facts)


def _data(instrument: Instrument, points: Sequence[Any]) -> Histogram | Sum:
    if instrument.buckets:
        return Histogram(points, AggregationTemporality.CUMULATIVE)
    return Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)

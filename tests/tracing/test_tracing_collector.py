import logging
import socket
import time
from collections.abc import Iterator

import pytest
from conventions import faults_of_metric
from opentelemetry import trace
from otlp_collector import Collector
from traced_runs import full_run, spans_of

from harness.tracing import Tracing, TracingSummary

SPANS = len(spans_of(full_run()))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch):
    for variable in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL", "HEADERS", "TIMEOUT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{variable}", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_METRICS_EXPORTER", raising=False)
    for variable in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def failing_collector() -> Iterator[Collector]:
    collector = Collector(status=500)
    yield collector
    collector.close()


@pytest.fixture
def hanging_url() -> Iterator[str]:
    """Return the address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def dead_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def trace_a_run(seconds: float = 10.0, runs: int = 1) -> tuple[TracingSummary, float, float]:
    """Return the summary, and the seconds that projecting and closing took."""
    tracing = Tracing.from_environment()
    assert tracing
    recorded = full_run()
    began = time.perf_counter()
    for _ in range(runs):
        for item in recorded:
            tracing(item)
    projected = time.perf_counter()
    summary = tracing.close(seconds)
    return summary, projected - began, time.perf_counter() - projected


def test_a_collector_gets_every_span(collector: Collector, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
    summary, _, _ = trace_a_run()

    assert collector.names == [span.name for span in spans_of(full_run())]
    assert collector.headers[0]["path"] == "/v1/traces"
    assert collector.headers[0]["x-key"] == "secret"
    assert summary.problems == ()


def test_the_endpoint_for_traces_is_taken_as_it_stands(collector: Collector, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/here")
    trace_a_run()

    assert collector.headers[0]["path"] == "/here"


def test_batches_follow_the_standard_variables(collector: Collector, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "nonsense")
    trace_a_run()
    sizes = [
        sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
        for request in collector.requests
    ]

    assert sum(sizes) == SPANS
    assert max(sizes) == 8


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")]
)
def test_tracing_can_be_switched_off(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv(variable, value)

    assert Tracing.from_environment() is None


def test_an_unsupported_protocol_is_named_and_harms_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    summary, _, _ = trace_a_run()

    assert summary.problems == (
        "no spans were exported to a collector: OTEL_EXPORTER_OTLP_PROTOCOL=grpc is not supported; set it"
        " to http/protobuf, and the endpoint to the collector's HTTP port (often 4318)",
    )


def test_no_global_tracer_provider_is_set(collector: Collector, monkeypatch: pytest.MonkeyPatch):
    before = trace.get_tracer_provider()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    trace_a_run()

    assert trace.get_tracer_provider() is before


def test_a_dead_collector_costs_a_bounded_end_and_one_sentence(
    dead_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", dead_url)
    summary, projecting, closing = trace_a_run(0.3)

    assert projecting < 1
    assert closing < 2
    assert len(summary.problems) == 1
    assert summary.problems[0].startswith(f"{SPANS} of {SPANS} spans did not reach {dead_url}/v1/traces: ")
    assert caplog.records == []


def test_a_hanging_collector_costs_a_bounded_end_and_one_sentence(
    hanging_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hanging_url)
    summary, projecting, closing = trace_a_run(0.3)

    assert projecting < 1
    assert closing < 2
    assert summary.problems == (
        f"{SPANS} of {SPANS} spans did not reach {hanging_url}/v1/traces:"
        " it did not answer within 0.3 seconds",
    )
    assert caplog.records == []


def test_a_failing_collector_costs_nothing_and_one_sentence(
    failing_collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", failing_collector.url)
    summary, _, closing = trace_a_run()

    assert closing < 2
    assert len(summary.problems) == 1
    assert "500" in summary.problems[0]
    assert caplog.records == []


def test_a_full_queue_drops_what_is_new_and_counts_it(hanging_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hanging_url)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    summary, projecting, _ = trace_a_run(0.2, runs=50)

    assert projecting < 2
    assert summary.deliveries[0].offered == 50 * SPANS
    assert summary.deliveries[0].lost == 50 * SPANS


def test_the_logs_of_other_users_of_the_exporter_are_left_alone(
    failing_collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", failing_collector.url)
    tracing = Tracing.from_environment()
    assert tracing
    for recorded in full_run():
        tracing(recorded)
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").warning("theirs")
    tracing.close()

    assert [record.getMessage() for record in caplog.records] == ["theirs"]


def test_a_collector_gets_the_metrics_of_the_conventions(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    trace_a_run()
    metrics = [
        metric
        for resource in collector.metrics[-1].resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    sums = {
        metric.name: sum(point.as_int for point in metric.sum.data_points)
        for metric in metrics
        if metric.HasField("sum")
    }
    counts = {
        metric.name: sum(point.count for point in metric.histogram.data_points)
        for metric in metrics
        if metric.HasField("histogram")
    }

    assert [fault for metric in metrics for fault in faults_of_metric(metric)] == []
    assert sums == {
        "gen_ai.client.inference.usage.input_tokens": 800,
        "gen_ai.client.inference.usage.output_tokens": 80,
        "gen_ai.client.inference.usage.cache_read.input_tokens": 320,
        "gen_ai.client.inference.usage.cache_write.input_tokens": 64,
        "gen_ai.client.inference.usage.reasoning.output_tokens": 40,
    }
    assert counts["gen_ai.client.operation.duration"] == 9
    assert counts["gen_ai.invoke_agent.duration"] == 4
    assert counts["mcp.client.operation.duration"] == 2
    assert counts["gen_ai.invoke_workflow.duration"] == 1


def test_metrics_go_where_spans_do_not(collector: Collector, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{collector.url}/v1/metrics")
    trace_a_run()

    assert len(collector.metrics) == 1
    assert collector.requests == []


def test_a_collector_that_hangs_over_metrics_costs_a_bounded_end_and_one_sentence(
    hanging_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{hanging_url}/v1/metrics")
    summary, projecting, closing = trace_a_run(0.3)

    assert projecting < 1
    assert closing < 2
    assert summary.problems == (
        f"metrics did not reach {hanging_url}/v1/metrics: it did not answer within 0.3 seconds",
    )


@pytest.mark.parametrize("status", [400, 429, 503])
def test_a_refusing_collector_costs_a_bounded_end_and_one_sentence(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    collector = Collector(status)
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        summary, projecting, closing = trace_a_run(0.5)
    finally:
        collector.close()

    assert projecting < 1
    assert closing < 2.5
    assert len(summary.problems) == 1
    assert summary.problems[0].startswith(f"{SPANS} of {SPANS} spans did not reach {collector.url}/v1/traces")
    assert caplog.records == []


def test_a_collector_that_answers_tls_with_garbage_costs_a_bounded_end_and_one_sentence(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.replace("http:", "https:"))
    summary, projecting, closing = trace_a_run(0.5)

    assert projecting < 1
    assert closing < 2.5
    assert len(summary.problems) == 1
    assert caplog.records == []

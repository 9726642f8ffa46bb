import base64
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from traced_runs import Script, full_run, spans_of

from harness.errors import UsageError
from harness.tracing import Tracing, encode_line, export_run

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@pytest.fixture(autouse=True)
def _no_collector(monkeypatch: pytest.MonkeyPatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def parse(line: str | bytes) -> TracesData:
    """Return a line as protobuf; OTLP writes ids in hex where protobuf's JSON has base64."""
    data = json.loads(line)
    for resource_spans in data["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                for name in {"traceId", "spanId", "parentSpanId"} & set(span):
                    span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(data, TracesData())


def spans_with(resource: Resource, content: Any = "new") -> list[ReadableSpan]:
    spans: list[ReadableSpan] = []
    export_run(full_run(), spans.append, content=content, resource=resource)
    return spans


@pytest.mark.parametrize("content", ["off", "new", "full"])
def test_a_line_of_json_is_what_the_official_encoder_makes(content: Any):
    spans = spans_with(Resource({"service.name": "test", "numbers": (1, 2.5, True)}), content)

    line = encode_line(spans)

    assert line.endswith(b"}\n")
    assert b"\n" not in line[:-1]
    assert list(parse(line).resource_spans) == list(encode_spans(spans).resource_spans)


def test_numbers_that_json_has_no_word_for_are_written_as_protobuf_does():
    endless = ReadableSpan(
        "x",
        spans_of(full_run())[0].context,
        attributes={"a": float("inf"), "b": float("nan"), "c": 2**62},
        start_time=1,
        end_time=2,
    )

    values = parse(encode_line([endless])).resource_spans[0].scope_spans[0].spans[0].attributes

    assert values[0].value.double_value == float("inf")
    assert values[1].value.double_value != values[1].value.double_value
    assert values[2].value.int_value == 2**62


def test_a_run_is_written_to_the_trace_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "my-service")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    path = tmp_path / "new" / "trace.jsonl"
    tracing = Tracing.from_environment(path)
    assert tracing
    for recorded in full_run():
        tracing(recorded)
    summary = tracing.close()

    parsed = [parse(line) for line in path.read_bytes().splitlines()]
    resource = {item.key: item.value.string_value for item in parsed[0].resource_spans[0].resource.attributes}
    names = [
        span.name
        for data in parsed
        for resource_spans in data.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]
    assert names == [span.name for span in spans_of(full_run())]
    assert resource["service.name"] == "my-service"
    assert resource["deployment.environment.name"] == "test"
    assert summary.problems == ()
    assert str(summary.deliveries[0]) == f"{len(names)} spans were delivered to {path}"


def test_a_past_run_of_any_size_is_written_whole(tmp_path: Path):
    script = Script()
    script.run()
    script.agent("lead", "lead", "task")
    for turn in range(1, 20_001):
        key = script.call("lead", turn, "corpus.search")
        script.returned(key, "corpus.search", "x")
    tracing = Tracing.from_environment(tmp_path / "trace.jsonl")
    assert tracing
    tracing.export(script.recorded)
    summary = tracing.close(30)

    assert summary.deliveries[0].delivered == 20_002


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="the trace file .*trace.jsonl cannot be written"):
        Tracing.from_environment(tmp_path / "file" / "trace.jsonl")


def test_without_file_and_variables_there_is_no_tracing():
    assert Tracing.from_environment() is None


def test_a_run_that_cannot_be_projected_is_left_out_and_named(tmp_path: Path):
    tracing = Tracing.from_environment(tmp_path / "trace.jsonl")
    assert tracing
    broken, whole = full_run()[1:], full_run()
    for recorded in broken:
        tracing(recorded)
    for recorded in whole:
        tracing(recorded)
    summary = tracing.close()

    assert summary.faults == (
        "run run-1 could not be traced further: ValueError: the first event of a run is run.started",
    )
    assert summary.deliveries[0].delivered == len(spans_of(whole))

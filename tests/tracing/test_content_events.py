"""What was said, as events of model calls beside their spans, where the standard switch wants it there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conventions import CHECKER, SCHEMAS, faults_of_event
from otlp_collector import Collector
from traced_runs import full_run, named, spans_of

from harness.events import AgentRunStarted
from harness.foreign import read_records
from harness.tracing import Tracing

SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    yield collector
    collector.close()


def plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    held = getattr(value, kind) if kind else None
    if kind == "array_value":
        return [plain(one) for one in held.values]
    return {one.key: plain(one.value) for one in held.values} if kind == "kvlist_value" else held


def trace_a_run(file: Path | None = None) -> None:
    tracing = Tracing.from_environment(file)
    assert tracing
    for recorded in full_run():
        tracing(recorded)
    assert tracing.close(10).problems == ()


@pytest.mark.parametrize("switch", ["EVENT_ONLY", "SPAN_AND_EVENT"])
def test_model_calls_have_events_with_what_was_said(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, switch: str
):
    monkeypatch.setenv(SWITCH, switch)
    trace_a_run()

    chats = {span.span_id: span for span in collector.spans if span.name.startswith("chat ")}
    assert {one.span_id for one in collector.records} == set(chats)
    for record in collector.records:
        told = {pair.key: plain(pair.value) for pair in record.attributes}
        for name in set(SCHEMAS) & set(told):
            SCHEMAS[name].validate(told.pop(name))
        listed = {name: tuple(one) if isinstance(one, list) else one for name, one in told.items()}
        assert (record.event_name, faults_of_event(record.event_name, listed)) == (
            "gen_ai.client.inference.operation.details",
            [],
        )
    assert b"CANARY-TASK" in b"".join(request.SerializeToString() for request in collector.logs)
    in_spans = b"CANARY-TASK" in b"".join(request.SerializeToString() for request in collector.requests)
    assert in_spans == (switch == "SPAN_AND_EVENT")


def test_without_the_switch_there_are_no_events(collector: Collector):
    trace_a_run()

    assert collector.records == []
    assert collector.spans


def test_a_trace_file_with_events_is_read_back_with_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(SWITCH, "EVENT_ONLY")
    trace_a_run(tmp_path / "trace.jsonl")
    spans = [line for line in (tmp_path / "trace.jsonl").read_text().splitlines() if "resourceSpans" in line]
    [record] = read_records(tmp_path / "trace.jsonl")

    assert "CANARY-TASK" not in "".join(spans)
    assert "CANARY-TASK" in str([entry.message for entry in record.agents["lead"].entries])


def test_what_a_request_asks_for_is_named_as_the_conventions_name_it():
    asked = {"n": 2, "top_k": 40, "output": "json", "max_tokens": 9}
    spans = spans_of(
        replace(item, event=replace(item.event, request=asked))
        if isinstance(item.event, AgentRunStarted)
        else item
        for item in full_run()
    )
    chat, agent = named(spans, "chat qwen3")[0].attributes, named(spans, "invoke_agent lead")[0].attributes

    assert chat
    assert agent
    assert (chat["gen_ai.request.choice.count"], chat["gen_ai.output.type"]) == (2, "json")
    assert chat["gen_ai.request.top_k"] == 40
    assert agent["gen_ai.request.choice.count"] == 2
    assert "gen_ai.request.top_k" not in agent
    assert set(CHECKER["spans"]["gen_ai.invoke_agent.internal"]["attributes"]) >= {
        name for name in agent if name.startswith("gen_ai.request.")
    }

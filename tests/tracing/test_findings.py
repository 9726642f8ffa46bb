"""What the doctor finds goes where spans go: as `gen_ai.evaluation.result` of the span it is about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conventions import faults_of_event
from otlp_collector import Collector

TEXT = "The reactor was started in 1974 at the site of Lindholm-7 by order 88-113. " * 40
READ = {"calls": [{"tool": "corpus.read", "arguments": {"path": "a.md"}}]}
TEAM = {
    "harness": 1,
    "name": "forgetful",
    "entry": "lead",
    "models": {"default": {"api": "scripted", "script": [READ, READ, READ, {"say": "Done."}]}},
    "mcpServers": {"corpus": {"module": "toolservers.corpus", "args": {"root": "docs"}}},
    "agents": {"lead": {"instructions": "Lead.", "tools": ["corpus.read"]}},
}


def harness(
    folder: Path, *arguments: str, code: int = 0, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        env={**environment, "HARNESS_STORE": str(folder / "runs"), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(TEXT)
    (tmp_path / "team.yaml").write_text(json.dumps(TEAM))
    harness(tmp_path, "run", str(tmp_path / "team.yaml"), "Read it.")
    return tmp_path


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


def lines(written: str, kind: str) -> list[dict[str, Any]]:
    return [document for line in written.splitlines() if kind in (document := json.loads(line))]


def test_findings_are_sent_as_evaluations_of_the_spans_they_are_about(folder: Path, collector: Collector):
    found = json.loads(harness(folder, "diagnose", "last", "--json").stdout)["findings"]
    done = harness(folder, "diagnose", "last", "--export", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    harness(folder, "trace", "export", "last", "--endpoint", collector.url)

    assert found
    assert len(collector.records) == len(found)
    assert f"sent {len(found)} finding" in done.stderr
    spans = {span.span_id: span for span in collector.spans}
    for record, finding in zip(collector.records, found, strict=True):
        told = plain(record.attributes)
        assert (record.event_name, faults_of_event(record.event_name, told)) == (
            "gen_ai.evaluation.result",
            [],
        )
        assert told["gen_ai.evaluation.name"] == finding["detector"]
        assert told["gen_ai.evaluation.score.label"] == finding["severity"]
        assert told["gen_ai.evaluation.explanation"] == finding["what"]
        assert spans[record.span_id].trace_id == record.trace_id
        assert record.span_id.hex() == finding["where"]["spans"][0]
        assert set(finding["where"]["spans"]) <= {span.hex() for span in spans}
    repeated = next(one for one in found if one["where"]["calls"])
    about = spans[bytes.fromhex(repeated["where"]["spans"][0])]
    assert about.name == "execute_tool corpus.read"
    assert TEXT[:80] not in str(collector.records)


def test_findings_stand_in_the_exported_file_which_is_always_the_same(folder: Path, collector: Collector):
    first = harness(folder, "trace", "export", "last", "--findings").stdout
    again = harness(
        folder, "trace", "export", "last", "--findings", "-o", str(folder / "out.jsonl"), "--json"
    )
    harness(folder, "trace", "export", "last", "--findings", "--endpoint", collector.url)

    [logs] = lines(first, "resourceLogs")
    records = logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    ids = {
        span["spanId"]
        for line in lines(first, "resourceSpans")
        for span in line["resourceSpans"][0]["scopeSpans"][0]["spans"]
    }
    assert {record["spanId"] for record in records} <= ids
    assert json.loads(again.stdout)["findings"] == len(records) == len(collector.records) > 0
    assert (folder / "out.jsonl").read_text() == first
    read_back = harness(folder, "diagnose", str(folder / "out.jsonl"), "--json").stdout
    assert json.loads(read_back)["run_id"]


def test_findings_about_a_foreign_trace_name_its_own_spans(folder: Path, collector: Collector):
    harness(folder, "trace", "export", "last", "--content", "full", "-o", str(folder / "theirs.jsonl"))
    file = str(folder / "theirs.jsonl")
    harness(folder, "diagnose", file, "--export", OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{collector.url}/v1/logs")
    harness(folder, "trace", "export", "last", "--endpoint", collector.url)

    assert collector.records
    assert {(one.trace_id, one.span_id) for one in collector.records} <= {
        (span.trace_id, span.span_id) for span in collector.spans
    }


def test_findings_that_cannot_be_sent_are_one_sentence(folder: Path):
    nowhere = harness(folder, "diagnose", "last", "--export", code=2)
    dead = harness(
        folder,
        *("diagnose", "last", "--export"),
        code=3,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )
    proto = harness(folder, "trace", "export", "last", "--findings", "--format", "otlp-proto", code=2)

    assert nowhere.stdout == ""
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in nowhere.stderr
    assert "did not reach http://127.0.0.1:9/v1/logs: " in dead.stderr
    assert dead.stderr.count("\n") == 1
    assert "--findings needs --format otlp-json" in proto.stderr

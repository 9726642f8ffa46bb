"""`harness trace export`: the trace of a past run, to a file, to standard output or to a collector."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TEAM = {
    "harness": 1,
    "name": "small",
    "entry": "lead",
    "models": {"default": {"api": "scripted", "script": [{"say": "Done."}]}},
    "agents": {"lead": {"instructions": "Lead."}},
}


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        env={**environment, "HARNESS_STORE": str(folder / "runs")},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr.decode()
    return done


def spans(written: bytes) -> list[dict[str, Any]]:
    found = [
        span
        for line in written.splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    return sorted(found, key=lambda span: span["spanId"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "team.yaml").write_text(json.dumps(TEAM))
    run(tmp_path, "run", str(tmp_path / "team.yaml"), "Go.", "--trace", str(tmp_path / "live.jsonl"))
    return tmp_path


def test_a_past_run_is_exported_as_it_was_traced_and_always_the_same(folder: Path):
    printed = run(folder, "trace", "export", "last").stdout
    done = run(folder, "trace", "export", "last", "-o", str(folder / "out.jsonl"), "--json")
    summary = json.loads(done.stdout)

    assert (folder / "out.jsonl").read_bytes() == printed
    assert spans(printed) == spans((folder / "live.jsonl").read_bytes())
    assert summary["spans"] == 3
    assert summary["trace_id"] == spans(printed)[0]["traceId"]


def test_content_is_written_where_it_is_asked_for(folder: Path):
    assert b"gen_ai.output.messages" not in run(folder, "trace", "export").stdout
    assert b"gen_ai.output.messages" in run(folder, "trace", "export", "--content", "new").stdout


def test_a_collector_that_is_not_there_is_one_sentence_and_exit_code_3(folder: Path):
    done = run(folder, "trace", "export", "last", "--endpoint", "http://127.0.0.1:9", code=3)

    assert done.stderr.decode().startswith("error: 3 of 3 spans did not reach http://127.0.0.1:9/v1/traces: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("last", "--format", "xml"), "there is no format xml; there are: otlp-json, otlp-proto"),
        (("last", "--content", "some"), "--content is off, new or full, not some"),
        (("last", "--endpoint", "nowhere"), "'nowhere' is no address of a collector"),
        (("last", "-o", "/no/such/place"), "/no/such/place cannot be written"),
        (("nothing",), "nothing"),
        (("last", "--json"), "--json needs -o FILE or --endpoint URL"),
    ],
)
def test_what_cannot_be_is_said(folder: Path, arguments: tuple[str, ...], message: str):
    assert message in run(folder, "trace", "export", *arguments, code=2).stderr.decode()

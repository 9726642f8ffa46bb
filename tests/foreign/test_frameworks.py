"""Traces that other frameworks exported: a lead asks a researcher, who looks two things up.

The files were made by `make_traces.py`. The frameworks are driven anew where `HARNESS_FOREIGN_PYTHONS` names
their interpreters, as in `pydantic-ai=/path/to/python,langgraph=/path/to/python`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.diagnosis import examine
from harness.foreign import read_records
from harness.record import RunRecord

HERE = Path(__file__).parent
TRACES = {
    "pydantic-ai": "pydantic-ai.jsonl",
    "openai-agents": "openai-agents.pb",
    "langgraph": "langgraph.jsonl",
    "traceloop": "traceloop.jsonl",
    "smolagents": "smolagents.jsonl",
}
PYTHONS = dict(
    pair.partition("=")[::2] for pair in os.environ.get("HARNESS_FOREIGN_PYTHONS", "").split(",") if pair
)


def check(record: RunRecord, name: str) -> None:
    """Agents, tools, messages and tokens are where they belong."""
    rewrites_replies = name == "smolagents"
    """It sends its own words for what the model replied, and ends by a tool."""
    assert list(record.agents) == ["lead", "lead/researcher"]
    lead, researcher = record.agents.values()
    assert (researcher.parent, researcher.parent_call) == ("lead", "lead/turn-1/0")
    assert record.calls["lead/turn-1/0"].children == ["lead/researcher"]
    calls = [(call.tool, call.result) for call in researcher.calls()][:2]
    assert calls == [("lookup", "The tower is 324 m high."), ("lookup", "It was built by Atelier-71.")]
    assert [call.tool for call in lead.calls()][:1] == ["ask_researcher"]
    assert all(call.span for call in record.calls.values())
    assert [len(agent.turns) for agent in (lead, researcher)] == [2, 3]
    assert all(turn.reported and turn.output == 20 for turn in record.turns())
    if rewrites_replies:
        return
    assert [entry.origin for entry in lead.entries] == [
        "system",
        "task",
        "assistant",
        "report:lead/researcher",
        "assistant",
    ]
    origins = ["system", "brief", "assistant", "tool:lookup", "assistant", "tool:lookup", "assistant"]
    assert [entry.origin for entry in researcher.entries] == origins
    assert "How high is the tower" in record.task
    assert record.answer == "The tower is 324 m high; Atelier-71 built it."
    assert not record.lacks("content", "results", "windows", "usage", "times", "agents", "outcome")


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_of_another_framework_becomes_a_record_and_is_diagnosed(name: str):
    (record,) = read_records(HERE / "traces" / TRACES[name])

    check(record, name)
    diagnosis = examine(record)
    assert {lack.detector for lack in diagnosis.not_measurable}.isdisjoint({"duplicate-read", "loop"})


@pytest.mark.slow
@pytest.mark.parametrize("name", TRACES)
def test_the_framework_as_it_is_installed_exports_such_a_trace(name: str, tmp_path: Path):
    python = PYTHONS.get(name)
    if not python:
        pytest.skip(f"HARNESS_FOREIGN_PYTHONS names no interpreter with {name}")
    path = tmp_path / TRACES[name]
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.lower().endswith("_proxy") and key != "PYTHONPATH"
    }
    environment |= {"TRACELOOP_TELEMETRY": "false", "ANONYMIZED_TELEMETRY": "false", "OPENAI_API_KEY": "none"}

    subprocess.run([python, HERE / "make_traces.py", name, path], env=environment, check=True, timeout=100)

    (record,) = read_records(path)
    check(record, name)

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TraceError
from harness.foreign import inspect_log, read_records
from harness.record import keep_ledger

TRACES = Path(__file__).parent / "traces"


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


# --- OpenAI messages ---


def test_tau_bench_results_are_runs_with_outcome_and_reference():
    records = list(read_records(TRACES / "tau-bench" / "gpt-4o-airline.sample12.json"))

    assert [record.outcome for record in records] == ["done"] * 6 + ["failed"] * 6
    assert all(not record.lacks("content", "results", "windows", "outcome", "agents") for record in records)
    assert all(record.lacks("usage", "times", "cost") for record in records)
    assert any(name == "cancel_reservation" for record in records for name, _ in record.reference or ())
    for record in records:
        (agent,) = record.agents.values()
        assert agent.entries[0].origin == "system"
        assert all(call.result is not None for call in record.calls.values() if call.turn < len(agent.turns))
        ledger = keep_ledger(record)
        assert ledger.residual == 0


def test_a_list_of_messages_and_lines_of_them_are_runs(tmp_path: Path):
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"k": 1}'}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How high?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "324 m"},
        {"role": "assistant", "content": "324 m high."},
        {"role": "user", "content": "Thanks."},
    ]
    tools = [{"type": "function", "function": {"name": "look", "description": "Looks."}}]
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(json.dumps({"messages": messages, "tools": tools}) for _ in range(3)))

    (record,) = read_records(write(tmp_path / "plain.json", messages))
    several = list(read_records(lines))

    agent = record.agents["agent"]
    assert [entry.origin for entry in agent.entries] == [
        "system",
        "task",
        "assistant",
        "tool:look",
        "assistant",
        "user",
    ]
    assert [turn.entries for turn in agent.turns] == [2, 4]
    assert record.calls["agent/turn-1/0"].entry is agent.entries[3]
    assert len({record.id for record in several}) == 3
    assert [tool.name for tool in several[0].agents["agent"].tools or ()] == ["look"]


# --- ATIF ---


def step(number: int, source: str, message: str, **more: Any) -> dict[str, Any]:
    return {"step_id": number, "source": source, "message": message, **more}


def test_an_atif_trajectory_is_a_run_with_tokens_results_and_sub_agents(tmp_path: Path):
    call = {"tool_call_id": "c1", "function_name": "ask", "arguments": {"what": "height"}}
    result = {"source_call_id": "c1", "content": "324 m", "subagent_trajectory_ref": [{"session_id": "sub"}]}
    metrics = {"prompt_tokens": 50, "completion_tokens": 9, "cached_tokens": 30, "cost_usd": 0.01}
    trajectory = {
        "schema_version": "ATIF-v1.2",
        "session_id": "s1",
        "agent": {"name": "lead", "version": "1", "model_name": "m"},
        "steps": [
            step(1, "system", "Be brief."),
            step(2, "user", "How high?"),
            step(
                3,
                "agent",
                "I ask.",
                reasoning_content="Hm.",
                tool_calls=[call],
                observation={"results": [result]},
                metrics=metrics,
                timestamp="2026-01-02T03:04:05Z",
            ),
            step(4, "agent", "324 m high.", metrics={**metrics, "prompt_tokens": 70}),
        ],
        "subagent_trajectories": [
            {
                "schema_version": "ATIF-v1.2",
                "session_id": "sub",
                "agent": {"name": "scout"},
                "steps": [step(1, "user", "height"), step(2, "agent", "324 m")],
            }
        ],
    }

    (record,) = read_records(write(tmp_path / "trajectory.json", trajectory))

    lead, scout = record.agents.values()
    assert (record.id, record.source, record.task, record.answer) == (
        "s1",
        "ATIF-v1.2",
        "How high?",
        "324 m high.",
    )
    assert [(turn.reported, turn.cached, turn.cost) for turn in lead.turns] == [
        (50, 30, 0.01),
        (70, 30, 0.01),
    ]
    assert [entry.origin for entry in lead.entries] == [
        "system",
        "task",
        "assistant",
        "tool:ask",
        "assistant",
    ]
    assert (scout.path, scout.parent_call) == ("lead/scout", "lead/turn-1/0")
    assert record.calls["lead/turn-1/0"].children == ["lead/scout"]
    assert record.lacks("outcome", "usage") == ("outcome",)


# --- Inspect ---


def sample() -> dict[str, Any]:
    call = {"id": "c1", "function": "look", "arguments": {"k": 1}, "type": "function"}
    asks = {"role": "assistant", "content": "", "tool_calls": [call]}
    ends = {
        "role": "assistant",
        "content": [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "324 m high."}],
    }
    pool = [
        {"role": "system", "content": "attachment://a1"},
        {"role": "user", "content": "How high?"},
        asks,
        {"role": "tool", "tool_call_id": "c1", "function": "look", "content": "324 m"},
    ]

    def model(at: int, until: int, message: dict[str, Any]) -> dict[str, Any]:
        usage = {"input_tokens": 40, "input_tokens_cache_read": 10, "output_tokens": 5}
        output = {"choices": [{"message": message, "stop_reason": "stop"}], "usage": usage}
        refs = {"input": [], "input_refs": [[0, until]], "output": output}
        return {
            "event": "model",
            "span_id": "s1",
            "timestamp": f"2026-01-02T03:04:{at:02}Z",
            "model": "m",
            **refs,
        }

    tool = {
        "event": "tool",
        "span_id": "s1",
        "id": "c1",
        "function": "look",
        "arguments": {"k": 1},
        "result": "324 m",
    }
    begin = {
        "event": "span_begin",
        "id": "s1",
        "name": "scout",
        "type": "agent",
        "timestamp": "2026-01-02T03:04:00Z",
    }
    return {
        "id": "q7",
        "epoch": 2,
        "input": "How high?",
        "attachments": {"a1": "Be brief."},
        "events_data": {"messages": pool, "calls": []},
        "events": [
            begin,
            model(1, 2, asks),
            {**tool, "timestamp": "2026-01-02T03:04:02Z"},
            model(3, 4, ends),
        ],
        "scores": {"match": {"value": "I"}},
    }


def test_an_inspect_log_gives_a_run_for_every_sample(tmp_path: Path):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "{}")
        archive.writestr("samples/q7_epoch_2.json", json.dumps(sample()))
    packed = tmp_path / "log.eval"
    packed.write_bytes(held.getvalue())
    plain = write(tmp_path / "log.json", {"version": 2, "eval": {}, "samples": [sample()]})

    for path in (packed, plain):
        (record,) = read_records(path)
        scout = record.agents["scout"]
        origins = ["system", "task", "assistant", "tool:look", "assistant"]
        assert (record.source, record.name, record.outcome) == ("inspect", "q7/2", "failed")
        assert [entry.origin for entry in scout.entries] == origins
        assert scout.entries[0].text == "Be brief."
        assert [(turn.reported, turn.cached) for turn in scout.turns] == [(50, 10), (50, 10)]
        assert record.calls["scout/turn-1/0"].result == "324 m"
        assert record.answer == "324 m high."


def test_numbers_that_are_none_do_not_make_a_log_unreadable(tmp_path: Path):
    results = {
        "scores": [{"metrics": {"accuracy": {"value": float("nan")}, "worst": {"value": -float("inf")}}}]
    }
    log = {"version": 2, "eval": {}, "results": results, "samples": [sample()]}
    (record,) = read_records(write(tmp_path / "log.json", log))

    assert "NaN" in (tmp_path / "log.json").read_text()
    assert record.outcome == "failed"


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inspect_log, "LARGEST_SAMPLE", 1_000_000)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/a.json", b'"' + b"a" * 50_000_000 + b'"')
    path = tmp_path / "log.eval"
    path.write_bytes(held.getvalue())

    with pytest.raises(TraceError) as caught:
        list(read_records(path))

    assert caught.value.place == "samples/a.json"

"""Files far larger than what may be held: memory follows the largest trace, not the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from spans import answers, asks, span, text

from harness.foreign import read_records, traces

MEASURE = """
import resource, sys
from harness.foreign import read_records, traces
traces.AT_ONCE, traces.MANY = 2_000_000, 1_000
def used():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024
list(read_records(sys.argv[1]))
before = used()
count = sum(record.spans for record in read_records(sys.argv[2]))
print(count, used() - before)
"""


def write(path: Path, *, runs: int, turns: int) -> Path:
    """Write runs whose spans stand between each other's, a line for each."""
    begun = [[text("user", f"Task {run}")] for run in range(runs)]
    with path.open("w") as file:
        for turn in range(turns):
            for run in range(runs):
                for one in spans_of(begun[run], run, turn):
                    request = {"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}
                    file.write(json.dumps(request) + "\n")
    return path


def spans_of(messages: list[Any], run: int, turn: int) -> list[dict[str, Any]]:
    said, result = asks(f"c{turn}", "read", path=f"{run}/{turn}"), f"{run}.{turn} " * 150
    facts: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps([said])}
    facts["gen_ai.input.messages"] = json.dumps(messages)
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "read",
        "gen_ai.tool.call.id": f"c{turn}",
    }
    messages += [said, answers(f"c{turn}", result)]
    number = 2 * turn + 2
    return [
        span(number, 1 if turn else 0, "chat m", _trace=run + 1, **facts),
        span(
            number + 1,
            number,
            "execute_tool read",
            _trace=run + 1,
            **{**tool, "gen_ai.tool.call.result": result},
        ),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc/self/status")
def test_a_file_of_many_traces_is_read_in_the_memory_of_a_few(tmp_path: Path):
    small = write(tmp_path / "small", runs=4, turns=8)
    large = write(tmp_path / "large", runs=600, turns=8)
    assert large.stat().st_size > 15_000_000

    told = subprocess.run(
        [sys.executable, "-c", MEASURE, small, large], capture_output=True, text=True, check=True, timeout=100
    )

    count, megabytes = map(int, told.stdout.split())
    assert count == 600 * 16
    assert megabytes < 12


def test_read_in_groups_or_at_once_the_runs_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "t", runs=7, turns=3)
    once = [(record.id, len(record.calls)) for record in read_records(path)]

    monkeypatch.setattr(traces, "AT_ONCE", 20_000)
    monkeypatch.setattr(traces, "MANY", 5)
    grouped = [(record.id, len(record.calls)) for record in read_records(path)]

    assert grouped == once
    assert [count for _, count in once] == [3] * 7

"""The trace of a run that stopped and went on in another process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import FunctionToolset, calls, says, scripted, together
from harness.tracing import encode_line, export_run

TEAM = """\
harness: 1
name: clerks
entry: lead
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [clerk]}
  clerk: {instructions: Pay., tools: [desk]}
permissions:
  - {tool: desk.pay, allow: ask}
"""

pytestmark = pytest.mark.anyio


def pay() -> str:
    """Pay."""
    return "paid"


def spans_in(*files: Path) -> list[dict[str, Any]]:
    return [
        span
        for file in files
        for line in file.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def opened(folder: Path, trace: str) -> Any:
    brief = {"objective": "Pay.", "expected_output": "A line.", "sources": "", "boundaries": ""}
    models = {
        "lead": scripted(together(calls("delegate", agent="clerk", **brief)), says("Done.")),
        "clerk": scripted(calls("desk.pay"), says("Paid.")),
    }
    (folder / "team.yaml").write_text(TEAM)
    return harness.open(
        folder / "team.yaml",
        store=folder / "runs",
        models=models,
        toolsets=[FunctionToolset("desk", pay)],
        trace=folder / trace,
    )


async def test_a_suspended_run_that_goes_on_elsewhere_is_one_trace(tmp_path: Path):
    async with opened(tmp_path, "before.jsonl") as before:
        run = await before.start("Pay the bill.")
        assert (await run.result()).stop_reason == "suspended"
    async with opened(tmp_path, "after.jsonl") as after:
        assert (await (await after.approve(run.id)).result()).succeeded
        recorded = list(after.journal.read(run.id))

    spans = spans_in(tmp_path / "before.jsonl", tmp_path / "after.jsonl")
    ids = [span["spanId"] for span in spans]
    assert len({span["traceId"] for span in spans}) == 1
    assert len(set(ids)) == len(ids)
    assert {span.get("parentSpanId") or "" for span in spans} <= {"", *ids}
    assert sorted(span["name"] for span in spans) == [
        "chat scripted",
        "chat scripted",
        "chat scripted",
        "chat scripted",
        *["execute_tool delegate"] * 2,
        "execute_tool desk.pay",
        *["invoke_agent clerk"] * 2,
        *["invoke_agent lead"] * 2,
        *["invoke_workflow clerks"] * 2,
    ]

    exported: list[Any] = []
    export_run(recorded, exported.append)
    (tmp_path / "exported.jsonl").write_bytes(b"".join(encode_line([span]) for span in exported))
    assert {span["spanId"] for span in spans_in(tmp_path / "exported.jsonl")} == set(ids)

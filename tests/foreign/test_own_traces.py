"""Our own runs come back from their exported traces as nearly what their journal gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import harness
from harness.diagnosis import examine
from harness.events import Recorded
from harness.foreign import read_records
from harness.messages import canonical_arguments
from harness.opening import open_journal
from harness.record import RunRecord, record_of
from harness.tracing import ContentCapture, encode_line
from harness.tracing.export import export_run

TEAM = Path(__file__).parents[2] / "examples" / "deep_research" / "team.yaml"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Recorded]:
    store = tmp_path_factory.mktemp("store")
    result = harness.run_sync(TEAM, "How does a resumed run go on?", store=store)
    return list(open_journal(store, write=False).read(result.run_id))


def exported(events: list[Recorded], path: Path, content: ContentCapture) -> RunRecord:
    spans: list[ReadableSpan] = []
    export_run(events, spans.append, content=content)
    path.write_bytes(b"".join(encode_line(spans[at : at + 20]) for at in range(0, len(spans), 20)))
    (record,) = read_records(path)
    return record


def windows(record: RunRecord) -> dict[str, Any]:
    return {
        path: [
            (entry.origin, entry.first, entry.last, entry.counted, entry.call)
            for entry in agent.entries
            if entry.sent
        ]
        for path, agent in record.agents.items()
    }


def calls(record: RunRecord) -> list[Any]:
    return [
        (
            call.key,
            call.id,
            call.tool,
            canonical_arguments(call.arguments),
            call.result,
            call.is_error,
            call.children,
        )
        for call in record.calls.values()
    ]


def causes(record: RunRecord) -> list[Any]:
    return [
        (agent.path, agent.name, agent.parent, agent.parent_call, agent.after, agent.status, len(agent.turns))
        for agent in record.agents.values()
    ]


@pytest.mark.parametrize("content", ["new", "full"])
def test_with_content_windows_calls_and_causes_are_those_of_the_journal(
    events: list[Recorded], content: ContentCapture, tmp_path: Path
):
    ours = record_of(events)
    theirs = exported(events, tmp_path / "trace", content)

    assert (theirs.id, theirs.task, theirs.outcome) == (ours.id, ours.task, ours.outcome)
    assert causes(theirs) == causes(ours)
    assert windows(theirs) == windows(ours)
    assert calls(theirs) == calls(ours)


def test_with_full_content_the_findings_are_the_same(events: list[Recorded], tmp_path: Path):
    ours, theirs = examine(record_of(events)), examine(exported(events, tmp_path / "trace", "full"))

    def told(findings: Any) -> list[Any]:
        return sorted((one.detector, one.severity, one.where.agent, one.where.turns) for one in findings)

    blind = {lack.detector for lack in theirs.not_measurable}
    assert told(theirs.findings) == told(one for one in ours.findings if one.detector not in blind)


def test_without_content_the_sizes_of_windows_are_still_known(events: list[Recorded], tmp_path: Path):
    ours, theirs = record_of(events), exported(events, tmp_path / "trace", "off")

    assert theirs.lacks("content", "results", "windows", "agents", "outcome") == ("content", "results")
    for path, agent in ours.agents.items():
        sent = [
            (entry.origin, entry.first, entry.last, entry.counted) for entry in agent.entries if entry.sent
        ]
        known = [(one.origin, one.first, one.last, one.counted) for one in theirs.agents[path].entries]
        assert known == sent

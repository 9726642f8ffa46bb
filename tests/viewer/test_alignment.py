"""Where two runs part."""

from __future__ import annotations

from runs import synthetic

from harness.record import RunRecord
from harness.viewer.alignment import alignment


def with_a_sub_agent(*, says: str) -> RunRecord:
    """Return a run whose lead delegates in its first turn, and whose sub-agent answers with these words."""
    record = synthetic(agents=2, turns=2)
    lead, child = record.agents.values()
    call = lead.turns[0].calls[0]
    call.children.append(child.path)
    child.parent_call = call.key
    child.turns[1].calls[0].result = call.result = says
    return record


def test_runs_part_where_a_sub_agent_did_something_else_and_not_where_it_was_asked():
    difference = alignment(with_a_sub_agent(says="yes"), with_a_sub_agent(says="no"))

    first = difference["first"]
    assert first is not None
    assert difference["pairs"][first["pair"]]["left"] == "lead/plain-1"
    assert first["turn"] == 2


def test_runs_that_did_the_same_part_nowhere():
    assert alignment(with_a_sub_agent(says="yes"), with_a_sub_agent(says="yes"))["first"] is None

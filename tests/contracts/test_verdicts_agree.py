"""One contract, one verdict: while the team works, on replay, in the journal, and in its exported trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

import harness
from harness import FunctionToolset, MemoryJournal, Recorded, calls, says, scripted, together
from harness.contracts import parse_contract
from harness.diagnosing import diagnose_all
from harness.diagnosis import Finding
from harness.events import RunFinished, ToolCallFinished
from harness.models.port import Model
from harness.record import record_of
from harness.replaying import replay_run
from harness.tracing import encode_line, export_run

pytestmark = pytest.mark.anyio

TEAM = """\
harness: 1
name: clerks
entry: lead
order:
  - {{rule: "{rule}", enforce: {enforce}}}
agents:
  lead: {{instructions: Lead., tools: [desk], delegates: [scout]}}
  scout: {{instructions: Look., tools: [desk]}}
"""
DEADLINE = 20

Turns = Sequence[Any]


@dataclass(frozen=True)
class Case:
    """A contract, a run that keeps it, and one that breaks it."""

    rule: str
    kept: Turns
    broken: Turns
    refused: str = ""
    """Key of the call that is refused where the contract is enforced; empty if the end of the run breaks it."""


def find(order: str = "1") -> Any:
    return calls("desk.find", order=order)


def cancel(order: str = "W-1") -> Any:
    return calls("desk.cancel", order_id=order)


def note() -> Any:
    return calls("desk.note")


def delegate() -> Any:
    brief = {"objective": "Look.", "expected_output": "A line.", "sources": "", "boundaries": ""}
    return together(calls("delegate", agent="scout", **brief))


CASES = {
    "precedence": Case(
        "desk.find before desk.cancel", [find(), cancel()], [note(), cancel()], "lead/turn-2/0"
    ),
    "precedence, done by a sub-agent": Case(
        "desk.note before desk.cancel",
        [delegate(), cancel()],
        [cancel(), delegate()],
        "lead/turn-1/0",
    ),
    "precedence with a value from the result": Case(
        "desk.find before desk.cancel where order_id from result",
        [find("1"), cancel("W-1")],
        [find("1"), cancel("W-2")],
        "lead/turn-2/0",
    ),
    "response": Case("desk.cancel followed by desk.note", [cancel(), note()], [note(), cancel()]),
    "absence": Case("never desk.cancel", [find(), note()], [find(), cancel()], "lead/turn-2/0"),
    "absence after another": Case(
        "never desk.cancel after desk.note", [cancel(), note()], [note(), cancel()], "lead/turn-2/0"
    ),
    "at most so often": Case(
        "desk.find at most twice", [find(), find("2")], [find(), find("2"), find("3")], "lead/turn-3/0"
    ),
    "exactly so often": Case("exactly 2 calls of desk.find", [find(), find("2")], [find(), note()]),
    "chain": Case(
        "desk.find immediately before desk.cancel",
        [find(), delegate(), note(), find(), cancel()],
        [find(), note(), cancel()],
        "lead/turn-3/0",
    ),
    "chain, only a sub-agent between": Case(
        "desk.note immediately before desk.cancel",
        [delegate(), cancel()],
        [delegate(), find(), cancel()],
        "lead/turn-3/0",
    ),
}


def models(turns: Turns) -> Mapping[str, Model]:
    """Return the models of a run; whoever is told that something is missing says the same again."""
    return {
        "lead": scripted(*turns, says("Done."), says("Done."), says("Done.")),
        "scout": scripted(note(), says("Seen.")),
    }


def desk() -> FunctionToolset:
    def find(order: str = "") -> str:
        return f'{{"order_id": "W-{order}"}}'

    def cancel(order_id: str = "") -> str:
        return "gone"

    def note() -> str:
        return "noted"

    return FunctionToolset("desk", find, cancel, note)


async def carry_out(folder: Path, rule: str, turns: Turns, *, enforce: str) -> list[Recorded]:
    """Run the team and return what was recorded."""
    (folder / "team.yaml").write_text(TEAM.format(rule=rule, enforce=enforce))
    with anyio.fail_after(DEADLINE):
        async with harness.open(
            folder / "team.yaml", store=MemoryJournal(), models=models(turns), toolsets=[desk()]
        ) as opened:
            run = await opened.start("What is to be done?")
            recorded = [item async for item in run.events()]
            assert (await run.result()).succeeded
            return recorded


def refused(recorded: Sequence[Recorded]) -> list[str]:
    return [
        item.event.key
        for item in recorded
        if isinstance(item.event, ToolCallFinished) and item.event.error_type == "order"
    ]


def left_broken(recorded: Sequence[Recorded]) -> tuple[str, ...]:
    finished = recorded[-1].event
    assert isinstance(finished, RunFinished)
    return finished.notes


def verdict(findings: Sequence[Finding]) -> list[Any]:
    return [
        (one.severity, one.what, one.where.agent, one.where.turns, one.where.calls, one.evidence)
        for one in findings
        if one.detector == "order-contract"
    ]


def in_journal(recorded: Sequence[Recorded]) -> list[Any]:
    return verdict(harness.diagnose(record_of(recorded)).findings)


def in_trace(recorded: Sequence[Recorded], rule: str, folder: Path) -> list[Any]:
    """Return what is found in the exported trace, which does not hold the team file."""
    spans: list[Any] = []
    export_run(recorded, spans.append, content="full")
    path = folder / "trace.jsonl"
    path.write_bytes(encode_line(spans))
    (diagnosis,) = diagnose_all(path, contracts=[parse_contract(rule)])
    return verdict(diagnosis.findings)


@pytest.mark.parametrize("name", CASES)
async def test_a_kept_contract_is_kept_everywhere(name: str, tmp_path: Path):
    case = CASES[name]
    recorded = await carry_out(tmp_path, case.rule, case.kept, enforce="live")

    assert refused(recorded) == []
    assert left_broken(recorded) == ()
    assert (await replay_run(recorded, models=models(case.kept))).exact
    assert in_journal(recorded) == []
    assert in_trace(recorded, case.rule, tmp_path) == []


@pytest.mark.parametrize("name", CASES)
async def test_a_broken_contract_is_broken_everywhere_by_the_same_call(name: str, tmp_path: Path):
    case = CASES[name]
    recorded = await carry_out(tmp_path, case.rule, case.broken, enforce="check")

    assert refused(recorded) == []
    assert left_broken(recorded) == (f"order: lead left this contract broken: {case.rule}",)
    replayed = await replay_run(recorded, models=models(case.broken))
    assert replayed.exact, replayed.text
    found = in_journal(recorded)
    assert [one[0] for one in found] == ["error"]
    assert f"`{case.rule}` is broken" in found[0][1]
    if case.refused:
        assert found[0][4][0] == case.refused
    assert in_trace(recorded, case.rule, tmp_path) == found


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.refused])
async def test_the_call_that_would_break_it_is_refused_live_and_on_replay_and_breaks_nothing(
    name: str, tmp_path: Path
):
    case = CASES[name]
    recorded = await carry_out(tmp_path, case.rule, case.broken, enforce="live")

    assert refused(recorded) == [case.refused]
    replayed = await replay_run(recorded, models=models(case.broken))
    assert replayed.exact, replayed.text
    assert in_journal(recorded) == []
    assert in_trace(recorded, case.rule, tmp_path) == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.refused])
async def test_what_is_still_owed_at_the_end_is_said_and_stays_broken(name: str, tmp_path: Path):
    case = CASES[name]
    recorded = await carry_out(tmp_path, case.rule, case.broken, enforce="live")

    assert left_broken(recorded) == (f"order: lead left this contract broken: {case.rule}",)
    assert (await replay_run(recorded, models=models(case.broken))).exact
    found = in_journal(recorded)
    assert [one[0] for one in found] == ["error"]
    assert in_trace(recorded, case.rule, tmp_path) == found


async def test_what_only_the_clock_decided_is_undetermined_in_journal_and_trace(tmp_path: Path):
    rule = "desk.find before desk.cancel"
    recorded = await carry_out(tmp_path, rule, [together(find(), cancel())], enforce="check")

    found = in_journal(recorded)
    assert [(severity, calls) for severity, _, _, _, calls, _ in found] == [
        ("info", ("lead/turn-1/1", "lead/turn-1/0"))
    ]
    assert "possibly broken" in found[0][1]
    assert in_trace(recorded, rule, tmp_path) == found

"""Plans: ready tasks at once, reports along the edges, one revision for what failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from loop_teams import play, task

from harness import ModelError, calls, says, scripted
from harness.events import PlanCreated, ReplanRequested

pytestmark = pytest.mark.anyio


def outcome(model, request: int) -> dict:
    return json.loads(model.requests[request][-1].text)


async def test_every_ready_task_runs_at_once_and_all_reports_come_back_together(folder: Path):
    lead = scripted(calls("plan", tasks=[task("a"), task("b"), task("c")]), says("done"))
    scout = scripted(calls("desk.meet", people=3), says("SEEN"))

    await play(folder, lead=lead, scout=scout)

    tasks = outcome(lead, 1)["tasks"]
    assert [(entry["id"], entry["status"], entry["answer"]) for entry in tasks] == [
        (name, "done", "SEEN") for name in "abc"
    ]


async def test_reports_are_passed_to_the_tasks_that_need_them_and_to_no_others(folder: Path):
    plan = [task("a", objective="find a"), task("b", "scribe", needs=("a",)), task("c", "scribe")]
    scribe = scripted(says("WRITTEN"))

    await play(
        folder,
        lead=scripted(calls("plan", tasks=plan), says("done")),
        scout=scripted(says("FOUND")),
        scribe=scribe,
    )

    briefs = sorted(request[1].text for request in scribe.requests)
    assert len(briefs) == 2
    assert ["FOUND" in text for text in briefs] == [False, True]


async def test_a_revision_keeps_the_old_version_and_runs_only_what_changed(folder: Path):
    first = [task("a", objective="one"), task("b", objective="two")]
    second = [task("a", objective="one"), task("b", objective="other"), task("c", "scribe", needs=("a", "b"))]
    lead = scripted(calls("plan", tasks=first), calls("plan", tasks=second), says("done"))
    scout = scripted(says("FOUND"))

    played = await play(folder, lead=lead, scout=scout, scribe=scripted(says("WRITTEN")))

    assert [(plan.version, plan.kept) for plan in played.of(PlanCreated)] == [(1, ()), (2, ("a",))]
    assert len(scout.requests) == 3
    assert [entry["answer"] for entry in outcome(lead, 2)["tasks"]] == ["FOUND", "FOUND", "WRITTEN"]


async def test_failed_tasks_ask_for_exactly_one_revision_and_not_again_for_the_same_task(folder: Path):
    plan = [task("a"), task("b"), task("c", "scribe", needs=("a",))]
    lead = scripted(calls("plan", tasks=plan), calls("plan", tasks=plan), says("done"))

    played = await play(folder, lead=lead, scout=scripted(ModelError("no")), scribe=scripted(says("WRITTEN")))

    (request,) = played.of(ReplanRequested)
    assert (request.version, request.tasks) == (1, ("a", "b"))
    assert outcome(lead, 1)["next"].startswith("Revise the plan once")
    assert outcome(lead, 2)["next"].startswith("Finish")
    assert [entry["status"] for entry in outcome(lead, 2)["tasks"]] == ["failed", "failed", "skipped"]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([task("a"), task("a")], "the id a is used twice"),
        ([task("a", needs=("z",))], "a needs z, which is not a task"),
        ([task("a", needs=("b",)), task("b", needs=("a",))], "form a circle"),
    ],
)
async def test_a_plan_that_cannot_be_carried_out_goes_back_with_the_reason(folder: Path, tasks, said):
    lead = scripted(calls("plan", tasks=tasks), says("done"))

    played = await play(folder, lead=lead)

    assert said in lead.requests[1][-1].text
    assert played.of(PlanCreated) == []

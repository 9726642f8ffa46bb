"""Plans: what runs when, what is passed on, and what happens when tasks fail."""

from __future__ import annotations

import anyio
import pytest

from harness import ModelError, ToolError, calls, says, scripted, together
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    PlanCreated,
    PlanExecuted,
    PlanTaskFinished,
    PlanTaskStarted,
    ReplanRequested,
)
from harness.messages import user
from tests.loop.stage import PAIR, Meeting, RunTeam, Told, by_objective, loads, plans, reports, task

pytestmark = pytest.mark.anyio

FINISH = "Finish with what these reports hold."


def statuses(run: Told) -> list[tuple[int, str, str]]:
    return [(event.version, event.task, event.status) for event in run.all(PlanTaskFinished)]


async def test_ready_tasks_run_at_once_and_all_reports_come_back_together(run_team: RunTeam):
    meeting = Meeting(3)
    lead = scripted(plans(task("a"), task("b"), task("c")), says("All met."))
    scout = scripted(calls("desk.join"), says("Met."))

    run = await run_team(PAIR, desk=[meeting.join], lead=lead, scout=scout)

    assert run.origins() == ["system", "task", "assistant", "report:lead/*", "assistant"]
    assert loads(run.results()[0].text) == {
        "plan": 1,
        "tasks": [
            {
                "id": name,
                "agent": "scout",
                "handle": f"agent:lead/scout-{number}",
                "status": "done",
                "answer": "Met.",
            }
            for number, name in enumerate("abc", start=1)
        ],
        "next": FINISH,
    }
    assert run.result.succeeded


async def test_reports_are_passed_along_the_needs_and_nowhere_else(run_team: RunTeam):
    lead = scripted(plans(task("both", "scout", "a", "b"), task("a"), task("b"), task("c")), says("Done."))
    scout = scripted(
        by_objective(a=says("A is 1."), b=reports("B is 2.", "partial"), c=says("C is 3."), both=says("3."))
    )

    run = await run_team(PAIR, lead=lead, scout=scout)

    briefs = {event.task_id: event.brief for event in run.all(AgentRunStarted) if event.brief}
    assert {name: brief.reports for name, brief in briefs.items()} == {
        "a": (),
        "b": (),
        "c": (),
        "both": (
            {"id": "a", "agent": "scout", "status": "done", "answer": "A is 1."},
            {"id": "b", "agent": "scout", "status": "partial", "answer": "B is 2."},
        ),
    }
    (asked,) = [request[1].text for request in scout.requests if "Do both." in request[1].text]
    assert "A is 1." in asked
    assert "B is 2." in asked
    assert "C is 3." not in asked
    assert [event.task for event in run.all(PlanTaskStarted)][-1] == "both"


async def test_a_task_starts_as_soon_as_its_own_needs_are_met(run_team: RunTeam):
    late_task_began = anyio.Event()

    async def wait() -> str:
        await late_task_began.wait()
        return "waited"

    def begin() -> str:
        late_task_began.set()
        return "begun"

    lead = scripted(plans(task("slow"), task("quick"), task("late", "scout", "quick")), says("Done."))
    scout = scripted(
        lambda messages: (
            says("Done.")
            if len(messages) > 2 or "Do quick." in messages[1].text
            else calls("desk.wait" if "Do slow." in messages[1].text else "desk.begin")
        )
    )

    run = await run_team(PAIR, desk=[wait, begin], lead=lead, scout=scout)

    assert sorted(statuses(run)) == [(1, "late", "done"), (1, "quick", "done"), (1, "slow", "done")]


async def test_a_revision_is_a_new_version_that_keeps_what_was_done_and_left_as_it_was(run_team: RunTeam):
    first = plans(task("a"), task("b"), task("c", "scout", "a"))
    second = plans(task("a"), task("b", objective="Do b2."), task("c", "scout", "a"), task("d", "scout", "b"))
    scout = scripted(
        by_objective(a=says("A."), b=says("B."), c=says("C."), b2=says("B again."), d=says("D."))
    )

    run = await run_team(PAIR, lead=scripted(first, second, says("Done.")), scout=scout)

    assert [(plan.version, plan.kept) for plan in run.all(PlanCreated)] == [(1, ()), (2, ("a", "c"))]
    assert [event.version for event in run.all(PlanExecuted)] == [1, 2]
    assert [(event.version, event.task, event.child) for event in run.all(PlanTaskStarted)] == [
        (1, "a", "lead/scout-1"),
        (1, "b", "lead/scout-2"),
        (1, "c", "lead/scout-3"),
        (2, "b", "lead/scout-4"),
        (2, "d", "lead/scout-5"),
    ]
    answers = {report["id"]: report["answer"] for report in loads(run.results()[1].text)["tasks"]}
    assert answers == {"a": "A.", "b": "B again.", "c": "C.", "d": "D."}
    assert run.state.agents["lead"].plans == run.all(PlanCreated)


async def test_what_rests_on_a_changed_task_is_done_again(run_team: RunTeam):
    first = plans(task("a"), task("b", "scout", "a"))
    second = plans(task("a", objective="Do a2."), task("b", "scout", "a"))

    run = await run_team(PAIR, lead=scripted(first, second, says("Done.")), scout=scripted(says("Done.")))

    assert [plan.kept for plan in run.all(PlanCreated)] == [(), ()]
    assert len(run.all(PlanTaskStarted)) == 4


async def test_a_plan_that_cannot_be_carried_out_is_sent_back_with_every_fault(run_team: RunTeam):
    lead = scripted(
        plans(task("a", "scout", "b"), task("b", "scout", "a")),
        plans(task("a"), task("a"), task("b", "scout", "nothing")),
        plans(task("a", "scout", "a")),
        plans(),
        plans(task("a", "painter")),
        says("No plan."),
    )

    run = await run_team(PAIR, lead=lead)

    assert [result.text for result in run.results()] == [
        "this plan cannot be carried out: the needs form a circle: a -> b -> a",
        "this plan cannot be carried out: the id a is used twice; "
        "b needs nothing, which is not a task of this plan",
        "this plan cannot be carried out: the needs form a circle: a -> a",
        "the arguments do not fit plan: tasks: [] should be non-empty",
        "the arguments do not fit plan: tasks[0].agent: 'painter' is not one of ['scout']",
    ]
    assert all(result.is_error for result in run.results())
    assert run.all(PlanCreated) == []


async def test_two_tasks_that_fail_are_one_request_for_a_new_plan(run_team: RunTeam):
    lead = scripted(plans(task("a"), task("b"), task("c")), says("Only c."))
    scout = scripted(by_objective(a=reports("No.", "failed"), b=ModelError("broken"), c=says("C.")))

    run = await run_team(PAIR, lead=lead, scout=scout)

    assert run.all(ReplanRequested) == [
        ReplanRequested(agent="lead", version=1, reason="failed tasks: a, b", tasks=("a", "b"))
    ]
    outcome = loads(run.results()[0].text)
    assert [report["status"] for report in outcome["tasks"]] == ["failed", "failed", "done"]
    assert outcome["next"] == (
        "Revise the plan once (failed tasks: a, b): call `plan` again, changing what failed and leaving the "
        "rest as it is; or finish with what these reports hold."
    )
    assert run.result.output == "Only c."


async def test_a_task_that_fails_again_is_not_asked_about_again(run_team: RunTeam):
    lead = scripted(
        plans(task("a"), task("b")), plans(task("a"), task("b")), plans(task("a"), task("c")), says("Done.")
    )
    scout = scripted(by_objective(a=reports("No.", "failed"), b=says("B."), c=reports("No c.", "failed")))

    run = await run_team(PAIR, lead=lead, scout=scout)

    assert [(event.version, event.tasks) for event in run.all(ReplanRequested)] == [(1, ("a",)), (3, ("c",))]
    assert [loads(result.text)["next"] == FINISH for result in run.results()] == [False, True, False]
    assert [plan.kept for plan in run.all(PlanCreated)] == [(), ("b",), ()]


async def test_a_task_whose_needs_all_failed_is_skipped_and_what_needs_it_too(run_team: RunTeam):
    lead = scripted(
        plans(
            task("a"),
            task("b"),
            task("c", "scout", "a"),
            task("d", "scout", "c"),
            task("e", "scout", "a", "b"),
        ),
        says("Done."),
    )
    scout = scripted(by_objective(a=reports("No.", "failed"), b=says("B."), e=says("E.")))

    run = await run_team(PAIR, lead=lead, scout=scout)

    assert sorted(statuses(run)) == [
        (1, "a", "failed"),
        (1, "b", "done"),
        (1, "c", "skipped"),
        (1, "d", "skipped"),
        (1, "e", "done"),
    ]
    assert [event.tasks for event in run.all(ReplanRequested)] == [("a",)]
    outcome = {report["id"]: report["status"] for report in loads(run.results()[0].text)["tasks"]}
    assert outcome == {"a": "failed", "b": "done", "c": "skipped", "d": "skipped", "e": "done"}


async def test_two_plans_in_one_reply_are_a_plan_and_its_revision(run_team: RunTeam):
    lead = scripted(together(plans(task("a"), task("b")), plans(task("a"), task("c"))), says("Done."))

    run = await run_team(PAIR, lead=lead, scout=scripted(says("Done.")))

    assert [(plan.version, plan.kept) for plan in run.all(PlanCreated)] == [(1, ()), (2, ("a",))]
    assert statuses(run) == [(1, "a", "done"), (1, "b", "done"), (2, "c", "done")]
    assert not any(result.is_error for result in run.results())


async def test_a_task_whose_agent_cannot_be_opened_has_failed(run_team: RunTeam):
    class Closed:
        async def tools(self, patterns: object) -> list[object]:
            raise ToolError("the cupboard is locked")

    lead = scripted(plans(task("a"), task("b", "clerk")), says("Done."))

    run = await run_team(
        "agents:\n"
        "  lead: {instructions: Lead., delegates: [scout, clerk]}\n"
        "  scout: {instructions: Scout., tools: [desk]}\n"
        "  clerk: {instructions: Clerk.}\n",
        toolsets=[Closed()],
        lead=lead,
        clerk=scripted(says("B.")),
    )

    outcome = {report["id"]: report["status"] for report in loads(run.results()[0].text)["tasks"]}
    assert outcome == {"a": "failed", "b": "done"}


async def test_the_third_identical_failure_of_an_orchestrators_call_is_one_request_for_a_new_plan(
    run_team: RunTeam,
):
    def fetch() -> str:
        raise ToolError("the shelf is empty")

    lead = scripted(*[calls("desk.fetch")] * 5, says("I give up."))

    run = await run_team(PAIR, desk=[fetch], lead=lead)

    assert run.all(ReplanRequested) == [
        ReplanRequested(agent="lead", version=0, reason="desk.fetch failed 3 times in the same way")
    ]
    assert lead.requests[3][-1] == user(
        "desk.fetch failed 3 times in the same way. Call `plan` with a revised plan, or finish with what you have."
    )
    assert run.origins().count("nudge") == 1
    assert run.result.output == "I give up."


async def test_the_third_identical_failure_of_a_sub_agents_call_is_a_failed_report(run_team: RunTeam):
    def fetch(shelf: int) -> str:
        raise ToolError("the shelf is empty")

    scout = scripted(
        calls("desk.fetch", shelf=1),
        calls("desk.fetch", shelf=2),
        *[calls("desk.fetch", shelf=1)] * 2,
        says("Too late."),
    )
    lead = scripted(plans(task("a")), says("Nothing there."))

    run = await run_team(PAIR, desk=[fetch], lead=lead, scout=scout)

    (ended,) = run.all(AgentRunFinished, "lead/scout-1")
    assert (ended.report.status, ended.turns, ended.error_type, ended.error) == (
        "failed",
        4,
        "StuckError",
        "desk.fetch failed 3 times in the same way: the shelf is empty",
    )
    assert [event.tasks for event in run.all(ReplanRequested)] == [("a",)]
    assert run.result.output == "Nothing there."

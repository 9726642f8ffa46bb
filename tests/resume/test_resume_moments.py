"""SIGKILL anywhere in a run, and again while it is being resumed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from crash_checks import check
from crash_points import Act, Crash, Point
from crash_processes import KILLED, Processes, side_by_side
from crash_teams import Scene

from harness.events import ApprovalRequested

Answer = Callable[[Scene], str]

SMALL = Scene("once", 1, "plan", together=True)
WRITTEN = Crash("run.finished", when="after")


MOMENTS = {
    "the run has begun": Crash("run.started", when="after"),
    "the run has not quite begun": Crash("run.started"),
    "the entry agent begins": Crash("agent_run.started", "lead"),
    "the entry agent has begun": Crash("agent_run.started", "lead", "after"),
    "a model is asked": Crash("request", "mid", nth=2),
    "a model is asked, and that is not on disk": Crash("request", "mid", nth=2, lost=True),
    "the entry agent's model is asked": Crash("request", "lead"),
    "the model of the last turn is asked": Crash("request", "lead", nth=2),
    "a model is about to be asked": Crash("model_call.started", "lead/mid-2"),
    "a model has answered": Crash("model_call.finished", "lead/mid-1"),
    "a reply is recorded": Crash("model_call.finished", "lead/mid-1", "after"),
    "a turn has ended": Crash("turn.finished", "lead/mid-2", "after"),
    "a turn begins": Crash("turn.started", "lead/mid-2", nth=2),
    "a turn has begun": Crash("turn.started", "lead/mid-2", "after", nth=2),
    "a plan is made": Crash("plan.created", "lead", "after"),
    "a task begins": Crash("plan_task.started", "t2"),
    "a task has begun": Crash("plan_task.started", "t1", "after"),
    "a task has ended": Crash("plan_task.finished", "t1", "after"),
    "a task ends that another one needs": Crash("plan_task.finished", "t2"),
    "the task that needs two others begins": Crash("plan_task.started", "t3", "after"),
    "the last task has ended": Crash("plan_task.finished", "t3", "after"),
    "the plan is carried out": Crash("plan.executed", "lead", "after"),
    "a sub-agent hands in its report": Crash("agent_run.finished", "lead/mid-3"),
    "a sub-agent has handed in its report": Crash("agent_run.finished", "lead/mid-3", "after"),
    "the entry agent has ended": Crash("agent_run.finished", "lead", "after"),
    "the run ends": Crash("run.finished"),
}


@pytest.mark.parametrize("outside", ["function", "mcp"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_may_be_killed_when(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, moment: str, outside: str
):
    scene = Scene("once", 1, "plan", together=True, outside=outside)  # type: ignore[arg-type]

    story = processes.tell_story(tmp_path, scene, MOMENTS[moment])

    assert story.crashes == 1
    check(story, answer=uninterrupted(scene))


def test_a_run_whose_end_is_on_disk_is_over(processes: Processes, tmp_path: Path):
    assert processes.run("start", tmp_path, SMALL, Act(WRITTEN)).status == KILLED
    again = processes.run("resume", tmp_path, SMALL)

    assert again.told["raised"] == "UsageError"
    assert "run run is done" in again.told["message"]


SWEPT = [
    Scene("once", 1, "plan", together=True),
    Scene("read", 2, "delegate", store="file"),
    Scene("keyed", 1, "delegate", together=True, store="file"),
    Scene("once", 2, "delegate", together=True, outside="mcp"),
]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("scene", SWEPT, ids=str)
def test_a_run_may_be_killed_at_any_event(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, scene: Scene, part: int
):
    answer = uninterrupted(scene)
    events = len(processes.tell_story(tmp_path / "whole", scene).recorded)

    def kill(nth: int) -> None:
        crash = Crash("", nth=nth, lost=nth % 2 == 0)
        check(processes.tell_story(tmp_path / f"{nth}", scene, crash), answer=answer)

    side_by_side(kill, range(1 + part, events + 1, 20))


SECOND = {
    "it is about to be taken up": Crash("run.resumed"),
    "it has been taken up": Crash("run.resumed", when="after"),
    "a person is about to be asked": Crash("approval.requested"),
    "a person has been asked": Crash("approval.requested", when="after"),
    "the answer is about to be recorded": Crash("approval.decided"),
    "the answer has been recorded": Crash("approval.decided", when="after"),
    "the call begins": Crash("tool_call.started"),
    "the call has begun": Crash("tool_call.started", when="after"),
    "another effect has taken place": Crash("effect", "w.2#3"),
    "the result is about to be recorded": Crash("tool_call.finished"),
    "the result has been recorded": Crash("tool_call.finished", when="after"),
    "a model is asked": Crash("request"),
    "it ends": Crash("run.finished"),
}


RESUMED = [
    Scene("once", 1, "plan", together=True),
    Scene("once", 1, outside="mcp", store="file"),
    Scene("keyed", 1, "plan", outside="mcp"),
]
FIRST: tuple[Point, ...] = ("after-intent", "after-effect")
TWICE = [
    pytest.param(scene, FIRST[(row + column) % 2], moment, id=f"{scene}-{FIRST[(row + column) % 2]}-{moment}")
    for row, scene in enumerate(RESUMED)
    for column, moment in enumerate(SECOND)
]


@pytest.mark.parametrize(("scene", "first", "moment"), TWICE)
def test_a_resumed_run_may_be_killed_again_when(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, scene: Scene, first: Point, moment: str
):
    key, label = scene.target

    story = processes.tell_story(tmp_path, scene, Crash.of_call(first, key, label), SECOND[moment])

    never_asked = scene.effect != "once" and SECOND[moment].at.startswith("approval")
    assert story.crashes == (1 if never_asked else 2)
    check(story, answer=uninterrupted(scene))


ASKED = [
    Scene("once", 1, asks="rule", store="file"),
    Scene("once", 1, "plan", together=True, asks="tool"),
    Scene("keyed", together=True, asks="tool"),
    Scene("once", together=True, asks="meanwhile"),
    Scene("keyed", 1, asks="meanwhile"),
]


@pytest.mark.slow
@pytest.mark.parametrize("scene", ASKED, ids=str)
def test_a_run_that_asks_people_may_be_killed_at_any_event(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, scene: Scene
):
    """The crash comes anywhere from the first question on, or after the first answers."""
    answer = uninterrupted(scene)
    whole = processes.tell_story(tmp_path / "whole", scene)
    suspended = [item.event.type for item in whole.recorded].index("run.finished")

    def kill(nth: int) -> None:
        crash = Crash("", nth=nth, lost=nth % 2 == 0)
        started = processes.tell_story(tmp_path / f"first-{nth}", scene, crash)
        check(started, answer=answer)
        resumed = processes.tell_story(tmp_path / f"{nth}", scene, Act(person="nobody"), crash)
        check(resumed, answer=answer)

    side_by_side(kill, range(3, suspended, 7))


@pytest.mark.slow
@pytest.mark.parametrize(("effect", "how"), [*product(["once", "keyed"], ["in turn", "together"])])
def test_every_process_that_carries_a_run_may_be_killed(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, effect: str, how: str
):
    """Each process gets a little further than the one before, and is killed there."""
    scene = Scene(effect, 1, "plan", together=how == "together")  # type: ignore[arg-type]
    crashes = [Crash("", nth=nth, lost=nth % 3 == 0) for nth in range(9, 60, 2)]

    story = processes.tell_story(tmp_path, scene, *crashes)

    assert story.crashes > 5
    check(story, answer=uninterrupted(scene))


def test_a_suspended_run_waits_for_days_without_a_process(
    processes: Processes, uninterrupted: Answer, tmp_path: Path
):
    """It is resumed by people who do not answer, killed, and answered in the end."""
    key, label = SMALL.target
    ignored = Act(person="nobody")
    killed = [Act(crash, person="nobody") for crash in (Crash("run.resumed", when="after"), WRITTEN)]

    story = processes.tell_story(
        tmp_path, SMALL, Crash.of_call("after-effect", key, label), ignored, *killed, Act()
    )

    first = story.told[0]
    assert (first["stop_reason"], first["asked"]) == ("suspended", [])
    assert key in first["waiting"]
    check(story, answer=uninterrupted(SMALL))
    questions = [item.event.key for item in story.recorded if isinstance(item.event, ApprovalRequested)]
    assert sorted(questions) == sorted(first["waiting"])


@pytest.mark.parametrize("said", ["yes", "no"])
@pytest.mark.parametrize("point", ["after-intent", "after-effect"])
@pytest.mark.parametrize("outside", ["function", "mcp"])
def test_what_a_person_says_of_a_call_in_doubt_is_believed(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, point: Point, said: str, outside: str
):
    scene = Scene("once", 1, outside=outside)  # type: ignore[arg-type]
    key, label = scene.target

    story = processes.tell_story(
        tmp_path,
        scene,
        Crash.of_call(point, key, label),
        Act(person=said),  # type: ignore[arg-type]
    )

    took_place = (point == "after-effect") + (said == "no")
    assert story.effects()[label] == took_place
    assert story.end["asked"] == [key]
    assert story.end["output"] == uninterrupted(scene)
    assert story.end["fold_is_state"]
    assert story.end["replay"] == []

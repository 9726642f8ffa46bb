"""Runs that were stopped in an orderly way, ran out of something, or lost their model, and go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from crash_checks import check, check_effects, check_record
from crash_points import Act, Crash
from crash_processes import Processes, side_by_side
from crash_teams import Scene

from harness.events import EntryAppended, LimitWasReached, ModelCallLost, RunResumed

Answer = Callable[[Scene], str]

IN_TURN = Scene("keyed", 1)
TOGETHER = Scene("once", 1, "plan", together=True)
DEEP = Scene("once", 2, together=True)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["interrupt", "drain"])
@pytest.mark.parametrize("scene", [IN_TURN, TOGETHER, Scene("once", 1, outside="mcp")], ids=str)
def test_a_run_may_be_interrupted_at_any_event(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, scene: Scene, how: str
):
    answer = uninterrupted(scene)
    events = len(processes.tell_story(tmp_path / "whole", scene).recorded)

    def interrupt(nth: int) -> None:
        crash = Crash("", nth=nth, when="after", how=how)  # type: ignore[arg-type]
        story = processes.tell_story(tmp_path / f"{nth}", scene, crash)
        assert nth > events * 0.8 or story.told[0]["stop_reason"] == "interrupted"
        check(story, answer=answer)

    side_by_side(interrupt, range(2, events + 1, 9))


RAN_OUT = {
    "turns of the run": ("limits.turns=5", "limits.turns=50"),
    "dollars of the run": ("limits.usd=0.0007", "limits.usd=1"),
    "tokens of the run": ("limits.tokens=60k", "limits.tokens=1M"),
    "turns of the entry agent": ("agents.lead.limits.turns=1", "agents.lead.limits.turns=9"),
    "tokens of the entry agent": ("agents.lead.limits.tokens=60k", "agents.lead.limits.tokens=1M"),
}


@pytest.mark.parametrize("limit", RAN_OUT)
@pytest.mark.parametrize(
    "scene",
    [
        Scene("keyed", 1, tokens=10_000),
        Scene("once", 1, together=True, tokens=10_000),
        Scene("once", 2, "plan", together=True, tokens=10_000),
    ],
    ids=str,
)
def test_a_run_that_ran_out_goes_on_with_more(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, scene: Scene, limit: str
):
    little, more = RAN_OUT[limit]
    if limit.startswith("dollars"):
        little = "limits.usd=0.05"

    story = processes.tell_story(tmp_path, scene, Act(overrides=(little,)), Act(overrides=(more,)))

    assert [told["stop_reason"] for told in story.told] == ["limit", "done"]
    assert story.end["asked"] == []
    check(story, answer=uninterrupted(scene))


def test_a_run_that_ran_out_and_gets_no_more_ends_in_the_same_way(processes: Processes, tmp_path: Path):
    little = Act(overrides=("limits.turns=5",))

    story = processes.tell_story(tmp_path, TOGETHER, little, little, little)

    first, *others = story.told
    assert first["stop_reason"] == "limit"
    for told in others:
        assert told == first
    assert all(len(left.world) == len(story.left[0].world) for left in story.left)


@pytest.mark.parametrize("effect", ["keyed", "once"])
def test_a_call_that_was_under_way_when_time_was_up_is_made_again_or_asked_about(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, effect: str
):
    scene = Scene(effect, 1, together=True)  # type: ignore[arg-type]
    key, label = scene.target
    out_of_time = Act(overrides=("limits.minutes=0.01",), hangs=(label,))

    story = processes.tell_story(tmp_path, scene, out_of_time, Act(overrides=("limits.minutes=5",)))

    assert [told["stop_reason"] for told in story.told] == ["limit", "done"]
    assert story.end["asked"] == ([key] if effect == "once" else [])
    check(story, answer=uninterrupted(scene))


def test_the_limit_of_a_sub_agent_may_be_raised_until_its_report_was_read(
    processes: Processes, uninterrupted: Answer, tmp_path: Path
):
    """Its parent is killed before it has asked its model what to make of the report."""
    few = Act(Crash("request", "lead", nth=2), overrides=("agents.mid.limits.turns=1",))
    many = Act(overrides=("agents.mid.limits.turns=9",))

    story = processes.tell_story(tmp_path, TOGETHER, few, many)

    assert any(isinstance(item.event, LimitWasReached) for item in story.left[0].recorded)
    assert story.end["stop_reason"] == "done"
    check_record(story)


def test_a_report_that_was_read_is_history(processes: Processes, tmp_path: Path):
    few = Act(Crash("agent_run.finished", "lead"), overrides=("agents.mid.limits.turns=2",))
    many = Act(overrides=("agents.mid.limits.turns=9",))

    story = processes.tell_story(tmp_path, IN_TURN, few, many)

    assert story.end["stop_reason"] == "done"
    assert "w.1#3 is done" not in story.end["output"]
    check_record(story)


NEARLY = [
    Crash("request", "mid", nth=3),
    Crash("request", "lead", nth=2, lost=True),
    Crash("tool_call.started", "lead/mid-1/turn-2/0", "after"),
    Crash("turn.started", "lead/mid-1", "after", nth=3),
    Crash("turn.started", "lead/mid-1", nth=4),
    Crash("limit.reached"),
    Crash("limit.reached", when="after"),
    Crash("agent_run.finished", "lead/mid-1", "after"),
]


@pytest.mark.parametrize("crash", NEARLY, ids=lambda crash: f"{crash.when}-{crash.at}-{crash.about}")
@pytest.mark.parametrize(
    "limit",
    [
        "limits.tokens=60k",
        "limits.usd=0.07",
        "limits.turns=5",
        "agents.lead.limits.tokens=60k",
        "agents.lead.limits.usd=0.07",
    ],
)
def test_what_was_used_up_before_a_crash_stays_used_up(
    processes: Processes, tmp_path: Path, limit: str, crash: Crash
):
    scene = Scene("keyed", 1, tokens=10_000)
    act = Act(overrides=(limit,))
    whole = processes.tell_story(tmp_path / "whole", scene, act)

    story = processes.tell_story(tmp_path / "killed", scene, Act(crash, overrides=act.overrides), act)

    assert (whole.end["stop_reason"], story.end["stop_reason"]) == ("limit", "limit")
    lost = sum(isinstance(item.event, ModelCallLost) for item in story.recorded)
    calls = whole.end["usage"]["calls"]
    assert calls <= story.end["usage"]["calls"] <= calls + lost
    assert len(story.left[-1].replies()) <= len(whole.left[-1].replies())
    if not lost:
        assert story.end["usage"] == whole.end["usage"]
        assert story.end["cost"] == pytest.approx(whole.end["cost"])
    check_record(story)


def test_agents_side_by_side_do_not_take_more_after_a_crash_than_before(processes: Processes, tmp_path: Path):
    scene = Scene("keyed", 2, "plan", together=True, tokens=1000)
    act = Act(overrides=("limits.tokens=12k",))
    whole = processes.tell_story(tmp_path / "whole", scene, act)

    def kill(nth: int) -> None:
        crash = Act(Crash("request", "leaf", nth=nth), overrides=act.overrides)
        story = processes.tell_story(tmp_path / f"{nth}", scene, crash, act)
        assert (whole.end["stop_reason"], story.end["stop_reason"]) == ("limit", "limit")
        assert len(story.left[-1].replies()) <= len(whole.left[-1].replies())
        check_record(story)

    side_by_side(kill, range(1, 7))


@pytest.mark.parametrize(
    ("scene", "down"),
    [
        (IN_TURN, ("lead",)),
        (IN_TURN, ("lead", "mid")),
        (TOGETHER, ("lead", "mid")),
        (DEEP, ("lead", "mid", "leaf")),
    ],
    ids=str,
)
def test_a_run_whose_models_were_down_goes_on_when_they_are_back(
    processes: Processes, uninterrupted: Answer, tmp_path: Path, scene: Scene, down: tuple[str, ...]
):
    """All goes well to a certain turn; from then on the models cannot be reached."""
    for nth in (1, 2, 3):
        folder = tmp_path / f"{nth}"
        up_to = Crash("model_call.started", "" if nth < 3 else "lead", nth=nth * 2 - 1 if nth < 3 else 2)

        story = processes.tell_story(folder, scene, Act(up_to), Act(down=down), Act(down=down), Act())

        assert [told["stop_reason"] for told in story.told] == ["failed", "failed", "done"]
        assert "cannot be reached" in story.told[0]["error"]
        check(story, answer=uninterrupted(scene))


def test_a_sub_agent_whose_model_is_down_fails_alone(processes: Processes, tmp_path: Path):
    story = processes.tell_story(tmp_path, TOGETHER, Act(down=("mid",)))

    assert story.end["stop_reason"] == "done"
    assert story.end["output"] == "w#0 is done"
    check_record(story)
    check_effects(story)


# --- a team that has changed meanwhile ---


def test_what_has_not_begun_may_change(processes: Processes, uninterrupted: Answer, tmp_path: Path):
    crash = Crash("agent_run.started", "lead/mid-1")
    changed = Act(overrides=("agents.mid.instructions=Be quick.", "limits.turns=77"))

    story = processes.tell_story(tmp_path, IN_TURN, Act(crash), changed)

    check(story, answer=uninterrupted(IN_TURN))
    told = {
        item.event.agent: item.event.message.text
        for item in story.recorded
        if isinstance(item.event, EntryAppended) and item.event.origin == "system"
    }
    assert told == {"lead": "Lead.", "lead/mid-1": "Be quick.", "lead/mid-2": "Be quick."}
    (resumed,) = [item.event for item in story.recorded if isinstance(item.event, RunResumed)]
    assert resumed.team is not None
    assert resumed.team_digest


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("agents.lead.instructions=Lead well.", "lead: entry.appended is not as recorded"),
        ("agents.mid.instructions=Be quick.", "lead/mid-1: entry.appended is not as recorded"),
        ("agents.mid.description=Fast.", "lead: agent_run.started is not as recorded"),
        ("agents.lead.delegates=[]", "lead: agent_run.started is not as recorded"),
    ],
)
def test_what_has_begun_may_not_change(processes: Processes, tmp_path: Path, change: str, place: str):
    processes.run("start", tmp_path, IN_TURN, Act(Crash("agent_run.started", "lead/mid-2")))
    before = processes.tell_story(tmp_path / "other", IN_TURN, Crash("agent_run.started", "lead/mid-2"))

    refused = processes.run("resume", tmp_path, IN_TURN, Act(overrides=(change,)))
    accepted = processes.run("resume", tmp_path, IN_TURN)

    assert refused.told["raised"] == "Divergence"
    assert (
        f"the team has changed in a way that its recorded part does not allow: {place}"
        in refused.told["message"]
    )
    assert "harness fork run --at lead" in refused.told["message"]
    assert accepted.told["output"] == before.end["output"]


def test_a_changed_team_stays_changed(processes: Processes, uninterrupted: Answer, tmp_path: Path):
    changed = ("agents.mid.instructions=Be quick.",)
    first = Act(Crash("agent_run.started", "lead/mid-1"))
    second = Act(Crash("agent_run.started", "lead/mid-2"), overrides=changed)

    story = processes.tell_story(tmp_path, IN_TURN, first, second, Act(overrides=changed))

    check(story, answer=uninterrupted(IN_TURN))
    teams = [item.event.team for item in story.recorded if isinstance(item.event, RunResumed)]
    assert [team is not None for team in teams] == [True, False]


def test_a_changed_team_may_not_change_back(processes: Processes, tmp_path: Path):
    changed = Act(Crash("agent_run.started", "lead/mid-2"), overrides=("agents.mid.instructions=Be quick.",))
    processes.run("start", tmp_path, IN_TURN, Act(Crash("agent_run.started", "lead/mid-1")))
    processes.run("resume", tmp_path, IN_TURN, changed)

    refused = processes.run("resume", tmp_path, IN_TURN)

    assert refused.told["raised"] == "Divergence"
    assert "lead/mid-1: entry.appended is not as recorded" in refused.told["message"]

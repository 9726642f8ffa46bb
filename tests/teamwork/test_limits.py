"""Limits: each ends the run cleanly with what it has; a sub-agent's own ends only the sub-agent."""

from __future__ import annotations

from pathlib import Path

import pytest
from loop_teams import brief, play, task

from harness import Usage, calls, says, scripted, together
from harness.events import AgentRunFinished, AgentRunStarted, LimitWasReached
from harness.models.port import Price

pytestmark = pytest.mark.anyio


def endless(messages):
    return calls("desk.echo", text=str(len(messages)))


@pytest.mark.parametrize("limit", ["tokens=2000", "turns=4", "minutes=0.005"])
async def test_a_limit_of_the_run_ends_it_cleanly(folder: Path, limit: str):
    slow = scripted(calls("desk.sleep")) if limit.startswith("minutes") else scripted(endless)

    played = await play(folder, f"limits.{limit}", lead=slow)

    assert played.result.stop_reason == "limit"
    (reached,) = played.of(LimitWasReached)
    assert (reached.limit, reached.scope) == (limit.partition("=")[0], "the run")
    assert played.state.agents["lead"].running == {}


async def test_a_limit_in_dollars_counts_what_calls_cost(folder: Path):
    lead = scripted(endless, usage=Usage(100_000, 0, calls=1))
    lead.price = Price(input=1.0)

    played = await play(folder, "limits.usd=0.25", lead=lead)

    assert played.result.stop_reason == "limit"
    assert played.result.cost == pytest.approx(0.3)


async def test_a_run_that_is_stopped_hands_over_what_its_sub_agents_found(folder: Path):
    found = calls(
        "report",
        status="done",
        answer="found",
        evidence=[
            {"source": "docs/a.md", "locator": "x", "quote": "The journal is the truth", "claim": "It is."}
        ],
    )
    lead = scripted(calls("delegate", **brief("scout")), endless)

    played = await play(
        folder,
        "limits.turns=6",
        "agents.lead.output.citations=required",
        lead=lead,
        scout=scripted(calls("desk.page", name="a"), found),
    )

    assert played.result.stop_reason == "limit"
    assert played.result.output == "It is. [1]"
    assert played.result.citations[0].locator == "docs/a.md:10"


async def test_a_sub_agents_own_limit_ends_only_that_sub_agent(folder: Path):
    lead = scripted(calls("delegate", **brief("scout")), says("done"))

    played = await play(folder, "agents.scout.limits.turns=3", lead=lead, scout=scripted(endless))

    assert (played.result.stop_reason, played.result.output) == ("done", "done")
    assert played.state.agents["lead/scout-1"].report.stop_reason == "limit: turns of lead/scout-1"


async def test_no_more_agents_work_at_once_than_parallel_allows(folder: Path):
    plan = [task(f"t{number}") for number in range(6)]

    played = await play(
        folder,
        "limits.parallel=2",
        lead=scripted(calls("plan", tasks=plan), says("done")),
        scout=scripted(calls("desk.echo", text="x"), says("ok")),
    )

    at_work = most = 0
    for item in played.recorded:
        if isinstance(item.event, AgentRunStarted | AgentRunFinished) and "/" in item.event.agent:
            at_work += 1 if isinstance(item.event, AgentRunStarted) else -1
            most = max(most, at_work)
    assert most == 2


async def test_delegating_in_depth_does_not_deadlock_with_one_place(folder: Path):
    team = """\
harness: 1
name: deep
entry: lead
agents:
  lead: {instructions: L., delegates: [middle]}
  middle: {instructions: M., delegates: [leaf]}
  leaf: {instructions: F.}
limits: {parallel: 1, depth: 3}
"""
    down = together(calls("delegate", **brief("leaf")), calls("delegate", **brief("leaf")))
    played = await play(
        folder,
        team=team,
        lead=scripted(
            together(calls("delegate", **brief("middle")), calls("delegate", **brief("middle"))), says("done")
        ),
        middle=scripted(down, says("m")),
        leaf=scripted(says("l")),
    )

    assert played.result.output == "done"
    assert len(played.state.agents) == 7


async def test_an_agent_at_the_depth_limit_is_offered_no_way_to_delegate(folder: Path):
    lead = scripted(says("done"))
    await play(folder, "limits.depth=1", lead=lead)
    assert "delegate" in lead.offered[0]

    team = """\
harness: 1
name: deep
entry: lead
agents:
  lead: {instructions: L., delegates: [middle]}
  middle: {instructions: M., delegates: [leaf]}
  leaf: {instructions: F.}
limits: {depth: 1}
"""
    middle = scripted(says("m"))
    await play(
        folder, team=team, lead=scripted(calls("delegate", **brief("middle")), says("x")), middle=middle
    )
    assert "delegate" not in middle.offered[0]

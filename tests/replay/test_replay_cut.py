"""Runs that were cut: by time that is up in the middle of everything, and by a crash at any event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

import harness
from harness import FunctionToolset, Message, Recorded, calls, fold, says, scripted, together
from harness.events import AgentRunFinished, LimitWasReached, RunFinished, ToolCallFinished
from harness.models.port import CallOptions, Model, ModelResponse, Observe, Transcript
from harness.models.scripted import Reply, ScriptedModel
from harness.replaying import replay_run
from harness.team import parse_team
from harness.tools.port import Tool
from tests.replay.by_hand import run_by_hand
from tests.replay.scenes import play

pytestmark = pytest.mark.anyio

TEAM = """\
harness: 1
name: cut
entry: lead
models: {default: {api: scripted, script: [{say: Nothing.}]}}
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [middle, scout], LEAD}
  middle: {instructions: Middle., tools: [desk], delegates: [scout], MIDDLE}
  scout: {instructions: Scout., tools: [desk], SCOUT}
"""

SOON = "limits: {minutes: 0.001}"
"""A fifteenth of a second."""


async def wait() -> str:
    """Wait for ever."""
    await anyio.sleep_forever()
    return "never"


async def look() -> str:
    """Look."""
    return "a page"


class Slow(ScriptedModel):
    """A model whose last reply never comes."""

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Return the next reply, or nothing ever."""
        if len(self.requests) == len(self._replies) - 1:
            await anyio.sleep_forever()
        return await super().respond(transcript, options, observe)


def delegate(agent: str) -> Message:
    return calls("delegate", agent=agent, objective="Find X.", expected_output="", sources="", boundaries="")


def plan(*agents: str, needs: bool = False) -> Message:
    tasks = [
        {
            "id": f"t{number}",
            "agent": agent,
            "objective": f"Find {number}.",
            "expected_output": "",
            "sources": "",
            "boundaries": "",
            "needs": [f"t{number - 1}"] if needs and number else [],
        }
        for number, agent in enumerate(agents)
    ]
    return calls("plan", tasks=tasks)


@dataclass(frozen=True)
class Cut:
    """A team in which time is up for somebody while others are where it hurts."""

    lead: Sequence[Reply]
    middle: Sequence[Reply] = (says("Enough."),)
    scout: Sequence[Reply] = (says("Here."),)
    limits: Mapping[str, str] = field(default_factory=lambda: {"LEAD": SOON})
    rest: str = ""
    slow: bool = False
    """Whether the scout's last reply never comes."""


WAITS, LOOKS = calls("desk.wait"), calls("desk.look")

CUTS: dict[str, Cut] = {
    "while a tool runs": Cut([together(LOOKS, WAITS), says("Done.")]),
    "while a model thinks": Cut([delegate("scout"), says("Done.")], scout=[LOOKS, says("Never.")], slow=True),
    "while a sub-agent's tool runs": Cut([together(delegate("scout"), LOOKS)], scout=[LOOKS, WAITS]),
    "while sub-agents of sub-agents work": Cut(
        [together(delegate("middle"), delegate("middle"))],
        middle=[together(delegate("scout"), LOOKS)],
        scout=[WAITS],
    ),
    "while sub-agents wait for a place": Cut(
        [together(*[delegate("scout")] * 3, plan("scout", "scout"))],
        scout=[WAITS],
        rest="limits: {parallel: 1}",
    ),
    "while tasks wait for others": Cut([plan("scout", "middle", "scout", needs=True)], scout=[WAITS]),
    "while a plan waits for another": Cut([together(plan("scout"), plan("middle"), LOOKS)], scout=[WAITS]),
    "while a person is asked": Cut(
        [together(LOOKS, delegate("scout"))],
        scout=[together(LOOKS, LOOKS)],
        rest="permissions: [{tool: desk.look, agent: scout, allow: ask}]",
    ),
    "of a sub-agent, and its parent goes on": Cut(
        [together(delegate("middle"), LOOKS), LOOKS, says("Done.")],
        middle=[together(delegate("scout"), WAITS)],
        scout=[LOOKS, WAITS],
        limits={"MIDDLE": SOON},
    ),
    "of one of two that work beside each other": Cut(
        [together(delegate("middle"), delegate("scout")), says("Done.")],
        middle=[WAITS],
        scout=[LOOKS, LOOKS, says("Here.")],
        limits={"MIDDLE": SOON},
    ),
    "of a sub-agent and then of its parent": Cut(
        [together(delegate("middle"), WAITS)],
        middle=[together(delegate("scout"), WAITS)],
        scout=[WAITS],
        limits={"LEAD": "limits: {minutes: 0.003}", "MIDDLE": SOON, "SCOUT": "limits: {minutes: 0.0005}"},
    ),
    "of the run": Cut([together(delegate("middle"), LOOKS)], middle=[WAITS], limits={}, rest=SOON),
    "of everybody at the same moment": Cut(
        [together(delegate("middle"), delegate("scout"))],
        middle=[delegate("scout")],
        scout=[WAITS],
        limits={"LEAD": SOON, "MIDDLE": SOON, "SCOUT": SOON},
    ),
}


async def recorded_cut(folder: Path, cut: Cut) -> list[Recorded]:
    """Run a team until time is up, and return its record."""
    text = TEAM
    for name in ("LEAD", "MIDDLE", "SCOUT"):
        limits = cut.limits.get(name, "")
        text = text.replace(f", {name}", f", {limits}" if limits else "")
    (folder / "team.yaml").write_text(text + cut.rest)
    models: dict[str, Model] = {
        "lead": scripted(*cut.lead),
        "middle": scripted(*cut.middle),
        "scout": (Slow if cut.slow else ScriptedModel)(*cut.scout),
    }
    tools: list[Any] = [FunctionToolset("desk", wait, look, effect="read")]
    with anyio.fail_after(20):
        async with harness.open(
            folder / "team.yaml", store=":memory:", models=models, toolsets=tools
        ) as opened:
            run = await opened.start("Where is X?")
            run.be_patient()
            return [item async for item in run.events()]


async def assert_every_beginning_replays(recorded: Sequence[Recorded]) -> None:
    """Check that the record replays exactly, wherever it is cut off."""
    for length in range(1, len(recorded) + 1):
        beginning = recorded[:length]
        with anyio.fail_after(20):
            replayed = await replay_run(beginning)
        assert replayed.text == "", length
        assert replayed.replay.state == fold(beginning), length
        assert replayed.replay.ended == isinstance(beginning[-1].event, RunFinished)


@pytest.mark.parametrize("moment", CUTS)
async def test_a_run_replays_exactly_in_which_time_was_up(tmp_path: Path, moment: str):
    recorded = await recorded_cut(tmp_path, CUTS[moment])

    reached = [item.event for item in recorded if isinstance(item.event, LimitWasReached)]
    assert {limit.limit for limit in reached} == {"minutes"}
    await assert_every_beginning_replays(recorded)


async def test_a_call_may_be_cut_when_its_sub_agent_has_reported_already(tmp_path: Path):
    @asynccontextmanager
    async def slow_to_close(
        patterns: Sequence[str], *, agent: str, emit: object
    ) -> AsyncGenerator[list[Tool]]:
        yield []
        if "/" in agent:
            await anyio.sleep_forever()

    text = TEAM.replace(", LEAD", f", {SOON}").replace(", MIDDLE", "").replace(", SCOUT", "")
    team = parse_team(text, base=tmp_path, servers=["desk"])
    models: dict[str, Model] = {
        "lead": scripted(delegate("scout"), says("Never.")),
        "middle": scripted(says("Never asked.")),
        "scout": scripted(says("Here.")),
    }
    recorded = await run_by_hand(team, models, tools=slow_to_close)

    told = [item.event for item in recorded if isinstance(item.event, AgentRunFinished | ToolCallFinished)]
    assert [getattr(event, "error_type", "") for event in told] == ["", "cancelled", ""]
    await assert_every_beginning_replays(recorded)


@pytest.mark.parametrize("seed", range(200, 206))
async def test_a_record_that_was_cut_off_anywhere_replays_up_to_there(seed: int):
    scene = await play(seed)
    for summary in scene.journal.runs():
        await assert_every_beginning_replays(scene.recorded(summary.run_id)[:250])

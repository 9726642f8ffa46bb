"""Recorded runs held against a team file that has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from inline_snapshot import snapshot

import harness
from harness import FunctionToolset, Message, Recorded, calls, says, scripted, together
from harness.replaying import Replayed, replay_run
from tests.benchmarks.model_server import model_server

pytestmark = pytest.mark.anyio

TEAM = """\
harness: 1
name: changing
entry: lead
models:
  default: {api: scripted, script: [{say: Nothing.}]}
  other: {api: openai-chat, base_url: "http://127.0.0.1:9/v1", model: some-model, api_key: "${SOME_KEY}"}
  rules: {api: offline}
agents:
  lead:
    instructions: Lead the way.
    tools: [desk.look]
    delegates: [scout, digger]
  scout:
    description: Finds things.
    instructions: Scout about.
    tools: [desk.look, desk.ask]
  digger:
    description: Digs deep.
    instructions: Dig.
  idle:
    description: Waits.
    instructions: Wait.
"""


def look(where: str) -> str:
    """Look somewhere."""
    return f"nothing in {where}"


def ask(whom: str) -> str:
    """Ask somebody."""
    return f"{whom} says no"


def delegates(agent: str) -> Message:
    return calls("delegate", agent=agent, objective="Find X.", expected_output="", sources="", boundaries="")


@pytest.fixture
async def recorded(tmp_path: Path) -> list[Recorded]:
    """A run in which the lead asks two sub-agents at once, and one of them takes three turns."""
    team = tmp_path / "team.yaml"
    team.write_text(TEAM.replace("${SOME_KEY}", "a-key"))
    models = {
        "lead": scripted(
            calls("desk.look", where="the hall"),
            together(delegates("scout"), delegates("digger")),
            says("Found."),
        ),
        "scout": scripted(
            calls("desk.look", where="the attic"), calls("desk.ask", whom="the cook"), says("It is there.")
        ),
        "digger": scripted(says("Not below.")),
    }
    with anyio.fail_after(20):
        async with harness.open(
            team, store=":memory:", models=models, toolsets=[FunctionToolset("desk", look, ask)]
        ) as opened:
            run = await opened.start("Where is X?")
            return [item async for item in run.events()]


async def against(recorded: list[Recorded], tmp_path: Path, changes: Mapping[str, str]) -> Replayed:
    """Hold the run against the team with these texts replaced; no variable of the file is set."""
    text = TEAM
    for before, after in changes.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    team = tmp_path / "changed.yaml"
    team.write_text(text)
    with anyio.fail_after(20):
        return await replay_run(recorded, against=team)


def places(replayed: Replayed) -> list[str]:
    """Where each agent's requests first differ or are missing."""
    return [f"{one.agent}/turn-{one.turn}" for one in replayed.differences]


async def test_a_team_that_is_the_same_makes_the_same_requests(recorded: list[Recorded], tmp_path: Path):
    replayed = await against(recorded, tmp_path, {})

    assert replayed.exact
    assert replayed.replay.requests == replayed.replay.recorded_requests == 7
    assert replayed.text == ""


SAME = {
    "the description of an agent nobody delegates to": ("Waits.", "Waits for long."),
    "the instructions of an agent that never ran": ("instructions: Wait.", "instructions: Wait for long."),
    "a limit that is not reached": (
        "instructions: Scout about.",
        "instructions: Scout about.\n    limits: {turns: 3}",
    ),
    "a rule that asks a person": ("agents:", "permissions: [{tool: desk.ask, allow: ask}]\nagents:"),
    "a rule that is about other tools": ("agents:", "permissions: [{tool: desk.burn, allow: no}]\nagents:"),
    "the order of tools": ("[desk.look, desk.ask]", "[desk.ask, desk.look]"),
    "the model of an agent that never ran": ("instructions: Wait.", "instructions: Wait.\n    model: other"),
    "the name of the team": ("name: changing", "name: changed"),
}


@pytest.mark.parametrize("change", SAME)
async def test_a_change_that_does_not_matter_is_told_but_no_fault(
    recorded: list[Recorded], tmp_path: Path, change: str
):
    replayed = await against(recorded, tmp_path, dict([SAME[change]]))

    assert replayed.exact
    assert replayed.team


OTHER = {
    "the instructions of a sub-agent": ("Scout about.", "Scout around.", ["lead/scout-1/turn-1"]),
    "the instructions of the entry agent": ("Lead the way.", "Lead a way.", ["lead/turn-1"]),
    "the description of a delegate": ("Finds things.", "Loses things.", ["lead/turn-1"]),
    "a new tool that another agent had": ("tools: [desk.look]", "tools: [desk]", ["lead/turn-1"]),
    "a new tool that nobody had": ("tools: [desk.look]", "tools: [desk.look, desk.burn]", ["lead/turn-1"]),
    "a tool less": ("[desk.look, desk.ask]", "[desk.look]", ["lead/scout-1/turn-1"]),
    "a delegate less": ("[scout, digger]", "[scout]", ["lead/turn-1", "lead/digger-1/turn-1"]),
    "another model": ("instructions: Dig.", "instructions: Dig.\n    model: other", ["lead/digger-1/turn-1"]),
    "another model that hears the same": (
        "instructions: Dig.",
        "instructions: Dig.\n    model: rules",
        ["lead/digger-1/turn-1"],
    ),
    "a limit in turns that would have been reached": (
        "instructions: Scout about.",
        "instructions: Scout about.\n    limits: {turns: 2}",
        ["lead/scout-1/turn-3", "lead/turn-3"],
    ),
    "a limit in tokens of the run that would have been reached": (
        "agents:",
        "limits: {tokens: 1500}\nagents:",
        ["lead/turn-2", "lead/scout-1/turn-1", "lead/digger-1/turn-1"],
    ),
    "a rule that denies a call": (
        "agents:",
        "permissions: [{tool: desk.ask, allow: no}]\nagents:",
        ["lead/scout-1/turn-3"],
    ),
    "a report that is too long now": (
        "instructions: Dig.",
        "instructions: Dig.\n    report: {max_tokens: 2}",
        ["lead/digger-1/turn-1"],
    ),
}


@pytest.mark.parametrize("change", OTHER)
async def test_the_first_request_of_each_agent_that_differs_is_found(
    recorded: list[Recorded], tmp_path: Path, change: str
):
    before, after, expected = OTHER[change]

    replayed = await against(recorded, tmp_path, {before: after})

    assert places(replayed) == expected
    assert not replayed.exact
    assert replayed.replay.requests < replayed.replay.recorded_requests


async def test_several_changes_are_told_agent_by_agent_the_first_one_first(
    recorded: list[Recorded], tmp_path: Path
):
    changes = {"Scout about.": "Scout around.", "instructions: Dig.": "instructions: Dig deep."}

    replayed = await against(recorded, tmp_path, changes)

    assert replayed.text.replace(replayed.replay.run_id, "RUN") == snapshot("""\
run RUN is not as recorded
team: models.other.api_key: "a-key" -> "${SOME_KEY}"
team: agents.scout.instructions: "Scout about." -> "Scout around."
team: agents.digger.instructions: "Dig." -> "Dig deep."
lead/scout-1/turn-1: the request is not the recorded one
  entry 0 of the request (system)
    - Scout about.
    + Scout around.
lead/digger-1/turn-1: the request is not the recorded one
  entry 0 of the request (system)
    - Dig.
    + Dig deep.\
""")


async def test_a_report_that_differs_is_told_in_the_request_it_comes_into(
    recorded: list[Recorded], tmp_path: Path
):
    limited = "instructions: Scout about.\n    limits: {turns: 2}"

    replayed = await against(recorded, tmp_path, {"instructions: Scout about.": limited})

    assert replayed.text.replace(replayed.replay.run_id, "RUN") == snapshot("""\
run RUN is not as recorded
team: models.other.api_key: "a-key" -> "${SOME_KEY}"
team: agents.scout.limits.turns: added 2
lead/scout-1/turn-3: the request did not happen again: limit: turns of lead/scout-1
lead/turn-3: the request is not the recorded one
  entry 5 of the request (report:lead/scout-1)
    - {"agent":"scout","handle":"agent:lead/scout-1","status":"done","answer":"It is there."}
    + {"agent":"scout","handle":"agent:lead/scout-1","status":"failed","answer":"","stopped_by":"limit: turns of lead/scout-1"}\
""")


KEYED = """\
harness: 1
name: keyed
entry: lead
models: {default: {api: openai-chat, base_url: "${URL}", api_key: "${SOME_KEY}", model: some-model}}
agents: {lead: {instructions: Lead.}}
"""


async def test_a_request_to_another_model_is_another_request_though_it_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "team.yaml").write_text(KEYED)
    (tmp_path / "changed.yaml").write_text(KEYED.replace("some-model", "other-model"))
    with anyio.fail_after(20):
        async with model_server() as server:
            monkeypatch.setenv("URL", server.base_url)
            monkeypatch.setenv("SOME_KEY", "a-key")
            async with harness.open(tmp_path / "team.yaml", store=":memory:") as opened:
                run = await opened.start("SCRIPT: turns=0 tool=echo")
                recorded = [item async for item in run.events()]
        monkeypatch.delenv("URL")
        monkeypatch.delenv("SOME_KEY")

        same = await replay_run(recorded, against=tmp_path / "team.yaml")
        replayed = await replay_run(recorded, against=tmp_path / "changed.yaml")

    assert same.exact
    assert places(replayed) == ["lead/turn-1"]
    assert replayed.differences[0].what == "the model"

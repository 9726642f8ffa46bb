"""Sessions: what earlier runs of a thread came to stands in the window of the next."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

import harness
from harness import says, scripted
from harness.replay import carry_out_again

TEAM = """\
harness: 1
name: talk
entry: lead
agents:
  lead: {instructions: Talk.}
"""

pytestmark = pytest.mark.anyio


@pytest.fixture
def team(tmp_path: Path) -> Path:
    (tmp_path / "team.yaml").write_text(TEAM)
    return tmp_path / "team.yaml"


async def test_a_run_of_a_session_begins_with_what_the_earlier_ones_came_to(team: Path, tmp_path: Path):
    model = scripted(lambda messages: says(f"answer {len(messages)}"))

    async with harness.open(team, store=tmp_path / "runs", models={"lead": model}) as opened:
        await opened.run("My desk is by the window.", session="owner")
        await opened.run("Nothing to do with it.", session="other")
        await opened.run("Without one.")
        run = await opened.start("Where is my desk?", session="owner")
        await run.result()
        recorded = list(opened.journal.read(run.id))

        window = run.state.agents["lead"].window
        assert window.origins == ["system", "session", "session", "task", "assistant"]
        assert [entry.message.text for entry in window.entries[1:4]] == [
            "[Earlier in this session] My desk is by the window.",
            "answer 2",
            "Where is my desk?",
        ]
        assert (await carry_out_again(recorded, opened.team, {"lead": model})).exact


async def test_long_threads_are_carried_along_from_their_end(team: Path, tmp_path: Path):
    model = scripted(says("word " * 1500))

    async with harness.open(team, store=tmp_path / "runs", models={"lead": model}) as opened:
        for number in range(4):
            await opened.run(f"Task {number}.", session="long")
            await anyio.lowlevel.checkpoint()
        run = await opened.start("And now?", session="long")
        await run.result()

    tasks = [entry.message.text for entry in run.state.agents["lead"].window.entries[1:-2:2]]
    assert tasks == [f"[Earlier in this session] Task {number}." for number in (2, 3)]


async def test_the_offline_model_answers_the_task_and_not_what_came_before(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("The kettle holds two litres.\n\nThe oven reaches 250 degrees.\n")
    (tmp_path / "team.yaml").write_text(
        "harness: 1\nname: t\nentry: lead\n"
        "mcpServers: {corpus: {module: toolservers.corpus, args: {root: ./docs}}}\n"
        "agents:\n  lead: {use: researcher, tools: [corpus]}\n"
    )

    async with harness.open(tmp_path / "team.yaml", store=tmp_path / "runs") as opened:
        await opened.run("How much does the kettle hold?", session="s")
        result = await opened.run("How hot does the oven get?", session="s")

    assert "250 degrees" in result.output
    assert "kettle" not in result.output

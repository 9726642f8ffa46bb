"""The law of the journal: folding its events gives the live state, whatever the run was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness import MemoryJournal, calls, fold, says, scripted, together
from harness.errors import ModelError
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    ModelCallFinished,
    ModelCallStarted,
    Recorded,
    ToolCallFinished,
    ToolCallStarted,
)
from harness.journal import SqliteJournal
from harness.messages import Message

TEAM = """\
harness: 1
name: law
entry: lead
agents:
  lead: {instructions: Lead., delegates: [middle, leaf]}
  middle: {instructions: Middle., delegates: [leaf]}
  leaf: {instructions: Leaf.}
limits: {parallel: 3}
"""

BRIEF = {"expected_output": "x", "sources": "x", "boundaries": "x"}

delegation = st.sampled_from(["middle", "leaf"]).map(
    lambda agent: calls("delegate", agent=agent, objective=f"ask {agent}", **BRIEF)
)
broken = st.sampled_from(
    [
        calls("delegate", agent="nobody"),
        calls("no.such_tool", x=1),
        calls("read_result", handle="result:nothing"),
    ]
)


@st.composite
def plan(draw: st.DrawFn) -> Message:
    number = draw(st.integers(1, 4))
    tasks = [
        {
            "id": f"t{index}",
            "agent": draw(st.sampled_from(["middle", "leaf"])),
            "objective": f"task {index}",
            "needs": [f"t{need}" for need in range(index) if draw(st.booleans())],
            **BRIEF,
        }
        for index in range(number)
    ]
    return calls("plan", tasks=tasks)


turn = st.lists(st.one_of(delegation, broken, plan()), min_size=1, max_size=3).map(
    lambda parts: together(*parts)
)
ending = st.one_of(
    st.text(min_size=1, max_size=20).map(says), st.just(ModelError("the model broke")), st.just(says(""))
)
script = st.tuples(st.lists(turn, max_size=2), ending).map(lambda pair: [*pair[0], pair[1]])


@settings(max_examples=60, deadline=None)
@given(lead=script, middle=script, leaf=ending)
def test_folding_the_events_gives_the_live_state(
    lead: Sequence[object], middle: Sequence[object], leaf: object
):
    with TemporaryDirectory() as folder:
        anyio.run(check_law, Path(folder), lead, middle, leaf)


async def check_law(folder: Path, lead: Sequence[object], middle: Sequence[object], leaf: object) -> None:
    (folder / "team.yaml").write_text(TEAM)
    models = {"lead": scripted(*lead), "middle": scripted(*middle), "leaf": scripted(leaf)}
    journal = SqliteJournal(folder / "runs.db")
    try:
        with anyio.fail_after(30):
            async with harness.open(folder / "team.yaml", store=journal, models=models) as team:
                run = await team.start("go")
                await run.result()
        recorded = list(journal.read(run.id))
    finally:
        await journal.close()

    assert [item.sequence for item in recorded] == list(range(len(recorded)))
    assert fold(recorded) == run.state
    for length in range(0, len(recorded), 7):
        fold(recorded[:length])
    assert_balanced(recorded)
    # What the models were really sent is what the windows hold.
    sent = [request for model in models.values() for request in model.requests]
    windows = [tuple(entry.message for entry in agent.window.entries) for agent in run.state.agents.values()]
    assert all(any(window[: len(request)] == request for window in windows) for request in sent)


def assert_balanced(recorded: Sequence[Recorded]) -> None:
    """Check that everything that was started also ended, once."""
    pairs = (
        (AgentRunStarted, AgentRunFinished, lambda event: event.agent),
        (ModelCallStarted, ModelCallFinished, lambda event: (event.agent, event.turn)),
        (ToolCallStarted, ToolCallFinished, lambda event: event.key),
    )
    for began, ended, key in pairs:
        started = [key(item.event) for item in recorded if isinstance(item.event, began)]
        finished = [key(item.event) for item in recorded if isinstance(item.event, ended)]
        assert sorted(map(str, started)) == sorted(map(str, finished))
        assert len(set(started)) == len(started)


def test_the_same_scripted_run_records_the_same_events_twice(tmp_path: Path):
    (tmp_path / "team.yaml").write_text(TEAM)
    lead = [
        together(
            calls("delegate", agent="middle", objective="a", **BRIEF),
            calls("delegate", agent="leaf", objective="b", **BRIEF),
        ),
        says("done"),
    ]
    middle = [calls("delegate", agent="leaf", objective="c", **BRIEF), says("m")]

    def events() -> list[object]:
        journal = MemoryJournal()
        models = {"lead": scripted(*lead), "middle": scripted(*middle), "leaf": scripted(says("l"))}
        result = harness.run_sync(tmp_path / "team.yaml", "go", store=journal, models=models)
        return [item.event for item in journal.read(result.run_id)][:-1]

    assert events() == events()

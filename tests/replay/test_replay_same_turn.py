"""What goes on beside an agent in one turn depends on the clock, so it cannot be read or cited in that turn."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

import harness
from harness import FunctionToolset, Message, Recorded, calls, says, scripted, together
from harness.events import CitationsVerified, ToolCallFinished
from harness.models.scripted import Reply
from harness.replaying import replay_run

pytestmark = pytest.mark.anyio

TEAM = """\
harness: 1
name: beside
entry: lead
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [scout], output: {citations: OUTPUT}}
  scout: {instructions: Scout., tools: [desk]}
"""

PAGE = "The tides rise because the moon pulls on the sea. "


async def look(times: int) -> str:
    """Look at a page."""
    return PAGE * times


SCOUT = calls("delegate", agent="scout", objective="Find X.", expected_output="", sources="", boundaries="")
LONG, SHORT = calls("desk.look", times=900), calls("desk.look", times=1)


def read(handle: str) -> Message:
    return calls("read_result", handle=handle, offset=0, limit=40)


def answer() -> Message:
    evidence = {"source": '{"times":1}', "locator": "", "quote": "the moon pulls on the sea"}
    return calls("answer", claims=[{"text": "The moon does it.", "citations": [evidence]}])


async def recorded(folder: Path, lead: list[Reply], *, citations: str = "none") -> list[Recorded]:
    (folder / "team.yaml").write_text(TEAM.replace("OUTPUT", citations))
    models = {"lead": scripted(*lead), "scout": scripted(LONG, says("Here."))}
    desk = FunctionToolset("desk", look, effect="read")
    with anyio.fail_after(20):
        async with harness.open(
            folder / "team.yaml", store=":memory:", models=models, toolsets=[desk]
        ) as opened:
            run = await opened.start("Why do tides rise?")
            return [item async for item in run.events()]


def shown(events: list[Recorded], key: str) -> str:
    return next(
        item.event.shown
        for item in events
        if isinstance(item.event, ToolCallFinished) and item.event.key == key
    )


HANDLES = {
    "an own result": ("result:lead/turn-1/0", LONG),
    "a sub-agent's work": ("agent:lead/scout-1", SCOUT),
    "a sub-agent's result": ("result:lead/scout-1/turn-1/0", SCOUT),
}


@pytest.mark.parametrize("what", HANDLES)
async def test_a_handle_can_be_read_from_the_turn_after_it_was_given(tmp_path: Path, what: str):
    handle, call = HANDLES[what]

    events = await recorded(tmp_path, [together(call, read(handle)), read(handle), says("Done.")])

    assert shown(events, "lead/turn-1/1") == f"there is nothing to read at '{handle}'"
    assert not shown(events, "lead/turn-2/0").startswith("there is nothing")
    assert (await replay_run(events)).text == ""


async def test_what_is_read_beside_an_answer_cannot_be_cited_in_it(tmp_path: Path):
    events = await recorded(tmp_path, [together(SHORT, answer()), answer()], citations="required")

    kept = [item.event.kept for item in events if isinstance(item.event, CitationsVerified)]
    assert "does not stand in anything this run has read" in shown(events, "lead/turn-1/1")
    assert kept == [1]
    assert (await replay_run(events)).text == ""

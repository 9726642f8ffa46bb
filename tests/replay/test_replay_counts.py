"""Runs that were counted with another vocabulary, or checked by another version of a library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import Message, calls, fold, says, scripted, together
from harness.events import AgentRunFinished, DeliverableRejected, EntryAppended, ToolCallFinished
from harness.messages import ToolCall
from harness.models.port import Model
from harness.replaying import replay_run
from harness.team import parse_team
from tests.replay.by_hand import run_by_hand

pytestmark = pytest.mark.anyio

TEAM = """\
harness: 1
name: counted
entry: lead
models: {default: {api: scripted, script: [{say: Nothing.}]}}
agents:
  lead: {instructions: Lead., delegates: [scout]}
  scout: {instructions: Scout., report: {max_tokens: 40}}
"""


def delegates() -> Message:
    return calls(
        "delegate", agent="scout", objective="Find X.", expected_output="", sources="", boundaries=""
    )


def reports(words: int, **more: Any) -> Message:
    return calls("report", status="done", answer="word " * words, **more)


EVIDENCE = [{"source": "a.md", "locator": "a.md:1", "quote": "a quote of some length"}] * 3

SCOUTS = {
    "short reports": says("Here."),
    "a report that is too long once": reports(9),
    "a report that is cut": reports(300, evidence=EVIDENCE),
    "a text that is cut": says("word " * 300),
    "two reports at once, the second too long": together(reports(2), reports(300)),
}


@pytest.mark.parametrize(
    "count", [lambda text: 3 * len(text), lambda text: 1 + len(text) // 100], ids=["more", "less"]
)
@pytest.mark.parametrize("scout", SCOUTS)
async def test_a_run_that_was_counted_otherwise_replays_exactly(
    tmp_path: Path, scout: str, count: Callable[[str], int]
):
    reply = SCOUTS[scout]
    models: dict[str, Model] = {
        "lead": scripted(together(delegates(), delegates()), says("Found.")),
        "scout": scripted(reply, reply, says("Enough.")),
    }
    recorded = await run_by_hand(parse_team(TEAM, base=tmp_path), models, count=count)

    replayed = await replay_run(recorded)

    assert replayed.text == ""
    assert replayed.replay.ended
    assert replayed.replay.state == fold(recorded)


async def test_the_counts_of_these_runs_decide_otherwise_than_ours_would(tmp_path: Path):
    """Without this the test above would prove nothing."""
    outcomes: set[tuple[int, bool]] = set()
    for count in (lambda text: 3 * len(text), lambda text: 1 + len(text) // 100):
        models: dict[str, Model] = {
            "lead": scripted(delegates(), says("Found.")),
            "scout": scripted(reports(20), reports(20)),
        }
        recorded = await run_by_hand(parse_team(TEAM, base=tmp_path), models, count=count)
        rejections = sum(isinstance(item.event, DeliverableRejected) for item in recorded)
        report = next(item.event.report for item in recorded if isinstance(item.event, AgentRunFinished))
        outcomes.add((rejections, report.shortened))
    assert outcomes == {(1, True), (0, False)}


async def test_what_a_library_said_of_wrong_arguments_is_not_asked_of_it_again(tmp_path: Path):
    models: dict[str, Model] = {
        "lead": scripted(
            calls(
                "delegate", agent="nobody", objective="Find X.", expected_output="", sources="", boundaries=""
            ),
            Message("assistant", (ToolCall("c2", "delegate", "{not json"),)),
            says("Given up."),
        ),
        "scout": scripted(says("Never asked.")),
    }
    recorded = await run_by_hand(parse_team(TEAM, base=tmp_path), models, count=len)
    words = {
        "'nobody' is not one of": "nobody cannot be any of",
        "not valid JSON: ": "not valid JSON: dear me, ",
    }

    forged = [replace(item, event=reworded(item.event, words)) for item in recorded]

    assert forged != recorded
    replay = (await replay_run(forged)).replay
    # The requests hold the words, so that their hashes differ; nothing else does.
    assert [one.event.type for one in replay.divergences if one.event] == ["model_call.started"]
    assert replay.divergences[0].turn == 2


def reworded(event: Any, words: dict[str, str]) -> Any:
    """The event as another version of a library would have had it."""
    match event:
        case ToolCallFinished(shown=text):
            return replace(event, shown=reword(text, words))
        case EntryAppended(message=message) if message.role == "tool":
            part = message.parts[0]
            return replace(event, message=Message("tool", (replace(part, text=reword(part.text, words)),)))
        case _:
            return event


def reword(text: str, words: dict[str, str]) -> str:
    for before, after in words.items():
        text = text.replace(before, after)
    return text

"""Runs to write into journals."""

from __future__ import annotations

from collections.abc import Sequence

from harness.events import (
    Decision,
    EntryAppended,
    Event,
    ModelCallFinished,
    Recorded,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    TurnFinished,
    TurnStarted,
)
from harness.journal import Answer
from harness.messages import ToolCall, Usage, assistant, user

PAGE = "A page of text that is long enough to be kept as content of its own. " * 8


def started(name: str = "research") -> RunStarted:
    return RunStarted(
        team_name=name,
        team_digest="d1",
        team={"harness": 1, "agents": {"lead": {"description": "Plans the research."}}},
        task=user("Which of these is it, and where does it say so?"),
        entry="lead",
        harness_version="0.1.0",
    )


def finished(run_id: str = "run") -> RunFinished:
    return RunFinished(run_id=run_id, stop_reason="done", output="It is the fourth.", usage=Usage(10, 5))


def turn(number: int) -> list[Event]:
    message = assistant("I will look it up.", ToolCall("c1", "corpus.read", '{"document": "four"}'))
    return [
        TurnStarted(agent="lead", turn=number),
        ModelCallFinished(
            agent="lead",
            turn=number,
            message=message,
            stop_reason="tool_calls",
            usage=Usage(100, 20),
            cost=None,
            model="m",
        ),
        EntryAppended(agent="lead", entry=number, origin="assistant", message=message, tokens=20),
        ToolCallFinished(
            agent="lead",
            turn=number,
            call_id="c1",
            key=f"lead/turn-{number}/0",
            tool="corpus.read",
            shown=f"{number}: {PAGE}",
        ),
        TurnFinished(agent="lead", turn=number),
    ]


def an_answer(decision: Decision = "approved", *, turn: int = 1, number: int = 1) -> Answer:
    return Answer(
        key=f"lead/turn-{turn}/0",
        number=number,
        decision=decision,
        at=1_795_570_455.5,
        arguments='{"document": "five"}',
        content={"why": ["it is newer"], "half": "\ud83d"},
        by="owner",
        reason="The fifth is newer. \udfff",
    )


def a_run(turns: int = 2, *, run_id: str = "run", at: float = 1000.0) -> list[Recorded]:
    """Return a whole run, from its beginning to its end."""
    events: list[Event] = [started()]
    for number in range(1, turns + 1):
        events += turn(number)
    return numbered([*events, finished(run_id)], run_id=run_id, at=at)


def numbered(
    events: Sequence[Event], *, run_id: str = "run", start: int = 0, at: float = 1000.0
) -> list[Recorded]:
    return [Recorded(run_id, start + place, at + start + place, event) for place, event in enumerate(events)]

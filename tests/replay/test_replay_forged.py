"""Records that somebody has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import anyio
import pytest

from harness.errors import StoreError
from harness.events import (
    AgentRunFinished,
    EntryAppended,
    Event,
    ModelCallFinished,
    ModelCallRetried,
    ModelCallStarted,
    Recorded,
    RunFinished,
    RunResumed,
    ToolCallFinished,
)
from harness.messages import Message, Text, ToolCall
from harness.replay.divergence import describe_divergence
from harness.replaying import replay_run
from tests.replay.scenes import play

pytestmark = pytest.mark.anyio


def other(text: str) -> str:
    """A text of which one character is another one."""
    middle = len(text) // 2
    return text[:middle] + ("x" if text[middle : middle + 1] != "x" else "y") + text[middle + 1 :]


def other_message(message: Message) -> Message:
    """A message of which one character is another one, or an empty one that is not empty."""
    for position, part in enumerate(message.parts):
        match part:
            case Text(text=text):
                changed: Any = replace(part, text=other(text))
            case ToolCall(arguments=arguments):
                changed = replace(part, arguments=other(arguments))
            case _:
                continue
        return replace(message, parts=(*message.parts[:position], changed, *message.parts[position + 1 :]))
    return Message(message.role, (Text("x"),))


def tampered(event: Event) -> Event | None:
    """The event with one byte changed; None for those that are not tried."""
    match event:
        case ModelCallStarted(digest=digest):
            return replace(event, digest=other(digest))
        case ModelCallFinished(message=Message() as message):
            return replace(event, message=other_message(message))
        case ToolCallFinished(whole=None, shown=shown) if shown:
            return replace(event, shown=other(shown))
        case ToolCallFinished(whole=str() as whole):
            return replace(event, whole=other(whole[:100]) + whole[100:])
        case AgentRunFinished(report=report) if report.answer:
            return replace(event, report=replace(report, answer=other(report.answer)))
        case RunFinished(output=str() as output) if output:
            return replace(event, output=other(output))
        case _:
            return None


def forgeries(recorded: list[Recorded]) -> Iterator[tuple[Recorded, list[Recorded]]]:
    """Every event that is tried and that something later rests on, and the record with it forged."""
    last_entry = {
        item.event.agent: item.sequence for item in recorded if isinstance(item.event, EntryAppended)
    }
    for position, item in enumerate(recorded):
        forged = tampered(item.event)
        agent = getattr(item.event, "agent", "")
        rests_on_it = not isinstance(item.event, ModelCallFinished | ToolCallFinished) or (
            last_entry.get(agent, 0) > item.sequence
        )
        if forged is not None and rests_on_it:
            yield item, [*recorded[:position], replace(item, event=forged), *recorded[position + 1 :]]


@pytest.fixture(scope="module")
def finished_runs() -> list[list[Recorded]]:
    """Some random runs that came to their own end and were never resumed."""

    async def play_some() -> list[list[Recorded]]:
        found: list[list[Recorded]] = []
        for seed in range(40):
            scene = await play(seed)
            for summary in scene.journal.runs():
                recorded = scene.recorded(summary.run_id)
                is_done = summary.finished is not None and summary.finished.stop_reason == "done"
                if is_done and not any(isinstance(item.event, RunResumed) for item in recorded):
                    found.append(recorded)
        return found

    return anyio.run(play_some)


async def test_one_changed_byte_is_found_and_its_place_named(finished_runs: list[list[Recorded]]):
    random = Random(1)
    tried: Counter[str] = Counter()
    for recorded in finished_runs:
        all_forgeries = list(forgeries(recorded))
        for item, forged in random.sample(all_forgeries, min(15, len(all_forgeries))):
            replay = (await replay_run(forged)).replay
            first = replay.divergences[0]

            assert not replay.exact
            assert first.agent == getattr(item.event, "agent", "")
            assert first.turn == getattr(item.event, "turn", first.turn)
            assert describe_divergence(first, forged, replay.state).text.startswith(first.agent or "the run")
            tried[item.event.type] += 1
    assert min(tried[kind] for kind in TRIED) > 1, tried


TRIED = ("model_call.started", "model_call.finished", "tool_call.finished", "agent_run.finished")


async def test_an_event_that_was_taken_out_is_missed(finished_runs: list[list[Recorded]]):
    random = Random(2)
    for recorded in finished_runs:
        item = random.choice([one for one in recorded[1:] if not isinstance(one.event, ModelCallRetried)])
        without = [one for one in recorded if one is not item]

        with pytest.raises(StoreError, match=f"event {item.sequence} is missing"):
            await replay_run(without)
        renumbered = [replace(one, sequence=number) for number, one in enumerate(without)]
        assert not (await replay_run(renumbered)).exact, item

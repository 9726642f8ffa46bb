"""The law of replay: whatever happened in a run, carrying it out again does the same, event by event.

The runs are made up at random from seeds; see `scenes`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from harness.events import (
    ApprovalDecided,
    DeliverableRejected,
    ModelCallRetried,
    RunFinished,
    ToolCallFinished,
)
from harness.journal import open_journal
from tests.replay.elsewhere import ReplayElsewhere
from tests.replay.scenes import play

LEAST_TURNS_A_SECOND = 500
"""Of CPU, on a machine as fast as when the bar was set; a quarter of what is wanted, as not all work slows down alike."""


@dataclass(frozen=True)
class Played:
    """A store of random runs, and what is in it."""

    store: Path
    seeds: dict[str, int]
    """By run."""
    happened: Counter[str]


async def record(store: Path, seeds: range) -> Played:
    """Play a scene for each seed and write its runs into a store."""
    journal = open_journal(store, write=True, durability="buffered")
    played = Played(store, {}, Counter())
    for seed in seeds:
        scene = await play(seed)
        for summary in scene.journal.runs():
            recorded = scene.recorded(summary.run_id)
            journal.append(recorded)
            played.seeds[summary.run_id] = seed
            played.happened.update(name for item in recorded for name in names(item.event))
    await journal.close()
    return played


def names(event: object) -> list[str]:
    """What happened, in the terms by which the scenes are checked to be rich."""
    match event:
        case ToolCallFinished(error_type=kind, whole=whole) if kind or whole:
            return [kind or "shortened"]
        case ApprovalDecided(decision=decision, arguments=arguments):
            return [decision, *(["changed"] if arguments else [])]
        case RunFinished(stop_reason=reason):
            return [f"run {reason}"]
        case ModelCallRetried() | DeliverableRejected():
            return [event.type]
        case _:
            return [getattr(event, "type", "")]


RICH = (
    *(
        "shortened",
        "arguments",
        "unknown_tool",
        "denied",
        "server",
        "tool",
        "cancelled",
        "cut_off",
        "sub_agent",
    ),
    *("approved", "denied", "expired", "changed", "happened", "did_not_happen", "answered", "declined"),
    *("run done", "run failed", "run limit", "run interrupted", "run cancelled", "run suspended"),
    *(
        "model_call.retried",
        "model_call.lost",
        "model.fell_back",
        "deliverable.rejected",
        "citations.verified",
        "replan.requested",
    ),
    *("run.resumed", "entry.replaced", "plan.executed"),
)
"""All that the scenes must have brought about."""


def check(played: Played, replay_elsewhere: ReplayElsewhere) -> None:
    """Replay everything twice in a process of its own."""
    replays = replay_elsewhere(played.store, times=2)

    faults = [(played.seeds[fault["run"]], fault) for fault in replays.faults]
    assert faults == []
    assert Counter(run["run"] for run in replays.runs) == Counter({run: 2 for run in played.seeds})
    rate = replays.turns / replays.cpu
    print(
        f"{len(played.seeds)} runs, {replays.turns // 2} turns, replayed twice: "
        f"{replays.turns / replays.seconds:,.0f} turns a second, {rate:,.0f} a second of CPU "
        f"on a machine {replays.slow:.2f} times as slow as when the bar was set"
    )
    assert rate * replays.slow > LEAST_TURNS_A_SECOND


def test_random_runs_replay_exactly(tmp_path: Path, replay_elsewhere: ReplayElsewhere):
    check(anyio.run(record, tmp_path / "runs.db", range(40)), replay_elsewhere)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_that_can_happen_replays_exactly(tmp_path: Path, replay_elsewhere: ReplayElsewhere):
    played = anyio.run(record, tmp_path / "runs.db", range(1_000, 1_500))

    assert [name for name in RICH if not played.happened[name]] == []
    check(played, replay_elsewhere)

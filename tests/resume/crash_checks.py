"""What must hold after any number of crashes, whatever the team and wherever they were."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import orjson
from crash_teams import Scene, receipts_in
from outside_world import Line

from harness import Recorded, Usage, fold
from harness.events import (
    AgentRunFinished,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    ModelCallFinished,
    ModelCallLost,
    ModelCallStarted,
    RunFinished,
    RunResumed,
    ToolCallFinished,
    ToolCallStarted,
)
from harness.loop.state import effective


@dataclass(frozen=True)
class Left:
    """What was there when a process had ended."""

    recorded: Sequence[Recorded]
    world: Sequence[Line]

    def replies(self) -> set[str]:
        """Digests of the requests whose replies are recorded."""
        digests: dict[tuple[str, int], str] = {}
        found: set[str] = set()
        for item in self.recorded:
            event = item.event
            if isinstance(event, ModelCallStarted):
                digests[event.agent, event.turn] = event.digest
            elif isinstance(event, ModelCallFinished) and not event.error_type:
                found.add(digests[event.agent, event.turn])
        return found

    def unanswered(self, counted: Container[int]) -> set[tuple[str, int]]:
        """Agents and turns of requests of which no reply is recorded, if the requests still count."""
        open_calls: set[tuple[str, int]] = set()
        for item in self.recorded:
            if isinstance(item.event, ModelCallStarted) and item.sequence in counted:
                open_calls.add((item.event.agent, item.event.turn))
            elif isinstance(item.event, ModelCallFinished) and item.event.error_type != "cancelled":
                open_calls.discard((item.event.agent, item.event.turn))
        return open_calls

    def results(self) -> dict[str, str]:
        """Results of tool calls that are recorded, by label."""
        labels = self.labels()
        return {
            labels[item.event.key]: item.event.shown
            for item in self.recorded
            if _is_result(item.event) and item.event.key in labels
        }

    def labels(self) -> dict[str, str]:
        """Labels of the calls that were begun, by key."""
        return {
            item.event.key: orjson.loads(item.event.arguments)["label"]
            for item in self.recorded
            if isinstance(item.event, ToolCallStarted) and item.event.tool.startswith("desk.")
        }

    def begun(self) -> set[str]:
        """Keys of the calls of tools that were begun, and of which nothing is known since."""
        begun: set[str] = set()
        for item in self.recorded:
            match item.event:
                case ToolCallStarted(key=key, tool=tool) if tool.startswith("desk."):
                    begun.add(key)
                case ApprovalRequested(key=key, kind="elicitation", inline=False):
                    begun.discard(key)
                case event if _is_result(event):
                    begun.discard(event.key)
                case _:
                    pass
        return begun


def _is_result(event: Event) -> TypeGuard[ToolCallFinished]:
    return isinstance(event, ToolCallFinished) and event.error_type != "cancelled"


@dataclass
class Story:
    """A run that was carried by one process after the other, all but the last of which were killed."""

    scene: Scene
    left: list[Left] = field(default_factory=list[Left])
    """After each process."""
    told: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    """What the processes said that were not killed."""
    lossless: bool = True
    """Whether all that was recorded before the crashes was on disk."""

    @property
    def crashes(self) -> int:
        """How many processes ended before the run did."""
        return len(self.left) - 1

    @property
    def end(self) -> Mapping[str, Any]:
        """What the last process said."""
        return self.told[-1]

    @property
    def recorded(self) -> Sequence[Recorded]:
        """Everything the run recorded."""
        return self.left[-1].recorded

    @property
    def world(self) -> Sequence[Line]:
        """Everything that happened in the world."""
        return self.left[-1].world

    def effects(self) -> Counter[str]:
        """How often each effect took place."""
        return Counter(line.name for line in self.world if line.what == "effect")


def check(story: Story, *, answer: str) -> None:
    """Check that the run came to the end it would have come to anyhow, and did nothing twice that counts."""
    assert story.end["stop_reason"] == "done"
    assert story.end["output"] == answer
    check_record(story)
    check_effects(story)
    assert set(story.effects()) == {line.partition(" ")[0] for line in answer.split(", ")}


def check_record(story: Story) -> None:
    """Check the laws of the journal, and that nothing recorded was asked or done again."""
    assert story.end["fold_is_state"]
    assert story.end["replay"] == []
    for before, after in zip(story.left, story.left[1:], strict=False):
        assert list(after.recorded[: len(before.recorded)]) == list(before.recorded)
        _check_nothing_again(before, after)
    check_order(story.recorded, is_over=True)
    _check_accounts(story)
    _check_requests(story)


def check_effects(story: Story) -> None:
    """Check that effects took place as often as their class allows, and that results tell no lies."""
    for label, times in story.effects().items():
        allowed = 1 if story.scene.effect in ("keyed", "once") else 1 + story.crashes
        assert times <= allowed, label
    receipts = {(line.name, line.receipt) for line in story.world if line.what == "effect"}
    for label, result in story.left[-1].results().items():
        for receipt in receipts_in(result):
            assert (label, receipt) in receipts


def _check_nothing_again(before: Left, after: Left) -> None:
    new = after.world[len(before.world) :]
    asked = Counter(line.key for line in new if line.what == "request")
    assert not asked.keys() & before.replies()
    assert set(asked.values()) <= {1}
    done = {line.name for line in new if line.what != "request"}
    assert not done & before.results().keys()
    resumed = [
        item.event for item in after.recorded[len(before.recorded) :] if isinstance(item.event, RunResumed)
    ]
    for event in resumed[:1]:
        doubtful = before.begun() if "pay" in "".join(_tools(before)) else set[str]()
        assert set(event.in_doubt) == doubtful


def _tools(left: Left) -> set[str]:
    return {i.event.tool for i in left.recorded if isinstance(i.event, ToolCallStarted)}


def check_order(recorded: Sequence[Recorded], *, is_over: bool) -> None:
    """Check that nothing ends twice, or without a beginning; and that all ends, if the run has."""
    assert [item.sequence for item in recorded] == list(range(len(recorded)))
    once: Counter[object] = Counter()
    open_attempts: set[str] = set()
    for item in effective(recorded):
        match item.event:
            case ToolCallStarted(key=key):
                open_attempts.add(key)
            case ToolCallFinished(key=key):
                assert key in open_attempts
                open_attempts.remove(key)
            case ModelCallFinished(agent=agent, turn=turn):
                once["model", agent, turn] += 1
            case ApprovalDecided(key=key, number=number):
                once["decision", key, number] += 1
            case AgentRunFinished(agent=agent):
                once["agent", agent] += 1
            case RunFinished():
                once["run"] += 1
            case _:
                pass
    assert set(once.values()) <= {1}
    assert not (is_over and open_attempts)


def _check_accounts(story: Story) -> None:
    paid = [
        item.event for item in story.recorded if isinstance(item.event, ModelCallFinished | ModelCallLost)
    ]
    usage = Usage()
    for event in paid:
        usage += event.usage
    lost = {(event.agent, event.turn) for event in paid if isinstance(event, ModelCallLost)}
    counted = {item.sequence for item in effective(story.recorded)}
    assert lost == set[tuple[str, int]]().union(*(left.unanswered(counted) for left in story.left))
    told = story.end["usage"]
    assert told == {name: getattr(usage, name) for name in told}
    assert math.isclose(story.end["cost"], math.fsum(event.cost or 0.0 for event in paid), abs_tol=1e-12)
    state = fold(story.recorded)
    assert state.usage == usage
    assert state.finished is not None
    assert state.finished.usage == usage


def _check_requests(story: Story) -> None:
    asked = Counter(line.key for line in story.world if line.what == "request")
    assert all(times <= 1 + story.crashes for times in asked.values())
    if story.lossless and not story.scene.together:
        assert sum(asked.values()) - len(asked) <= story.crashes

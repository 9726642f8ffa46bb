"""Lanes: two events of one lane always come in the same order, whatever goes on beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.events import (
    ApprovalDecided,
    ApprovalRequested,
    CitationsVerified,
    DeliverableRejected,
    Event,
    PlanCreated,
    PlanExecuted,
    PlanTaskFinished,
    PlanTaskStarted,
    ReplanRequested,
    RunFinished,
    RunResumed,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
    ToolServerFailed,
    ToolServerStarted,
)

Lane = tuple[str, str]
"""Agent path, and what goes on there beside its turns."""


def lane_of(event: Event) -> Lane:
    """Return the lane of an event."""
    lane = _LANES.get(type(event))
    return lane(event) if lane is not None else (getattr(event, "agent", ""), "")


def _lane_of_call(event: ToolCallStarted | ToolCallFinished | ApprovalRequested | ApprovalDecided) -> Lane:
    return event.agent, event.key


def _lane_of_task(event: PlanTaskStarted | PlanTaskFinished) -> Lane:
    return event.agent, f"task {event.version} {event.task}"


def _lane_of_plan(event: PlanCreated | PlanExecuted) -> Lane:
    return event.agent, "plan"


def _lane_of_replan(event: ReplanRequested) -> Lane:
    return event.agent, "plan" if event.tasks else ""


def _lane_of_deliverable(event: DeliverableRejected | CitationsVerified) -> Lane:
    return event.agent, "deliverable"


def _lane_of_run(event: Event) -> Lane:
    return "", ""


def _lane_of_environment(event: Event) -> Lane:
    return "", "environment"


_LANES: dict[type[Event], Callable[[Any], Lane]] = {
    **dict.fromkeys((ToolCallStarted, ToolCallFinished, ApprovalRequested, ApprovalDecided), _lane_of_call),
    **dict.fromkeys((PlanTaskStarted, PlanTaskFinished), _lane_of_task),
    **dict.fromkeys((PlanCreated, PlanExecuted), _lane_of_plan),
    ReplanRequested: _lane_of_replan,
    **dict.fromkeys((DeliverableRejected, CitationsVerified), _lane_of_deliverable),
    **dict.fromkeys((RunStarted, RunFinished), _lane_of_run),
    **dict.fromkeys((ToolServerStarted, ToolServerFailed, RunResumed), _lane_of_environment),
}
"""By class, and not by matching, because every event asks; what is not in it is in its agent's own lane."""

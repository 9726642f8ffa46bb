"""What an orchestrator plans, and how far that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.events.values import PlannedTask


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCreated:
    """An orchestrator made or revised its plan; older versions stay in the journal."""

    CONTENT: ClassVar[tuple[str, ...]] = ("tasks",)
    type: Literal["plan.created"] = "plan.created"
    agent: str
    version: int
    """From 1."""
    tasks: tuple[PlannedTask, ...]
    kept: tuple[str, ...] = ()
    """Ids of tasks whose reports were carried over from the version before."""
    turn: int = 0
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTaskStarted:
    """A task whose needs are met was given to its agent."""

    type: Literal["plan_task.started"] = "plan_task.started"
    agent: str
    version: int
    task: str
    child: str
    """Path of the agent run that does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTaskFinished:
    """A task ended; `skipped` if something it needs failed."""

    type: Literal["plan_task.finished"] = "plan_task.finished"
    agent: str
    version: int
    task: str
    status: Literal["done", "partial", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanExecuted:
    """Every task of one version has ended."""

    type: Literal["plan.executed"] = "plan.executed"
    agent: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanRequested:
    """The orchestrator was asked, once, to revise its plan."""

    type: Literal["replan.requested"] = "replan.requested"
    agent: str
    version: int
    reason: str
    tasks: tuple[str, ...] = ()
    """Ids of the tasks that failed, if that is the reason."""

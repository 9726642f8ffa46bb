"""Plans: versioned graphs of tasks that an orchestrator keeps and the harness carries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from harness.events import Brief, PlanCreated, PlannedTask
from harness.loop.brief import BRIEF_FIELDS

MAX_TASKS = 200


def plan_schema(agents: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of the `plan` tool."""
    task: dict[str, Any] = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,40}$"},
            "agent": {"enum": list(agents)},
            **BRIEF_FIELDS,
            "needs": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Ids of the tasks whose reports this one builds on.",
            },
        },
        "required": ["id", "agent", *BRIEF_FIELDS],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"tasks": {"type": "array", "items": task, "minItems": 1, "maxItems": MAX_TASKS}},
        "required": ["tasks"],
        "additionalProperties": False,
    }


def read_tasks(arguments: Mapping[str, Any]) -> tuple[PlannedTask, ...]:
    """Return the tasks of a `plan` call whose arguments fit the schema."""
    return tuple(
        PlannedTask(
            id=task["id"],
            agent=task["agent"],
            brief=Brief(**{name: task[name] for name in BRIEF_FIELDS}),
            needs=tuple(task.get("needs", ())),
        )
        for task in arguments["tasks"]
    )


def plan_faults(tasks: Sequence[PlannedTask]) -> list[str]:
    """Return what is wrong with the graph, in sentences a model can act on."""
    ids = [task.id for task in tasks]
    faults = [
        f"the id {name} is used twice" for name in sorted({name for name in ids if ids.count(name) > 1})
    ]
    faults += [
        f"{task.id} needs {need}, which is not a task of this plan"
        for task in tasks
        for need in task.needs
        if need not in ids
    ]
    try:
        TopologicalSorter({task.id: task.needs for task in tasks}).prepare()
    except CycleError as error:
        faults.append("the needs form a circle: " + " -> ".join(error.args[1]))
    return faults


def kept_tasks(
    tasks: Sequence[PlannedTask], previous: PlanCreated | None, status: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the ids whose reports carry over: unchanged, done before, and resting on kept tasks only."""
    if previous is None:
        return ()
    before = {task.id: task for task in previous.tasks}
    kept: set[str] = set()
    by_id = {task.id: task for task in tasks}
    for name in TopologicalSorter({task.id: task.needs for task in tasks}).static_order():
        unchanged = before.get(name) == by_id[name] and status.get(name) in ("done", "partial")
        if unchanged and kept.issuperset(by_id[name].needs):
            kept.add(name)
    return tuple(task.id for task in tasks if task.id in kept)

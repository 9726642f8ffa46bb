"""The two ways to route work: `delegate` to one sub-agent, or carry out a `plan` of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import anyio

from harness.events import (
    Brief,
    PlanCreated,
    PlanExecuted,
    PlannedTask,
    PlanTaskFinished,
    PlanTaskStarted,
    ReplanRequested,
    Report,
)
from harness.loop.brief import BRIEF_FIELDS, dumps, view_report
from harness.loop.past import RecordEnds
from harness.loop.plan import kept_tasks, plan_faults, plan_schema, read_tasks
from harness.messages import ToolDefinition
from harness.tools.port import CallContext, Tool, ToolOutput

if TYPE_CHECKING:
    from harness.loop.agent import AgentRun

TaskStatus = Literal["done", "partial", "failed", "skipped"]


class RunChild(Protocol):
    """Runs one sub-agent to its end."""

    async def __call__(
        self, parent: AgentRun, name: str, path: str, brief: Brief, *, call: CallContext, task_id: str = ""
    ) -> Report:
        """Return the report; whatever goes wrong inside becomes its status."""
        ...


class Delegation:
    """The delegating tools of one agent run. Bound to it by `owner` once it exists."""

    def __init__(self, delegates: Mapping[str, str], run_child: RunChild) -> None:
        self._delegates = delegates
        self._run_child = run_child
        self._numbers: Counter[str] = Counter()
        self._paths: dict[str, str] = {}
        """Paths of the agent runs that did, or will do, the tasks of the newest plan."""
        self._reports: dict[str, Report] = {}
        """What they handed in, by path; also of those that could not even be opened."""
        self._one_plan_at_a_time = anyio.Lock()
        """Two plans asked for in one reply are one plan and its revision."""
        self.owner: AgentRun

    def tools(self) -> list[Tool]:
        """Return `delegate` and `plan`."""
        agents = list(self._delegates)
        people = "\n".join(f"- {name}: {description}" for name, description in self._delegates.items())
        delegate_schema = {
            "type": "object",
            "properties": {"agent": {"enum": agents}, **BRIEF_FIELDS},
            "required": ["agent", *BRIEF_FIELDS],
            "additionalProperties": False,
        }
        delegate_text = (
            "Give one task to one sub-agent, which starts with an empty window and sees only this brief; "
            f"returns its report. Calls made together run at the same time. Sub-agents:\n{people}"
        )
        plan_text = (
            "Give several tasks to sub-agents as a plan. Tasks whose `needs` are met run at the same time; reports "
            "are passed on to the tasks that need them; all reports are returned together. Call it again to revise "
            f"the plan: tasks left as they were keep their reports. Sub-agents:\n{people}"
        )
        return [
            Tool(
                ToolDefinition("delegate", delegate_text, delegate_schema),
                self._delegate,
                "read",
                external=False,
            ),
            Tool(ToolDefinition("plan", plan_text, plan_schema(agents)), self._plan, "read", external=False),
        ]

    async def _delegate(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        name = arguments["agent"]
        path = self._new_path(name)
        brief = Brief(**{field: arguments[field] for field in BRIEF_FIELDS})
        report = await self._run_child(self.owner, name, path, brief, call=context)
        failed = report.status == "failed"
        view = view_report(report, agent=name, handle=f"agent:{path}")
        return ToolOutput(dumps(view), failed, "sub_agent" if failed else "", origin=f"report:{path}")

    async def _plan(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        tasks = read_tasks(arguments)
        faults = plan_faults(tasks)
        if faults:
            return ToolOutput("this plan cannot be carried out: " + "; ".join(faults), True, "arguments")
        async with self._one_plan_at_a_time:
            return await self._carry_out(tasks, context)

    async def _carry_out(self, tasks: tuple[PlannedTask, ...], context: CallContext) -> ToolOutput:
        state = self.owner.state
        kept = kept_tasks(tasks, state.plans[-1] if state.plans else None, state.task_status)
        self._paths = {
            task.id: self._paths[task.id] if task.id in kept else self._new_path(task.agent) for task in tasks
        }
        version = len(state.plans) + 1
        plan = PlanCreated(
            agent=self.owner.path, version=version, tasks=tasks, kept=kept, turn=context.turn, key=context.key
        )
        self.owner.emit(plan)
        await self._execute(plan, context)
        self.owner.emit(PlanExecuted(agent=self.owner.path, version=version))
        return ToolOutput(dumps(self._outcome(plan)), origin=f"report:{self.owner.path}/*")

    def _new_path(self, name: str) -> str:
        """Return the path of the next agent run of this name; depends on the order of calls, not on time."""
        self._numbers[name] += 1
        return f"{self.owner.path}/{name}-{self._numbers[name]}"

    def _report(self, task_id: str) -> Report | None:
        return self._reports.get(self._paths[task_id])

    async def _execute(self, plan: PlanCreated, context: CallContext) -> None:
        """Run every task as soon as all it needs has ended."""
        over = {task.id: anyio.Event() for task in plan.tasks}
        for name in plan.kept:
            over[name].set()

        async def carry_out(task: PlannedTask) -> None:
            for need in task.needs:
                await over[need].wait()
            try:
                status = await self._run_task(plan, task, context)
                self.owner.emit(
                    PlanTaskFinished(agent=self.owner.path, version=plan.version, task=task.id, status=status)
                )
            except RecordEnds:
                await anyio.sleep_forever()
            over[task.id].set()

        async with anyio.create_task_group() as group:
            for task in plan.tasks:
                if task.id not in plan.kept:
                    group.start_soon(carry_out, task)

    async def _run_task(self, plan: PlanCreated, task: PlannedTask, context: CallContext) -> TaskStatus:
        """Give the task what its needs brought; skip it if they brought nothing at all."""
        agents = {other.id: other.agent for other in plan.tasks}
        brought = {
            need: report
            for need in task.needs
            if (report := self._report(need)) is not None and report.status != "failed"
        }
        if task.needs and not brought:
            return "skipped"
        reports = tuple(view_report(report, id=need, agent=agents[need]) for need, report in brought.items())
        path = self._paths[task.id]
        self.owner.emit(
            PlanTaskStarted(agent=self.owner.path, version=plan.version, task=task.id, child=path)
        )
        brief = replace(task.brief, reports=reports)
        report = await self._run_child(self.owner, task.agent, path, brief, call=context, task_id=task.id)
        self._reports[path] = report
        return report.status

    def _outcome(self, plan: PlanCreated) -> dict[str, Any]:
        """Return what the orchestrator sees, asking for one revision if something failed."""
        state = self.owner.state
        tasks: list[dict[str, Any]] = []
        for task in plan.tasks:
            report = self._report(task.id)
            if report is None:
                tasks.append({"id": task.id, "agent": task.agent, "status": "skipped", "answer": ""})
            else:
                handle = f"agent:{self._paths[task.id]}"
                tasks.append(view_report(report, id=task.id, agent=task.agent, handle=handle))
        asked_before = {name for request in state.replans for name in request.tasks}
        failed = tuple(
            task.id
            for task in plan.tasks
            if state.task_status[task.id] == "failed" and task.id not in asked_before
        )
        following = "Finish with what these reports hold."
        if failed and not any(request.version == plan.version for request in state.replans):
            reason = f"failed tasks: {', '.join(failed)}"
            self.owner.emit(
                ReplanRequested(agent=self.owner.path, version=plan.version, reason=reason, tasks=failed)
            )
            following = (
                f"Revise the plan once ({reason}): call `plan` again, changing what failed and leaving the rest "
                "as it is; or finish with what these reports hold."
            )
        return {"plan": plan.version, "tasks": tasks, "next": following}


def describe(delegates: Sequence[str], descriptions: Mapping[str, str]) -> dict[str, str]:
    """Return what a parent is told about each of its delegates."""
    return {name: " ".join(descriptions[name].split()) or name for name in delegates}

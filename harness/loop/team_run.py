"""One run of a team: opens its agent runs, and turns a task into a finished run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import anyio

from harness.errors import (
    Divergence,
    HarnessError,
    RequiredServerFailed,
    StoreError,
    innermost,
)
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    Brief,
    Event,
    Report,
    RunFinished,
    RunStopReason,
)
from harness.journal.port import Answer
from harness.limits import Budget
from harness.loop.activity import Activity
from harness.loop.agent import AgentRun, run_agent, tokens_of_definitions
from harness.loop.approvals import Approvals
from harness.loop.brief import render_brief
from harness.loop.delegation import Delegation, describe
from harness.loop.deliverable import Deliverable, PlainAnswer, StructuredAnswer, SubAgentReport
from harness.loop.handles import read_result
from harness.loop.log import Notices, RunLog
from harness.loop.order import RunOrder
from harness.loop.past import Diverged, RecordEnds
from harness.loop.places import Places
from harness.loop.recorded_tools import changed_tools, recorded_tools
from harness.loop.report_cap import CountTokens, ReportCap
from harness.loop.room import BY_NAME, Room, window_of
from harness.loop.state import Reading
from harness.messages import Message, ToolDefinition, system, user
from harness.models.port import Model, settings_of
from harness.permissions import Permissions
from harness.team import AgentSpec, LimitsSpec, Team, contracts_of
from harness.tools.port import CallContext, Tool

DEFAULT_TURNS = 100
"""Turns of one agent run where the team file sets no limit: a loop must end some time."""

DEFAULT_DEPTH = 3
DEFAULT_PARALLEL = 8

_FAILED = Report(status="failed", answer="", stop_reason="failed")


class ScopedTools(Protocol):
    """Hands out an agent's tools, from servers that live as long as their scope."""

    def __call__(
        self, patterns: Sequence[str], *, agent: str, emit: Callable[[Event], None]
    ) -> AbstractAsyncContextManager[list[Tool]]:
        """Open the tools of the agent run at path `agent`."""
        ...


@dataclass
class TeamRun:
    """What the agent runs of one run share."""

    team: Team
    models: Mapping[str, Model]
    """By agent name, and `model:NAME` for those that sum up windows or stand in for others."""
    tools: ScopedTools
    log: RunLog
    notices: Notices
    count_tokens: CountTokens
    entry: str
    """Name of the agent that receives the task."""
    earlier: Sequence[Message] = ()
    """What the entry agent is told of earlier runs of the session."""
    answers: Callable[[], Iterable[Answer]] = tuple
    """Returns the answers that other processes have left for this run."""
    permissions: Permissions = field(init=False)
    budget: Budget = field(init=False)
    places: Places = field(init=False)
    activity: Activity = field(init=False)
    approvals: Approvals = field(init=False)

    def __post_init__(self) -> None:
        limits = self.team.spec.limits
        self.permissions = Permissions(self.team.spec.permissions)
        self.budget = Budget("the run", self._timed(limits), spent=self.log.past.spent(""))
        self.activity = Activity(lambda: self.log.state.events)
        self.approvals = Approvals(self.log, self.answers)
        self.places = Places(limits.parallel or DEFAULT_PARALLEL, self._has_work)
        order = RunOrder(*contracts_of(self.team.spec))
        self.log.order = order if order else None
        self._scope = anyio.CancelScope()
        self._fatal: HarnessError | None = None
        self._report_definitions: dict[int, ToolDefinition] = {}
        self._definition_tokens: dict[tuple[int, ...], tuple[tuple[ToolDefinition, ...], int]] = {}
        """By the identity of the definitions, which are kept alive beside it."""

    async def execute(self, task: Message) -> RunFinished:
        """Run the team on `task` to its end, or until it waits for a person, and record that.

        The run's first event is in the log already.

        Raises:
            StoreError: The journal cannot be written.
            Divergence: The run does not do again what its record says.
        """
        finished: RunFinished | None = None
        with anyio.CancelScope() as self._scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._attend)
                finished = await self._answer(self.entry, task)
                tasks.cancel_scope.cancel()
        if self._fatal is not None:
            finished = self._finished(_FAILED, None, str(self._fatal))
        elif finished is None:
            self.log.catch_up()
            finished = self._stopped("suspended")
        self.log.emit(finished)
        await self.log.durable()
        return finished

    async def _attend(self) -> None:
        """Suspend the run when nothing in it can move before a person has answered."""
        await self.approvals.attend(self.activity)
        self._scope.cancel()

    async def execute_again(self, task: Message) -> RunFinished | None:
        """Do again what the record holds, without asking the world; None if the record ends before the run.

        Where an agent does something else than the record says, it goes no further; the log's past
        holds what it did.
        """
        past = self.log.past
        finished: RunFinished | None = None
        error = ""
        try:
            with anyio.CancelScope() as self._scope:
                if past.check == "everything":
                    past.when_it_has_happened("", self._scope.cancel)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._end_when_still)
                    async with self._noting_divergence():
                        answered = await self._answer(self.entry, task)
                        self.log.emit(answered)
                        finished = answered
                    tasks.cancel_scope.cancel()
        except Exception as problem:
            if not past.has_happened:
                raise
            cause = innermost(problem)
            error = f"{type(cause).__name__}: {cause}"
        if finished is None and past.finished is not None and past.has_happened:
            finished = self._stopped(past.finished.stop_reason, error or past.finished.error)
            try:
                self.log.emit(finished)
            except Diverged as divergence:
                past.divergences.append(divergence)
        return finished

    async def _end_when_still(self) -> None:
        await self.activity.until_nothing_moves()
        self._scope.cancel()

    @asynccontextmanager
    async def _noting_divergence(self) -> AsyncGenerator[None]:
        """Let an agent that leaves the record stop there, while the others go on."""
        try:
            yield
        except Exception as error:
            cause = innermost(error)
            if isinstance(cause, Diverged) and not self.log.past.live:
                self.log.past.divergences.append(cause)
            elif not isinstance(cause, RecordEnds):
                raise
            await anyio.sleep_forever()

    async def _answer(self, entry: str, task: Message) -> RunFinished:
        """Run the entry agent and return the run's last event, not yet recorded."""
        try:
            async with self._open(entry, entry, task) as agent:
                report = await run_agent(agent)
                deliverable = agent.deliverable
                if isinstance(deliverable, StructuredAnswer) and report.stop_reason != "done":
                    report = self._salvage(deliverable, report)
                return self._finished(report, deliverable, self.log.state.errors.get(entry, ""))
        except RequiredServerFailed as problem:
            return self._finished(_FAILED, None, str(problem))

    def stop(self, reason: RunStopReason, error: str = "") -> RunFinished:
        """Record that the run was ended from outside; what it has stays in the journal."""
        if self.log.state.finished is not None:
            return self.log.state.finished
        self.log.catch_up()
        finished = self._stopped(reason, error)
        self.log.emit(finished)
        return finished

    async def run_child(
        self, parent: AgentRun, name: str, path: str, brief: Brief, *, call: CallContext, task_id: str = ""
    ) -> Report:
        """Run one sub-agent; see `harness.loop.delegation.RunChild`."""
        told = self.log.past.brief(path)
        brief = brief if told is None else replace(brief, objective=told)
        message = user(render_brief(brief))
        siblings = self.team.spec.agents[parent.lineage[-1]].limits.parallel
        async with self.places.held(path, among_siblings=siblings), self._noting_divergence():
            try:
                async with self._open(
                    name, path, message, parent=parent, brief=brief, call=call, task_id=task_id
                ) as agent:
                    return await run_agent(agent)
            except RequiredServerFailed as error:
                self._fatal = error
                self._scope.cancel()
                raise
            except Exception as error:
                return self._broken_child(name, path, error)

    def _broken_child(self, name: str, path: str, error: Exception) -> Report:
        """Return the report of a sub-agent that could not work; only a broken store is everyone's problem."""
        cause = innermost(error)
        if isinstance(cause, StoreError | Divergence):
            raise cause
        text = str(cause) if isinstance(cause, HarnessError) else f"{type(cause).__name__}: {cause}"
        report = replace(_FAILED, answer=f"{name} could not work: {text}")
        if path in self.log.state.agents and self.log.state.agents[path].report is None:
            turns = self.log.state.agents[path].turns
            kind = type(cause).__name__
            self.log.emit(
                AgentRunFinished(agent=path, report=report, turns=turns, error=text, error_type=kind)
            )
        return report

    def _has_work(self, path: str) -> bool:
        """Return whether there is more for the agent run at `path` to do than is recorded."""
        return self.log.past.live and not self.log.past.has_ended(path)

    @asynccontextmanager
    async def _open(
        self,
        name: str,
        path: str,
        message: Message,
        *,
        parent: AgentRun | None = None,
        brief: Brief | None = None,
        call: CallContext | None = None,
        task_id: str = "",
    ) -> AsyncGenerator[AgentRun]:
        """Open an agent run with a fresh window: its instructions, its brief, its own tools."""
        spec = self.team.spec.agents[name]
        model = self.models[name]
        lineage = (*parent.lineage, name) if parent else (name,)
        delegation = self._delegation(spec, lineage)
        deliverable = self._deliverable(path, spec, entry=parent is None)
        async with self._served(spec, path) as served:
            tools = [*served, *(delegation.tools() if delegation else ())]
            if tools:
                tools.append(read_result(path, self.log.state))
            handing_in = deliverable.tool()
            if handing_in:
                tools.append(handing_in)
            agent = AgentRun(
                path=path,
                lineage=lineage,
                model=model,
                fallbacks=[self.models[f"{BY_NAME}{other}"] for other in self.team.spec.fallbacks_of(name)],
                tools={tool.definition.name: tool for tool in tools},
                transcript=model.open([tool.definition for tool in tools]),
                definition_tokens=self._tokens_of(path, tools),
                budget=(parent.budget if parent else self.budget).child(
                    path, self._timed(_with_defaults(spec.limits)), spent=self.log.past.spent(path)
                ),
                deliverable=deliverable,
                permissions=self.permissions,
                approvals=self.approvals,
                activity=self.activity,
                log=self.log,
                notices=self.notices,
                count_tokens=self.count_tokens,
                room=self._room(name),
                thinking=self.team.spec.thinking_of(name),
                parent=parent,
                lent=partial(self.places.lent, path),
            )
            if delegation:
                delegation.owner = agent
            self._began(agent, spec, tools, brief, call, task_id)
            agent.append("system", system(spec.instructions))
            for said in self.earlier if parent is None else ():
                agent.append("session", said)
            agent.append("brief" if parent else "task", message)
            yield agent

    @asynccontextmanager
    async def _served(self, spec: AgentSpec, path: str) -> AsyncGenerator[list[Tool]]:
        """Yield the agent's tools from servers: as they were at its beginning, where that is recorded.

        Servers are opened only for what is still to be done.
        """
        past = self.log.past
        began = past.agent(path)
        if not past.live or past.has_ended(path):
            yield self._tools_on_record(spec, path)
            return
        async with AsyncExitStack() as stack:
            with self.activity.outside():
                opened = self.tools(spec.tools, agent=path, emit=self.log.emit)
                live = await stack.enter_async_context(opened)
            if began is None or past.check == "nothing":
                yield live
            else:
                yield recorded_tools(began, past.effects(path), live)

    def _tools_on_record(self, spec: AgentSpec, path: str) -> list[Tool]:
        """Return the tools from servers that the record says the agent run had, or a changed team gives it."""
        past = self.log.past
        began = past.agent(path)
        if began is None:
            return []
        tools = recorded_tools(began, past.effects(path), ())
        if past.check != "requests":
            return tools
        before = past.granted(began.name)
        return changed_tools(tools, before=before, now=spec.tools, known=past.tools_of_servers())

    def _timed(self, limits: LimitsSpec) -> LimitsSpec:
        """Return the limits; without one in time where the record says when time was up."""
        return limits if self.log.past.live else limits.model_copy(update={"minutes": None})

    def _began(
        self,
        agent: AgentRun,
        spec: AgentSpec,
        tools: Sequence[Tool],
        brief: Brief | None,
        call: CallContext | None,
        task_id: str,
    ) -> None:
        definitions: tuple[ToolDefinition, ...] = tuple(tool.definition for tool in tools)
        past = self.log.past
        before = past.agent(agent.path) if past.check != "nothing" else None
        self.log.emit(
            AgentRunStarted(
                agent=agent.path,
                name=agent.lineage[-1],
                description=spec.description,
                model=agent.model.name,
                provider=agent.model.provider,
                tools=definitions,
                brief=brief,
                depth=len(agent.lineage) - 1,
                parent_call=call.key if call else "",
                task_id=task_id,
                effects=before.effects
                if before
                else {tool.definition.name: tool.effect for tool in tools if tool.external},
                context_window=before.context_window if before else _window_of(agent),
                request=before.request if before else settings_of(agent.model),
            )
        )

    def _room(self, name: str) -> Room | None:
        """Return how the window of an agent run is kept small, as far as the team file says."""
        spec = self.team.spec.context_of(name)
        if spec is None:
            return None
        summarisers = {
            key.removeprefix(BY_NAME): model for key, model in self.models.items() if key.startswith(BY_NAME)
        }
        return Room(spec, window_of(spec, self.models[name]), summarisers)

    def _tokens_of(self, path: str, tools: Sequence[Tool]) -> int:
        """Return our count of the definitions' tokens, made once for agents that share them."""
        definitions = tuple(tool.definition for tool in tools)
        recorded = self.log.past.counts.definitions(path, definitions)
        if recorded is not None:
            return recorded
        key = tuple(map(id, definitions))
        if key not in self._definition_tokens:
            self._definition_tokens[key] = (definitions, tokens_of_definitions(tools, self.count_tokens))
        return self._definition_tokens[key][1]

    def _delegation(self, spec: AgentSpec, lineage: Sequence[str]) -> Delegation | None:
        reach = [self.team.spec.limits.depth or DEFAULT_DEPTH]
        for depth, name in enumerate(lineage):
            own = self.team.spec.agents[name].limits.depth
            if own is not None:
                reach.append(depth + own)
        if not spec.delegates or len(lineage) > min(reach):
            return None
        descriptions = {name: self.team.spec.agents[name].description for name in spec.delegates}
        return Delegation(describe(spec.delegates, descriptions), self.run_child)

    def _deliverable(self, path: str, spec: AgentSpec, *, entry: bool) -> Deliverable:
        if not entry:
            if id(spec) not in self._report_definitions:
                self._report_definitions[id(spec)] = SubAgentReport.definition(spec.report)
            definition = self._report_definitions[id(spec)]
            counts = self.log.past.counts
            cap = ReportCap(path, spec.report.max_tokens, count=self.count_tokens, recorded=counts)
            return SubAgentReport(path, spec.report, definition, emit=self.log.emit, cap=cap)
        if spec.output.json_schema is None and spec.output.citations == "none":
            return PlainAnswer()
        return StructuredAnswer(path, spec.output, emit=self.log.emit, readings=self._readings)

    def _readings(self, before: int | None) -> list[Reading]:
        """Return what the run has read, before a turn of its entry agent or at all, in an order of its own."""
        state = self.log.state
        return [
            reading
            for key, reading in sorted(state.readings.items())
            if before is None or state.was_over(key, self.entry, before)
        ]

    def _salvage(self, deliverable: StructuredAnswer, report: Report) -> Report:
        """Build what can be said from the reports that came back before the run was stopped."""
        evidence = [
            item
            for _, agent in sorted(self.log.state.agents.items())
            if agent.report is not None
            for item in agent.report.evidence
        ]
        return replace(deliverable.offer_evidence(evidence), stop_reason=report.stop_reason)

    def _stopped(self, reason: RunStopReason, error: str = "") -> RunFinished:
        """Return the last event of a run that was ended from outside."""
        waiting = tuple(sorted(self.log.state.waiting)) if reason == "suspended" else ()
        return replace(self._finished(_FAILED, None, error), stop_reason=reason, waiting=waiting)

    def _finished(self, report: Report, deliverable: Deliverable | None, error: str) -> RunFinished:
        state = self.log.state
        stop_reason: RunStopReason = "done"
        if report.stop_reason.startswith("limit"):
            stop_reason = "limit"
            error = error or f"stopped by the {report.stop_reason}"
        elif report.stop_reason == "budget_exhausted":
            stop_reason = "budget_exhausted"
        elif report.stop_reason != "done":
            stop_reason = "failed"
        return RunFinished(
            run_id=self.log.run_id,
            stop_reason=stop_reason,
            output=report.data if report.data is not None else report.answer,
            citations=deliverable.citations if deliverable else (),
            dropped=deliverable.dropped if deliverable else (),
            notes=tuple(sorted({*state.notes, *(self.log.order.notes if self.log.order else ())})),
            usage=state.usage,
            cost=None if state.unpriced else state.cost,
            error=error,
        )


def _window_of(agent: AgentRun) -> int | None:
    return agent.room.window if agent.room is not None else agent.model.context_window


def _with_defaults(limits: LimitsSpec) -> LimitsSpec:
    return limits if limits.turns is not None else limits.model_copy(update={"turns": DEFAULT_TURNS})

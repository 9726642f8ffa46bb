"""The `Harness`: a team with its models, servers and store, open for as many runs as are wanted.

The one place that wires adapters to the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import orjson
from anyio.abc import TaskGroup

from harness.adapters import ToolServers, build_models, close_models
from harness.errors import Divergence, HarnessError, RunTaken, UsageError
from harness.events import Ancestry, RunFinished, RunResumed, RunStarted
from harness.guarding import GuardedModel, GuardedTools, ToolGuard, redacted_message
from harness.journal import Journal, RunSummary, new_run_id
from harness.loop.approvals import Reply, leave_answer
from harness.loop.log import RunLog
from harness.loop.past import Past
from harness.loop.state import fold
from harness.loop.team_run import TeamRun
from harness.messages import Image, Message, user
from harness.models.port import Model
from harness.models.tokens import token_counter
from harness.redaction import Redactor
from harness.replay import Changes, Resumption, carry_out_again, plan_fork, plan_resumption
from harness.run import Run, RunResult
from harness.sessions import carried_context
from harness.team import Team, restore_team
from harness.thinking_plans import thinking_plans
from harness.tools.port import Toolset
from harness.version import version

if TYPE_CHECKING:
    from harness.tracing import Tracing


@dataclass(frozen=True)
class Crew:
    """A team with what carries its runs."""

    team: Team
    models: Mapping[str, Model]
    servers: ToolServers


@dataclass(frozen=True)
class Wiring:
    """What all runs of a harness share."""

    journal: Journal
    crew: Crew
    given: Mapping[str, Model]
    toolsets: Sequence[Toolset]
    tasks: TaskGroup
    tracing: Tracing | None
    clock: Callable[[], float]


class Harness:
    """A team ready to run. Made by `harness.open`; runs share its servers, models and store."""

    def __init__(self, wiring: Wiring) -> None:
        self.team = wiring.crew.team
        self.journal = wiring.journal
        self._guard = ToolGuard(_redactor(wiring.crew))
        self.live: dict[str, Run] = {}
        """The runs that this process carries, by id."""
        self._wiring = wiring
        self._taking_up: dict[str, anyio.Event] = {}
        """Runs that are about to be live again, and what is set when they are, or could not be."""
        self._draining = False

    async def start(
        self,
        task: str | Message,
        *images: Image,
        session: str = "",
        entry: str | None = None,
        traceparent: str = "",
        run_id: str = "",
    ) -> Run:
        """Begin a run of the team on `task`; return once it is on disk that it began.

        Args:
            session: The thread of runs it belongs to.
            entry: The agent that receives the task; the team's entry agent if not given.
            traceparent: W3C trace context of whoever asks for it.
            run_id: An id of the caller's choice, which must be new; for callers who may ask twice.

        Raises:
            UsageError: The task is empty, there is no such agent, or the harness is being drained.
        """
        message = redacted_message(
            user(task, *images) if isinstance(task, str) else task, self._guard.redactor
        )
        if not message.text.strip():
            raise UsageError("the task is empty: say what the team should do")
        if entry is not None and entry not in self.team.spec.agents:
            raise UsageError(f"there is no agent {entry}; there are: {', '.join(self.team.spec.agents)}")
        self._refuse_while_draining()
        log = RunLog(run_id or new_run_id(), self.journal, clock=self._wiring.clock)
        started = _started(
            self.team,
            message,
            entry=entry or self.team.spec.entry,
            session=session,
            traceparent=traceparent,
            earlier=carried_context(self.journal, session, count=token_counter()) if session else (),
        )
        return await self._begin(log, started)

    async def run(self, task: str | Message, *images: Image, session: str = "") -> RunResult:
        """Run the team on `task` and return the result."""
        return await (await self.start(task, *images, session=session)).result()

    async def resume(self, run_id: str) -> Run:
        """Carry on a run that was cut off, interrupted, ended by a limit, failed, or suspended.

        Nothing that is recorded is asked or done again. If the team has changed since, the recorded
        part must come out the same with it.

        Raises:
            UsageError: There is no such run, it is done, or it is going on here.
            RunTaken: Another process, which is alive, carries it.
            Divergence: The changed team would not have done what is recorded.
        """
        if run_id in self.live or run_id in self._taking_up:
            raise UsageError(f"run {run_id} is going on in this process")
        self._refuse_while_draining()
        taken_up = self._taking_up[run_id] = anyio.Event()
        try:
            return await self._take_up(run_id)
        finally:
            del self._taking_up[run_id]
            taken_up.set()

    async def _take_up(self, run_id: str) -> Run:
        await self.journal.claim(run_id)
        recorded = list(self.journal.read(run_id))
        resumption = plan_resumption(recorded, self.team, harness_version=version())
        if resumption.event.team is not None:
            await self._check_unaffected(resumption)
        origin = resumption.started.forked_from
        reuses = origin is not None and "--reuse-tools" in origin.changes
        past = Past(resumption.kept, reuse=self.journal.read(origin.run_id) if origin and reuses else ())
        log = RunLog(
            run_id, self.journal, past=past, next_sequence=resumption.next_sequence, clock=self._wiring.clock
        )
        if self._wiring.tracing is not None:
            ended = isinstance(recorded[-1].event, RunFinished)
            self._wiring.tracing.skip(run_id, resumption.kept, ended=ended)
        return await self._begin(log, resumption.started, resumed=resumption.event)

    async def fork(
        self,
        run_id: str,
        at: str,
        *,
        set: Mapping[str, object] | None = None,
        changes: Changes | None = None,
        described: Sequence[str] = (),
    ) -> Run:
        """Begin a new run from what an old one had done before the turn `at` came of it, and go on live.

        Args:
            at: `PATH/turn-N`, the first turn that is asked anew.
            set: Values of the team file to change, as in `{"agents.lead.model": "qwen"}`.
            changes: What else is different.
            described: Changes that the team of this harness already has, for the record.

        Raises:
            UsageError: There is no such run, turn or entry.
            TeamError: A value does not fit the team file.
        """
        self._refuse_while_draining()
        recorded = list(self.journal.read(run_id))
        if not recorded:
            raise UsageError(f"there is no run {run_id}")
        settings = [f"{key}={orjson.dumps(value).decode()}" for key, value in (set or {}).items()]
        crew = self._variant(settings) if settings else self._wiring.crew
        fork = plan_fork(
            recorded,
            at,
            changes or Changes(),
            count=token_counter(),
            settings=[*described, *(f"--set {key}={value}" for key, value in (set or {}).items())],
        )
        log = RunLog(new_run_id(), self.journal, past=fork.past, clock=self._wiring.clock)
        started = _started(
            crew.team, fork.task, entry=fork.entry, forked_from=fork.ancestry, earlier=fork.earlier
        )
        return await self._begin(log, started, crew=crew)

    def _variant(self, settings: Sequence[str]) -> Crew:
        team = restore_team(
            self.team.source,
            base=self.team.base,
            overrides=settings,
            servers=server_names(self._wiring.toolsets),
        )
        servers = ToolServers(team.spec.mcpServers, team.base, self._wiring.toolsets)
        models = build_models(team, self._wiring.given)
        thinking_plans(team, models)
        return Crew(team, models, servers)

    async def resume_all(self) -> list[Run]:
        """Carry on every run of this team that was cut off or interrupted and that no live process has.

        Raises:
            HarnessError: What kept a run from going on, the first one of several; all others go on.
        """
        resumed: dict[str, Run] = {}
        failures: list[HarnessError] = []

        async def resume(run_id: str) -> None:
            try:
                resumed[run_id] = await self.resume(run_id)
            except RunTaken:
                pass
            except HarnessError as error:
                failures.append(error)

        run_ids = [summary.run_id for summary in self.journal.runs() if self._was_cut_off(summary)]
        # All at once, so that they wait for the disk together.
        async with anyio.create_task_group() as tasks:
            for run_id in run_ids:
                tasks.start_soon(resume, run_id)
        if failures:
            raise failures[0]
        return [resumed[run_id] for run_id in run_ids if run_id in resumed]

    def _was_cut_off(self, summary: RunSummary) -> bool:
        ended = summary.finished.stop_reason if summary.finished else ""
        ours = summary.started.team_name == self.team.spec.name
        return ours and ended in ("", "interrupted") and summary.run_id not in self.live

    async def approve(
        self,
        run_id: str,
        call: str = "",
        *,
        allow: bool = True,
        arguments: str | None = None,
        content: Mapping[str, Any] | None = None,
        happened: bool | None = None,
        by: str = "",
        reason: str = "",
    ) -> Run:
        """Answer the question of a call, for good, and carry the run on if it is suspended.

        Args:
            call: The call's key or id, or the beginning of one; may be left out if only one waits.
            allow: Whether the call may run; for an elicitation, whether it is answered at all.
            arguments: JSON to run the call with instead of what the model wrote.
            content: The answer to an elicitation.
            happened: For a call in doubt, whether it took effect.
            by: Who decided, for the record.

        Raises:
            UsageError: No such question waits, it has been answered, or the answer does not fit it.
        """
        # A question that a crash could take back must not leave its answer to another one.
        await self.journal.durable(run_id)
        waiting = fold(self.journal.read(run_id)).waiting.values()
        reply = Reply(allow, arguments, content, happened, by, reason)
        answer = leave_answer(self.journal, run_id, waiting, call, reply, at=self._wiring.clock())
        while True:
            if taken_up := self._taking_up.get(run_id):
                await taken_up.wait()
            elif (live := self.live.get(run_id)) is None:
                return await self.resume(run_id)
            elif live.answer(answer):
                return live
            else:
                await live.wait()

    async def drain(self, grace: float = 0.0) -> None:
        """Take no more runs, let those under way end for `grace` seconds, and interrupt the rest."""
        self._draining = True
        with anyio.move_on_after(grace):
            for run in list(self.live.values()):
                await run.wait()
        async with anyio.create_task_group() as stopping:
            for run in list(self.live.values()):
                stopping.start_soon(partial(run.cancel, reason="interrupted"))

    def _refuse_while_draining(self) -> None:
        if self._draining:
            raise UsageError("this harness is shutting down; it takes no more runs")

    async def _check_unaffected(self, resumption: Resumption) -> None:
        again = await carry_out_again(resumption.kept, self.team, self._wiring.crew.models)
        if again.exact:
            return
        if again.divergences:
            first = again.divergences[0]
            agent, turn, what = first.agent, first.turn, str(first)
        else:
            event = again.missing[0].event
            agent, turn = getattr(event, "agent", ""), getattr(event, "turn", 0)
            what = f"{agent}: {event.type} does not happen any more"
        raise Divergence(
            f"the team has changed in a way that its recorded part does not allow: {what}; to go on from there with "
            f"the changed team: harness fork {again.run_id} --at {agent}/turn-{max(turn, 1)}"
        )

    async def _begin(
        self,
        log: RunLog,
        started: RunStarted,
        *,
        resumed: RunResumed | None = None,
        crew: Crew | None = None,
    ) -> Run:
        """Put it on disk that the run begins or goes on, and have it carried."""
        # Once more: it may have become so while the record was read.
        self._refuse_while_draining()
        if log.run_id in self.live:
            raise UsageError(f"run {log.run_id} is going on in this process")
        run = Run(log, self.journal)
        if self._wiring.tracing is not None:
            log.listen(self._wiring.tracing)
        self.live[run.id] = run
        try:
            if resumed is not None:
                log.epoch = resumed.epoch
                log.emit(resumed)
            log.emit(started)
            await log.durable()
        except BaseException as error:
            del self.live[run.id]
            run.abandon(error)
            raise
        ready = anyio.Event()
        self._wiring.tasks.start_soon(self._drive, run, log, started, crew, ready)
        await ready.wait()
        return run

    async def _drive(
        self, run: Run, log: RunLog, started: RunStarted, variant: Crew | None, ready: anyio.Event
    ) -> None:
        crew = variant or self._wiring.crew
        try:
            async with AsyncExitStack() as stack:
                if variant is not None:
                    stack.push_async_callback(close_models, variant.models, self._wiring.crew.models)
                    await stack.enter_async_context(variant.servers.opened())
                tools = await stack.enter_async_context(crew.servers.run_tools())
                guard = self._guard if variant is None else ToolGuard(_redactor(crew))
                team_run = TeamRun(
                    crew.team,
                    {name: GuardedModel(model, guard.redactor) for name, model in crew.models.items()},
                    GuardedTools(tools, guard),
                    log,
                    run.notices,
                    token_counter(),
                    started.entry,
                    started.earlier,
                    partial(self.journal.answers, run.id),
                )
                run.prepare(team_run)
                ready.set()
                try:
                    await run.drive(team_run, started.task)
                finally:
                    # Before its servers are closed: whoever waited for it may resume it at once.
                    self._carries_no_more(run)
        finally:
            ready.set()
            self._carries_no_more(run)

    def _carries_no_more(self, run: Run) -> None:
        if self.live.get(run.id) is run:
            del self.live[run.id]


def _redactor(crew: Crew) -> Redactor:
    """Return what hides the secrets that the team and its servers were given."""
    return Redactor(crew.team.hidden | crew.servers.secrets())


def _started(
    team: Team,
    task: Message,
    *,
    entry: str,
    session: str = "",
    traceparent: str = "",
    forked_from: Ancestry | None = None,
    earlier: tuple[Message, ...] = (),
) -> RunStarted:
    return RunStarted(
        team_name=team.spec.name,
        team_digest=team.digest,
        team=team.source,
        task=task,
        entry=entry,
        harness_version=version(),
        team_path=str(team.path or team.base),
        session=session,
        variables=team.variables,
        traceparent=traceparent,
        forked_from=forked_from,
        earlier=earlier,
    )


def server_names(toolsets: Sequence[Toolset]) -> list[str]:
    """Return the names of the servers that toolsets stand for."""
    return [name for toolset in toolsets if (name := getattr(toolset, "server", ""))]

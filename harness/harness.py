"""The `Harness`: a team with its models, servers and store, open for as many runs as are wanted.

The one place that wires adapters to the loop.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import orjson
from anyio.abc import TaskGroup

from harness.adapters import ToolServers, build_models, close_models
from harness.errors import Divergence, HarnessError, RunTaken, UsageError
from harness.events import Ancestry, RunFinished, RunResumed, RunStarted
from harness.garbage import spare_the_collector
from harness.journal import Journal, RunSummary, new_run_id, open_journal
from harness.loop.approvals import Reply, leave_answer
from harness.loop.log import RunLog
from harness.loop.past import Past
from harness.loop.state import fold
from harness.loop.team_run import TeamRun
from harness.messages import Image, Message, user
from harness.models.port import Model
from harness.models.tokens import token_counter
from harness.replay import Changes, Resumption, carry_out_again, plan_fork, plan_resumption
from harness.run import Run, RunResult
from harness.sessions import carried_context
from harness.team import Team, TeamSpec, load_team, restore_team
from harness.tools.port import Toolset
from harness.version import version

if TYPE_CHECKING:
    from harness.tracing import Tracing

DEFAULT_STORE = ".harness"

_OTLP_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@dataclass(frozen=True)
class _Crew:
    """A team with what carries its runs."""

    team: Team
    models: Mapping[str, Model]
    servers: ToolServers


@dataclass(frozen=True)
class _Wiring:
    """What all runs of a harness share."""

    journal: Journal
    crew: _Crew
    given: Mapping[str, Model]
    toolsets: Sequence[Toolset]
    tasks: TaskGroup
    tracing: Tracing | None
    clock: Callable[[], float]


class Harness:
    """A team ready to run. Made by `harness.open`; runs share its servers, models and store."""

    def __init__(self, wiring: _Wiring) -> None:
        self.team = wiring.crew.team
        self.journal = wiring.journal
        self.live: dict[str, Run] = {}
        """The runs that this process carries, by id."""
        self._wiring = wiring
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
        message = user(task, *images) if isinstance(task, str) else task
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
        if run_id in self.live:
            raise UsageError(f"run {run_id} is going on in this process")
        self._refuse_while_draining()
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

    def _variant(self, settings: Sequence[str]) -> _Crew:
        team = restore_team(
            self.team.source, base=self.team.base, overrides=settings, servers=_names(self._wiring.toolsets)
        )
        servers = ToolServers(team.spec.mcpServers, team.base, self._wiring.toolsets)
        return _Crew(team, build_models(team.spec, self._wiring.given), servers)

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
        live = self.live.get(run_id)
        # A question that a crash could take back must not leave its answer to another one.
        await self.journal.durable(run_id)
        waiting = fold(self.journal.read(run_id)).waiting.values()
        reply = Reply(allow, arguments, content, happened, by, reason)
        answer = leave_answer(self.journal, run_id, waiting, call, reply, at=self._wiring.clock())
        if live is not None:
            if live.answer(answer):
                return live
            await live.wait()
        return await self.resume(run_id)

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
        if again.divergences:
            first = again.divergences[0]
            at = f"{first.agent}/turn-{max(first.turn, 1)}"
            raise Divergence(
                f"the team has changed in a way that its recorded part does not allow: {first}; "
                f"to go on from there with the changed team: harness fork {again.run_id} --at {at}"
            )

    async def _begin(
        self,
        log: RunLog,
        started: RunStarted,
        *,
        resumed: RunResumed | None = None,
        crew: _Crew | None = None,
    ) -> Run:
        """Put it on disk that the run begins or goes on, and have it carried."""
        if log.run_id in self.live:
            raise UsageError(f"run {log.run_id} is going on in this process")
        run = Run(log, self.journal)
        if self._wiring.tracing is not None:
            log.listen(self._wiring.tracing)
        self.live[run.id] = run
        try:
            if resumed is not None:
                log.emit(resumed)
            log.emit(started)
            await log.durable()
        except BaseException:
            del self.live[run.id]
            raise
        ready = anyio.Event()
        self._wiring.tasks.start_soon(self._drive, run, log, started, crew, ready)
        await ready.wait()
        return run

    async def _drive(
        self, run: Run, log: RunLog, started: RunStarted, variant: _Crew | None, ready: anyio.Event
    ) -> None:
        crew = variant or self._wiring.crew
        try:
            async with AsyncExitStack() as stack:
                if variant is not None:
                    stack.push_async_callback(close_models, variant.models, self._wiring.crew.models)
                    await stack.enter_async_context(variant.servers.opened())
                tools = await stack.enter_async_context(crew.servers.run_tools())
                team_run = TeamRun(
                    crew.team,
                    crew.models,
                    tools,
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
                    self.live.pop(run.id, None)
        finally:
            ready.set()
            self.live.pop(run.id, None)


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


@asynccontextmanager
async def open_harness(
    team: str | Path | Team,
    *,
    store: str | Path | Journal | None = None,
    overrides: Sequence[str] = (),
    models: Mapping[str, Model] | None = None,
    toolsets: Sequence[Toolset] = (),
    trace: Path | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncGenerator[Harness]:
    """Open a team for many runs; servers, connections and the store are shared and closed at the end.

    Args:
        team: Path of a team file, or a team already loaded.
        store: Where runs are kept: a directory, a `.db` file, `:memory:` or a journal. Default:
            `$HARNESS_STORE`, or `.harness` in the working directory.
        overrides: `a.b.c=value` settings over the team file.
        models: Models to use instead of the team file's, by agent or by model name.
        toolsets: Tools besides those of the team's servers.
        trace: A file to which spans are written as OTLP JSON lines.
        clock: Seconds since 1970; for what is displayed, and for when questions expire.

    Raises:
        TeamError: The team file is wrong.
        StoreError: The store cannot be opened.
    """
    loaded = (
        team if isinstance(team, Team) else load_team(team, overrides=overrides, servers=_names(toolsets))
    )
    _check_prices(loaded.spec)
    given = models or {}
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        journal = _journal(store)
        if journal is not store:
            stack.push_async_callback(journal.close)
        by_agent = build_models(loaded.spec, given)
        stack.push_async_callback(close_models, by_agent, given)
        tool_servers = ToolServers(loaded.spec.mcpServers, loaded.base, toolsets)
        tracing = _tracing(trace)
        if tracing is not None:
            stack.callback(_close_tracing, tracing)
        await stack.enter_async_context(tool_servers.opened())
        tasks = await stack.enter_async_context(anyio.create_task_group())
        spare_the_collector()
        try:
            crew = _Crew(loaded, by_agent, tool_servers)
            yield Harness(_Wiring(journal, crew, given, toolsets, tasks, tracing, clock))
        except Exception as error:
            # Raised again outside the task group, which would wrap it in an ExceptionGroup.
            failure = error
        finally:
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _names(toolsets: Sequence[Toolset]) -> list[str]:
    """Return the names of the servers that toolsets stand for."""
    return [name for toolset in toolsets if (name := getattr(toolset, "server", ""))]


def _check_prices(spec: TeamSpec) -> None:
    """Refuse a limit in USD over a model whose price nobody knows.

    Raises:
        UsageError: There is one.
    """
    limited = spec.limits.usd is not None or any(
        agent.limits.usd is not None for agent in spec.agents.values()
    )
    unpriced = [
        name for name, model in spec.models.items() if model.api == "openai-chat" and model.price is None
    ]
    if limited and unpriced:
        raise UsageError(
            f"a limit in usd cannot be kept: the price of the model {unpriced[0]} is unknown; "
            f"add models.{unpriced[0]}.price with input and output in USD per million tokens"
        )


def _tracing(trace: Path | None) -> Tracing | None:
    """Return where spans go, if they go anywhere; the OTel SDK is imported only then."""
    if trace is None and not any(os.environ.get(name) for name in _OTLP_VARIABLES):
        return None
    from harness.tracing import Tracing

    return Tracing.from_environment(trace)


def _close_tracing(tracing: Tracing) -> None:
    for problem in tracing.close().problems:
        warnings.warn(f"traces: {problem}", RuntimeWarning, stacklevel=2)


def run_sync(
    team: str | Path | Team,
    task: str | Message,
    *,
    store: str | Path | Journal | None = None,
    overrides: Sequence[str] = (),
    models: Mapping[str, Model] | None = None,
) -> RunResult:
    """Run a team on a task from code that is not async, and return the result."""

    async def main() -> RunResult:
        async with open_harness(team, store=store, overrides=overrides, models=models) as harness:
            return await harness.run(task)

    return anyio.run(main)


def _journal(store: str | Path | Journal | None) -> Journal:
    if store is None:
        store = os.environ.get("HARNESS_STORE") or DEFAULT_STORE
    return open_journal(store, write=True) if isinstance(store, str | Path) else store

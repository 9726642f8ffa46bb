"""The `Harness`: a team with its models, servers and store, open for as many runs as are wanted.

The one place that wires adapters to the loop.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from harness.adapters import ToolServers, build_models, close_models
from harness.errors import UsageError
from harness.journal import Journal, new_run_id, open_journal
from harness.loop.log import Notices, RunLog
from harness.loop.team_run import TeamRun
from harness.messages import Image, Message, user
from harness.models.port import Model
from harness.models.tokens import token_counter
from harness.run import Run, RunResult
from harness.team import Team, load_team
from harness.tools.port import Toolset
from harness.version import version

DEFAULT_STORE = ".harness"


class Harness:
    """A team ready to run. Made by `harness.open`; runs share its servers, models and store."""

    def __init__(
        self,
        team: Team,
        *,
        journal: Journal,
        models: Mapping[str, Model],
        servers: ToolServers,
        tasks: TaskGroup,
    ) -> None:
        self.team = team
        self.journal = journal
        self.notices = Notices()
        self._models = models
        self._servers = servers
        self._tasks = tasks

    async def start(self, task: str | Message, *images: Image) -> Run:
        """Begin a run of the team on `task` and return at once.

        Raises:
            UsageError: The task is empty.
        """
        message = user(task, *images) if isinstance(task, str) else task
        if not message.text.strip():
            raise UsageError("the task is empty: say what the team should do")
        log = RunLog(new_run_id(), self.journal)
        run = Run(log, self.journal)
        self._tasks.start_soon(self._drive, run, log, message)
        return run

    async def run(self, task: str | Message, *images: Image) -> RunResult:
        """Run the team on `task` and return the result."""
        return await (await self.start(task, *images)).result()

    async def _drive(self, run: Run, log: RunLog, task: Message) -> None:
        async with self._servers.run_tools() as tools:
            team_run = TeamRun(
                self.team, self._models, tools, log, self.notices, token_counter(), harness_version=version()
            )
            await run.drive(team_run, task)


@asynccontextmanager
async def open_harness(
    team: str | Path | Team,
    *,
    store: str | Path | Journal | None = None,
    overrides: Sequence[str] = (),
    models: Mapping[str, Model] | None = None,
    toolsets: Sequence[Toolset] = (),
    trace: Path | None = None,
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

    Raises:
        TeamError: The team file is wrong.
        StoreError: The store cannot be opened.
    """
    loaded = team if isinstance(team, Team) else load_team(team, overrides=overrides)
    given = models or {}
    async with AsyncExitStack() as stack:
        journal = _journal(store)
        if journal is not store:
            stack.push_async_callback(journal.close)
        by_agent = build_models(loaded.spec, given)
        stack.push_async_callback(close_models, by_agent, given)
        servers = ToolServers(loaded.spec.mcpServers, loaded.base, toolsets)
        await stack.enter_async_context(servers.opened())
        tasks = await stack.enter_async_context(anyio.create_task_group())
        try:
            yield Harness(loaded, journal=journal, models=by_agent, servers=servers, tasks=tasks)
        finally:
            tasks.cancel_scope.cancel()


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

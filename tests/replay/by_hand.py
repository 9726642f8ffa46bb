"""Running a team with parts that a harness would choose itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

from harness import MemoryJournal, Recorded
from harness.events import RunStarted
from harness.loop.log import Notices, RunLog
from harness.loop.team_run import ScopedTools, TeamRun
from harness.messages import user
from harness.models.port import Model
from harness.team import Team
from harness.tools.port import Tool


@asynccontextmanager
async def no_tools(patterns: Sequence[str], *, agent: str, emit: object) -> AsyncGenerator[list[Tool]]:
    """Have no tools from servers."""
    yield []


async def run_by_hand(
    team: Team,
    models: dict[str, Model],
    *,
    tools: ScopedTools = no_tools,
    count: Callable[[str], int] = len,
) -> list[Recorded]:
    """Run a team with these tools and this way to count tokens, and return its record."""
    journal = MemoryJournal()
    log = RunLog("by-hand", journal)
    task = user("Where is X?")
    log.emit(
        RunStarted(
            team_name=team.spec.name,
            team_digest=team.digest,
            team=team.source,
            task=task,
            entry=team.spec.entry,
            harness_version="0",
        )
    )
    with anyio.fail_after(20):
        await TeamRun(team, models, tools, log, Notices(), count, team.spec.entry).execute(task)
    return list(journal.read("by-hand"))

"""Looking into a PostgreSQL store from outside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import anyio
import anyio.to_thread
import psycopg

from harness.events import Event
from harness.journal import Journal


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def let_time_pass(url: str) -> None:
    """Let all processes of a store count as dead."""
    query(url, "UPDATE harness.writers SET expires_at = clock_timestamp() - interval '1 second'")


def everything(journal: Journal) -> dict[str, list[Event]]:
    return {run.run_id: [item.event for item in journal.read(run.run_id)] for run in journal.runs()}


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(60):
        while True:
            if await anyio.to_thread.run_sync(condition):
                return
            await anyio.sleep(0.02)

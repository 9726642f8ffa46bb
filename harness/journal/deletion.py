"""Taking runs out of a journal file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path

from harness.journal.codec import references


def delete_runs(connection: sqlite3.Connection, run_ids: Collection[str]) -> int:
    """Remove the events of these runs and the content that only they refer to, in one transaction.

    Returns how many events that were. Passes over all events of the file: which content is shared stands only in the events, because
    keeping count of it would slow down every write.
    """
    execute = connection.execute
    execute("BEGIN IMMEDIATE")
    unused: set[str] = set()
    events = 0
    for run_id in run_ids:
        for (body,) in execute("SELECT body FROM events WHERE run_id = ?", (run_id,)):
            unused.update(references(body))
        events += execute("DELETE FROM events WHERE run_id = ?", (run_id,)).rowcount
    if unused:
        for (body,) in execute("SELECT body FROM events"):
            unused.difference_update(references(body))
    connection.executemany("DELETE FROM content WHERE hash = ?", [(key,) for key in unused])
    execute("COMMIT")
    return events


def shrink(connection: sqlite3.Connection, path: Path) -> int:
    """Give the space of what was deleted back to the file system; return how many bytes that were.

    On a disk too full to make the smaller copy the file keeps its size and reuses the space.
    """
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = _size(path)
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return max(0, before - _size(path))


def _size(path: Path) -> int:
    files = (path, Path(f"{path}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())

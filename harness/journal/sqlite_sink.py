"""How batches get into a SQLite file."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import Fenced, StoreError
from harness.journal.deletion import delete_runs, shrink
from harness.journal.reading import next_sequence
from harness.journal.rows import ContentRow, EventRow, first_rows
from harness.journal.writer import Recent

# Python gives up its lock around every statement and, beside a busy thread, waits up to 5 ms to
# get it back. Rows therefore go in many per statement (16 tasks beside a busy loop waited 0.08 s
# for the disk instead of 0.6 s); a few sizes, so that all stay prepared.
_ROWS_PER_STATEMENT = (64, 16, 4, 1)


class SqliteSink:
    """Writes to one file through a connection it owns."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.name = str(path)
        self._path = path
        self._connection = connection
        self._known = Recent()
        # SQLite follows links before it names its write-ahead log.
        self._files = {file: _identity(file) for file in (path, Path(f"{path.resolve()}-wal"))}

    def write(self, events: Sequence[EventRow], contents: Sequence[ContentRow]) -> Mapping[str, StoreError]:
        """Commit all rows in one transaction.

        The lock keeps other writers out. Should one get in all the same, because somebody deleted
        the lock file, the runs it wrote to are lost.
        """
        unknown = [row for row in contents if self._known.adds(row[0])]
        try:
            self._commit(events, unknown)
        except sqlite3.IntegrityError:
            self._connection.execute("ROLLBACK")
            lost = self._overtaken(events)
            if not lost:
                raise
            self._commit([row for row in events if row[0] not in lost], unknown)
            return lost
        return {}

    def tend(self) -> float | None:
        """Return None: a file needs no care."""
        return None

    def delete(self, run_ids: Collection[str]) -> int:
        """Remove runs and what only they refer to; return the bytes by which the file shrank."""
        if not delete_runs(self._connection, run_ids):
            return 0
        self._known.clear()
        return shrink(self._connection, self._path)

    def close(self) -> None:
        """Close the connection."""
        # SQLite tidies up here, and after a failure it may complain once more.
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _commit(self, events: Sequence[EventRow], contents: Sequence[ContentRow]) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        _insert(self._connection, "INSERT OR IGNORE INTO content VALUES", contents)
        _insert(self._connection, "INSERT INTO events VALUES", events)
        execute("COMMIT")
        self._check_place()

    def _check_place(self) -> None:
        """Refuse to have committed to files that nobody will find again.

        A file that is deleted or moved can be written all the same, and SQLite does not look.

        Raises:
            StoreError: They are not where they were opened.
        """
        for path, identity in self._files.items():
            if identity is None or _identity(path) != identity:
                raise StoreError(
                    f"{path} was deleted, moved or replaced while it was being written; nothing more is "
                    "accepted: put it back, then resume the run"
                )

    def _overtaken(self, events: Sequence[EventRow]) -> dict[str, StoreError]:
        """Return the runs among the rows that have grown without this writer."""
        return {
            run_id: Fenced(
                f"another process has written to run {run_id} in {self.name}; this one must not go on with it"
            )
            for run_id, first in first_rows(events).items()
            if next_sequence(self._connection, run_id) > first[1]
        }


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what stays the same for as long as a path leads to the same file; None if to none."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    done = 0
    for count in _ROWS_PER_STATEMENT:
        while len(rows) - done >= count:
            chunk = rows[done : done + count]
            done += count
            values = [value for row in chunk for value in row]
            connection.execute(_with_places(statement, count, len(chunk[0])), values)


@functools.cache
def _with_places(statement: str, rows: int, columns: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"{statement} {','.join([row] * rows)}"

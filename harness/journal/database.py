"""The SQLite file of a journal: its tables, and how connections to it are opened."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal

from harness.errors import StoreError
from harness.events import FORMAT
from harness.journal.migrations import STEPS, Step, steps_from

Durability = Literal["durable", "buffered"]
"""What a commit survives: a crash of the machine, or only one of the process."""

SEGMENT_NAME = re.compile(r"journal(?:-(\d+))?\.db")
"""What the files are called that a directory store consists of."""

_CHECKPOINT_PAGES = 4000
"""Pages of 4 KiB in the write-ahead log before they are copied into the file: rarely, yet soon read."""

_SHARED_MEMORY = 1 << 15
"""Bytes of the file that lets several connections use a write-ahead log."""

_making = threading.Lock()

# `events` is clustered by run, so reading one is a scan. `content` keeps its rowid: its rows are
# large and its keys random, and a table clustered by them measured 2.4 times the bytes and the time.
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    run_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at REAL NOT NULL,
    agent TEXT NOT NULL,
    type TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run_id, sequence)
) WITHOUT ROWID;
CREATE TABLE content (hash TEXT PRIMARY KEY, body BLOB NOT NULL);
"""


def open_for_writing(path: Path, durability: Durability) -> sqlite3.Connection:
    """Open the file, made first if it is missing; the caller holds the lock.

    Raises:
        StoreError: It cannot be written, is not a journal, is damaged, or needs a newer harness.
    """
    with refusing(path):
        make_private(path)
        connection = connect(path, "mode=rw")
        try:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise StoreError(f"{path} is on a file system without shared memory; choose another store")
            synchronous = {"durable": "FULL", "buffered": "NORMAL"}[durability]
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            found = _checked_format(connection, path)
            _empty_log(connection)
            if found < FORMAT:
                bring_up_to_date(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _empty_log(connection: sqlite3.Connection) -> None:
    """Copy what an earlier writer left in the write-ahead log into the file.

    Its last commit may have failed at the disk, so that it can be read and will yet be gone after a
    power loss; and with it everything behind it in the log, however durable that was made.
    """
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        # Deletions must still find their way into a store on a full disk.
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise


def make_private(path: Path) -> None:
    """Make the file, for this user only, unless it is there; SQLite would let everyone read it.

    Raises:
        OSError: It cannot be made, or may not be written.
    """
    # A file that SQLite may have open is never opened here, because closing it would drop the locks
    # that SQLite holds on it (POSIX gives them to the process, not to the descriptor).
    with _making:
        if not path.exists():
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        elif not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def bring_up_to_date(connection: sqlite3.Connection, *, steps: Sequence[Step] = STEPS) -> None:
    """Make the tables, or change those of an older format, wholly or not at all."""
    # Looking up the version takes 20 ms that only a new file need cost.
    from harness.version import version

    if _is_blank(connection):
        statements = [_TABLES]
    else:
        # A file whose writer died before it said so is in the format that had such writers.
        found = int(_meta(connection).get("format", "1"))
        statements = [f"{statement};" for step in steps_from(found, steps=steps) for statement in step.sqlite]
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {' '.join(statements)}")
        written = [("format", str(steps[-1].to)), ("harness_version", version())]
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", written)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the file without the right to change it, beside a writer or alone.

    Raises:
        StoreError: It is missing, is not a journal, is damaged, or needs a newer harness.
    """
    if not path.exists():
        raise StoreError(f"{path} does not exist")
    with refusing(path):
        try:
            return _open_to_read(path, "mode=ro")
        except sqlite3.OperationalError:
            nobody_writes = not os.access(path.parent, os.W_OK) or _is_full(path)
            log = Path(f"{path}-wal")
            if not nobody_writes or (log.exists() and log.stat().st_size):
                raise
            # On a read-only or full place SQLite cannot set up its shared memory, for a writer neither.
            return _open_to_read(path, "immutable=1")


def _open_to_read(path: Path, options: str) -> sqlite3.Connection:
    connection = connect(path, options)
    try:
        written = _checked_format(connection, path) > 0
    except BaseException:
        connection.close()
        raise
    if not written:
        # Its writer has made the file but not the tables yet: as good as an empty journal.
        connection.close()
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.executescript(_TABLES)
    return connection


@contextlib.contextmanager
def refusing(path: Path) -> Generator[None]:
    """Turn what the file system and SQLite complain about into a StoreError that names the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if not isinstance(error, sqlite3.OperationalError):
            raise StoreError(
                f"{path} is not a journal, or is damaged: {error}; put a copy back, or choose another store"
            ) from error
        # SQLite seldom says so itself.
        advice = "; the disk is full, make room on it" if _is_full(path) else ""
        raise StoreError(f"{path} cannot be used: {error}{advice}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be used: {error.strerror}; choose another store") from error


def _is_full(path: Path) -> bool:
    """Return whether there is no room beside the file for SQLite's shared memory."""
    with contextlib.suppress(OSError):
        status = os.statvfs(path.parent)
        return status.f_bavail * status.f_frsize < _SHARED_MEMORY
    return False


def connect(path: Path, options: str) -> sqlite3.Connection:
    """Open a SQLite file with options of its URI; it must exist unless `options` says otherwise."""
    # Autocommit, because the writer says itself where a transaction begins and ends.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=5.0,
        isolation_level=None,
        check_same_thread=False,
    )


def _is_blank(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0


def _checked_format(connection: sqlite3.Connection, path: Path) -> int:
    """Return the format the file is in, 0 if nothing was ever written."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables:
        return 0
    if not {"meta", "events", "content"} <= tables:
        raise StoreError(f"{path} is a database, but not a journal; choose another store")
    meta = _meta(connection)
    found = int(meta.get("format", "0"))
    if found > FORMAT:
        raise StoreError(
            f"{path} was written by a newer harness ({meta.get('harness_version')}) in format {found}; "
            f"this one reads formats up to {FORMAT}: upgrade harness, or choose another store"
        )
    return found


def _meta(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM meta").fetchall())

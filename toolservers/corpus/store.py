"""The SQLite file behind an index: its tables, its connections, and what happens when it is unwell.

It is a cache. Nothing in it cannot be made again from the folder, so a damaged file is thrown away, and where no
file can be written the tables live in memory. Several processes may share one file: readers see a snapshot each
(write-ahead log), writers take turns (`BEGIN IMMEDIATE`) in short transactions.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

SCHEMA_VERSION = 1
"""Raised whenever the tables, or what is put into them from the same file, change."""

_BUSY_SECONDS = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS files(
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    kind TEXT NOT NULL, line_count INTEGER NOT NULL, passage_count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS passages(
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, path TEXT NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL,
    names TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, digest TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS passages_by_file ON passages(file, start);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    path, title, body, names, content='passages', content_rowid='id', tokenize='porter unicode61');
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab(words, row);
CREATE TRIGGER IF NOT EXISTS forget AFTER DELETE ON passages BEGIN
    INSERT INTO words(words, rowid, path, title, body, names)
    VALUES ('delete', old.id, old.path, old.title, old.body, old.names);
END;
INSERT INTO words(words, rank) VALUES ('rank', 'bm25(2.0, 4.0, 1.0, 0.5)');
INSERT INTO words(words, rank) VALUES ('hashsize', 16777216);
"""
# A scratch table of one's own answers what the tokenizer makes of a word.
_SCRATCH = """
CREATE VIRTUAL TABLE temp.scratch USING fts5(word, tokenize='porter unicode61');
CREATE VIRTUAL TABLE temp.scratch_terms USING fts5vocab(temp, scratch, instance);
"""


class Store:
    """Connections to one cache file, or to one database in memory."""

    def __init__(self, file: Path | None) -> None:
        """Opens the file and makes its tables; None keeps them in memory.

        Raises: OSError, sqlite3.Error.
        """
        self.file = file
        self._idle: list[sqlite3.Connection] = []
        self._alone = threading.RLock() if file is None else None
        weakref.finalize(self, _close_all, self._idle)
        if file is not None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = self._connect()
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection, None, None]:
        """A connection that sees one state of the tables for the time of the block."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection, None, None]:
        """The only writing connection among all processes; the block is committed whole or not at all."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def discard(self) -> None:
        """Closes what is idle and removes the file."""
        _close_all(self._idle)
        if self.file is not None:
            for ending in ("", "-wal", "-shm"):
                Path(f"{self.file}{ending}").unlink(missing_ok=True)

    @contextmanager
    def _transaction(self, begin: str) -> Generator[sqlite3.Connection, None, None]:
        if self._alone is not None:
            # A database in memory is visible to its own connection only, so everybody shares that one.
            with self._alone:
                connection = self._idle[0]
                with _settled(connection, begin):
                    yield connection
            return
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            with _settled(connection, begin):
                yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.file or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -16000")
            connection.executescript(_SCRATCH)
        except BaseException:
            connection.close()
            raise
        return connection


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the error says that the file is not a sound database of ours."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return True
    return any(text in str(error) for text in ("no such table", "no such column", "has no column"))


def is_unwritable(error: sqlite3.Error) -> bool:
    """Whether the error says that the place of the file cannot be used, now or any more."""
    useless = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in useless


def open_store(file: Path | None) -> Store:
    """The store in `file`, made anew if it is damaged, or in memory where no file can be written."""
    if file is None:
        return Store(None)
    try:
        return Store(file)
    except OSError:
        return Store(None)
    except sqlite3.Error as error:
        if not is_damaged(error):
            return Store(None)
    try:
        for ending in ("", "-wal", "-shm"):
            Path(f"{file}{ending}").unlink(missing_ok=True)
        return Store(file)
    except (OSError, sqlite3.Error):
        return Store(None)


def _prepare(connection: sqlite3.Connection) -> None:
    _use_write_ahead_log(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'forget'").fetchone():
            connection.executescript(_TABLES)
        connection.execute("SELECT path, kind, passage_count FROM files LIMIT 1").fetchone()
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Turns the log on; while another process does the same, SQLite reports busy at once instead of waiting."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextmanager
def _settled(connection: sqlite3.Connection, begin: str) -> Generator[None, None, None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()

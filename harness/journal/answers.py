"""Answers that people leave for a run while another process writes its journal.

SQLite before 3.51.3 may corrupt a file in WAL mode that two connections write to, and whoever
answers a question is seldom the process that carries the run. So answers have a small file of
their own with a rollback journal, which any number of processes may write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import StoreError, UsageError
from harness.journal.codec import from_json, to_json
from harness.journal.database import SEGMENT_NAME, connect, make_private, refusing
from harness.journal.port import Answer

_FORMAT = 1

_TABLE = """
CREATE TABLE answers (
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run_id, key, number)
) WITHOUT ROWID
"""


class AnswerFile:
    """The answers of one store; nothing is kept open between calls.

    Args:
        path: The file; it is made when the first answer is left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def of_directory(directory: Path) -> AnswerFile:
        """Return the answers that belong to a directory store."""
        return AnswerFile(directory / "answers.db")

    @staticmethod
    def beside(path: Path) -> AnswerFile:
        """Return the answers that belong to the journal in one file, `NAME-answers.db` beside `NAME.db`.

        A file of a directory store has its answers where that store has them, however it is opened.
        """
        if SEGMENT_NAME.fullmatch(path.name):
            return AnswerFile.of_directory(path.parent)
        return AnswerFile(path.with_name(f"{path.stem}-answers{path.suffix}"))

    def leave(self, run_id: str, answer: Answer) -> None:
        """Keep an answer so that it survives a crash of the machine.

        Raises:
            StoreError: The file cannot be written.
            UsageError: The question has been answered before; the message says how.
        """
        with refusing(self.path):
            make_private(self.path)
            with closing(self._open()) as connection:
                _make_table(connection)
                place = (run_id, answer.key, answer.number)
                statement = "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)"
                if connection.execute(statement, (*place, to_json(answer))).rowcount:
                    return
                query = "SELECT body FROM answers WHERE run_id = ? AND key = ? AND number = ?"
                (body,) = connection.execute(query, place).fetchone()
        raise answered_before(answer_from(body))

    def left(self, run_id: str) -> list[Answer]:
        """Return the answers left for a run.

        Raises:
            StoreError: The file cannot be read.
        """
        if not self.path.exists():
            return []
        with refusing(self.path), closing(self._open()) as connection:
            if not _format(connection):
                return []
            rows = connection.execute("SELECT body FROM answers WHERE run_id = ?", (run_id,))
            return [answer_from(body) for (body,) in rows.fetchall()]

    def forget(self, run_ids: Collection[str]) -> None:
        """Drop all answers left for these runs.

        Raises:
            StoreError: The file cannot be written.
        """
        if not self.path.exists():
            return
        with refusing(self.path), closing(self._open()) as connection:
            if _format(connection):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "DELETE FROM answers WHERE run_id = ?", [(run_id,) for run_id in run_ids]
                )
                connection.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        # SQLite opens a write-protected file for reading all the same.
        connection = connect(self.path, "mode=rw")
        try:
            # EXTRA, because with FULL a rollback journal may come back after a power loss.
            connection.execute("PRAGMA synchronous = EXTRA")
            found = _format(connection)
            if found > _FORMAT:
                raise StoreError(f"{self.path} was written by a newer harness; upgrade harness to use it")
        except BaseException:
            connection.close()
            raise
        return connection


def answer_from(body: bytes) -> Answer:
    """Return the answer that was kept as JSON."""
    return Answer(**from_json(body))


def answered_before(earlier: Answer) -> UsageError:
    """Return the error for a question that has been answered: by whom, how and when."""
    when = datetime.fromtimestamp(earlier.at, UTC)
    return UsageError(
        f"question {earlier.number} of call {earlier.key} has been answered before: "
        f"{earlier.decision} by {earlier.by or 'somebody'}, {when:%Y-%m-%d %H:%M:%S} UTC; "
        "resume the run to carry on with that answer"
    )


def _format(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _make_table(connection: sqlite3.Connection) -> None:
    if _format(connection) == _FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    # Looked up again, because another process may have made it while this one waited.
    if not _format(connection):
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
    connection.execute("COMMIT")

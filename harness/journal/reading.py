"""What can be read from a journal file, beside its writer or long after."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from harness.errors import StoreError
from harness.events import Recorded
from harness.journal.answers import AnswerFile
from harness.journal.codec import Decoder, references
from harness.journal.database import open_for_reading, refusing
from harness.journal.order import newest_first, summarise
from harness.journal.port import Answer, RunSummary

_ROWS_AT_ONCE = 512
"""A long read holds no transaction open, or the write-ahead log could not be emptied meanwhile."""

_LARGE = 1 << 16

# Hops from each run to the next one in the primary key, instead of passing over all events.
_RUN_IDS = """
WITH RECURSIVE run(id) AS (
    SELECT min(run_id) FROM events
    UNION ALL
    SELECT (SELECT min(run_id) FROM events WHERE run_id > run.id) FROM run WHERE run.id IS NOT NULL
)
SELECT id FROM run WHERE id IS NOT NULL
"""

_EVENTS = "SELECT run_id, sequence, at, type, body FROM events WHERE run_id = ?"

_Row = tuple[str, int, float, str, bytes]


class SqliteReader:
    """A journal file that is only read; needs no lock and keeps nothing open between calls.

    Args:
        path: The file, which must be a journal this version can read.
        answers: Where answers are left; by default in a file beside it.
    """

    def __init__(self, path: Path, *, answers: AnswerFile | None = None) -> None:
        self.path = path
        self._answers = answers or AnswerFile.beside(path)

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Refuse.

        Raises:
            StoreError: Always.
        """
        raise opened_for_reading(self.path, "append to it")

    async def durable(self, run_id: str = "") -> None:
        """Return at once: nothing is pending."""

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`; what is committed meanwhile too.

        Raises:
            StoreError: The file cannot be read, or needs a newer harness.
        """
        with refusing(self.path), closing(open_for_reading(self.path)) as connection:
            contents = _Contents(connection)
            decoder = Decoder(contents)
            query = f"{_EVENTS} AND sequence >= ? ORDER BY sequence LIMIT {_ROWS_AT_ONCE}"
            while rows := connection.execute(query, (run_id, start)).fetchall():
                contents.expect(row[4] for row in rows)
                for row in rows:
                    yield _recorded(decoder, row)
                start = rows[-1][1] + 1

    def runs(self) -> list[RunSummary]:
        """Return all runs, newest first.

        Raises:
            StoreError: The file cannot be read, or needs a newer harness.
        """
        with refusing(self.path), closing(open_for_reading(self.path)) as connection:
            decoder = Decoder(_Contents(connection))
            summaries: list[RunSummary | None] = []
            for (run_id,) in connection.execute(_RUN_IDS).fetchall():
                first, last = (
                    _recorded(decoder, connection.execute(f"{_EVENTS} {order} LIMIT 1", (run_id,)).fetchone())
                    for order in ("ORDER BY sequence", "ORDER BY sequence DESC")
                )
                summaries.append(summarise(first, last))
            return newest_first(summary for summary in summaries if summary)

    def among(self, run_ids: Collection[str]) -> list[str]:
        """Return those of the runs that are in this file.

        Raises:
            StoreError: The file cannot be read, or needs a newer harness.
        """
        with refusing(self.path), closing(open_for_reading(self.path)) as connection:
            return [run_id for run_id in run_ids if next_sequence(connection, run_id)]

    async def claim(self, run_id: str) -> None:
        """Refuse.

        Raises:
            StoreError: Always.
        """
        raise opened_for_reading(self.path, f"carry on run {run_id}")

    def answer(self, run_id: str, answer: Answer) -> None:
        """Leave the answer to a question, durably; whoever writes to the run will find it.

        Raises:
            StoreError: It cannot be written.
            UsageError: The question has been answered before.
        """
        self._answers.leave(run_id, answer)

    def answers(self, run_id: str) -> list[Answer]:
        """Return the answers left for a run.

        Raises:
            StoreError: They cannot be read.
        """
        return self._answers.left(run_id)

    async def delete(self, run_ids: Collection[str]) -> int:
        """Refuse.

        Raises:
            StoreError: Always.
        """
        raise opened_for_reading(self.path, "delete from it")

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def opened_for_reading(place: Path | str, purpose: str) -> StoreError:
    """Return the error for a store that was opened for reading and is asked for more."""
    return StoreError(f"{place} was opened for reading; open it for writing to {purpose}")


class _Contents:
    """Finds content by its hash."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._expected: dict[str, bytes] = {}

    def expect(self, bodies: Iterable[bytes]) -> None:
        """Get ready what these events refer to, all of it at once but for what is large."""
        keys = list({key for body in bodies for key in references(body)})
        self._expected = {}
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            some = keys[start : start + _ROWS_AT_ONCE]
            places = ",".join("?" * len(some))
            query = f"SELECT hash, body FROM content WHERE hash IN ({places}) AND length(body) < {_LARGE}"
            self._expected.update(self._connection.execute(query, some).fetchall())

    def __call__(self, key: str) -> bytes:
        expected = self._expected.get(key)
        if expected is not None:
            return expected
        row = self._connection.execute("SELECT body FROM content WHERE hash = ?", (key,)).fetchone()
        if row is None:
            raise StoreError(f"the journal is damaged: content {key} is missing")
        return row[0]


def next_sequence(connection: sqlite3.Connection, run_id: str) -> int:
    """Return the sequence the next event of a run must have; 0 if the run is not there."""
    query = "SELECT max(sequence) + 1 FROM events WHERE run_id = ?"
    return connection.execute(query, (run_id,)).fetchone()[0] or 0


def _recorded(decoder: Decoder, row: _Row) -> Recorded:
    run_id, sequence, at, kind, body = row
    return Recorded(run_id, sequence, at, decoder.decode(kind, body))

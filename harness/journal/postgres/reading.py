"""What can be read from a PostgreSQL store, and the answers left in it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, LiteralString, TypeVar

from harness.errors import StoreError, UsageError
from harness.events import Recorded
from harness.journal.answers import answer_from, answered_before
from harness.journal.codec import Decoder, references, to_json
from harness.journal.order import newest_first, summarise
from harness.journal.port import Answer, RunSummary
from harness.journal.postgres.address import Address, Connection
from harness.journal.postgres.line import Line
from harness.journal.postgres.tables import found_format
from harness.journal.reading import opened_for_reading

T = TypeVar("T")

_ROWS_AT_ONCE = 512
_PATIENCE = 1.0
"""Seconds to wait for a server that restarts."""

_LARGE_CONTENT = 1 << 16
"""Bytes of content that is fetched when it is needed, not in advance."""

_EVENTS = """
SELECT run_id, sequence, at, type, body FROM harness.events
WHERE run_id = %s AND sequence >= %s ORDER BY sequence LIMIT %s
"""

_ENDS = """
SELECT end_of_run.run_id, end_of_run.sequence, end_of_run.at, end_of_run.type, end_of_run.body
FROM harness.runs AS run CROSS JOIN LATERAL (
    (SELECT * FROM harness.events WHERE run_id = run.run_id ORDER BY sequence LIMIT 1)
    UNION ALL
    (SELECT * FROM harness.events WHERE run_id = run.run_id ORDER BY sequence DESC LIMIT 1)
) AS end_of_run
"""

_LEAVE = "INSERT INTO harness.answers VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1"
_LEFT = "SELECT body FROM harness.answers WHERE run_id = %s AND key = %s AND number = %s"

_Row = tuple[Any, ...]


class PostgresReader:
    """A PostgreSQL store that is only read; its connection is opened when it is needed.

    All calls may come from any thread; they take turns.

    Args:
        address: Where the database is.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._spare = _Spare(address)
        # For readers that nobody closes.
        self._finalizer = weakref.finalize(self, self._spare.close)

    def check(self) -> None:
        """Connect, and look whether there is a store.

        Raises:
            StoreError: There is no server, it does not let us in, or the store needs a newer harness.
            UsageError: There is no store in the database.
        """
        with self.address.refusing():
            if not self._spare.run(lambda connection: found_format(connection, self.address)):
                raise UsageError(f"no runs here yet: {self.address.name} holds none; start one")

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Refuse.

        Raises:
            StoreError: Always.
        """
        raise opened_for_reading(self.address.name, "append to it")

    async def durable(self, run_id: str = "") -> None:
        """Return at once: nothing is pending."""

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`; what is committed meanwhile too.

        Raises:
            StoreError: The store cannot be read, or an event needs a newer harness.
        """
        contents = _Contents(self)
        decoder = Decoder(contents)
        while rows := self.query(_EVENTS, (run_id, start, _ROWS_AT_ONCE)):
            contents.fetch(row[4] for row in rows)
            for row in rows:
                yield _recorded(decoder, row)
            start = rows[-1][1] + 1

    def runs(self) -> list[RunSummary]:
        """Return all runs, newest first; looks at the first and the last event of each only.

        Raises:
            StoreError: The store cannot be read, or an event needs a newer harness.
        """
        rows = self.query(_ENDS)
        contents = _Contents(self)
        contents.fetch(row[4] for row in rows)
        decoder = Decoder(contents)
        ends: dict[str, list[Recorded]] = {}
        for row in sorted(rows, key=lambda row: row[1]):
            ends.setdefault(row[0], []).append(_recorded(decoder, row))
        summaries = (summarise(its[0], its[-1]) for its in ends.values())
        return newest_first(summary for summary in summaries if summary)

    async def claim(self, run_id: str) -> None:
        """Refuse.

        Raises:
            StoreError: Always.
        """
        raise opened_for_reading(self.address.name, f"carry on run {run_id}")

    def answer(self, run_id: str, answer: Answer) -> None:
        """Leave the answer to a question, durably; whoever writes to the run will find it.

        Raises:
            StoreError: It cannot be written.
            UsageError: The question has been answered before.
        """
        body = to_json(answer)
        place = (run_id, answer.key, answer.number)
        tries = 0

        def leave(connection: Connection) -> bytes | None:
            nonlocal tries
            tries += 1
            if connection.execute(_LEAVE, (*place, body)).fetchall():
                return None
            [(kept,)] = connection.execute(_LEFT, place).fetchall()
            # A try whose connection was lost may have been ours.
            return None if tries > 1 and kept == body else kept

        with self.address.refusing():
            kept = self._spare.run(leave)
        if kept is not None:
            raise answered_before(answer_from(kept))

    def answers(self, run_id: str) -> list[Answer]:
        """Return the answers left for a run.

        Raises:
            StoreError: They cannot be read.
        """
        rows = self.query("SELECT body FROM harness.answers WHERE run_id = %s", (run_id,))
        return [answer_from(body) for (body,) in rows]

    async def delete(self, run_ids: Collection[str]) -> int:
        """Refuse.

        Raises:
            StoreError: Always.
        """
        raise opened_for_reading(self.address.name, "delete from it")

    async def close(self) -> None:
        """Close the connection; does nothing the second time."""
        self._spare.close()

    def next_sequence(self, run_id: str) -> int:
        """Return the sequence the next event of a run must have; 0 if the run is not here."""
        query = "SELECT max(sequence) + 1 FROM harness.events WHERE run_id = %s"
        return self.query(query, (run_id,))[0][0] or 0

    def query(self, query: LiteralString, values: Sequence[Any] = ()) -> list[_Row]:
        """Return the rows that a query gives.

        Raises:
            StoreError: The store cannot be read.
        """
        with self.address.refusing():
            return self._spare.run(
                lambda connection: connection.execute(query, values, binary=True).fetchall()
            )


class _Spare:
    """One connection that threads use in turn."""

    def __init__(self, address: Address) -> None:
        self._lock = threading.Lock()
        self._line = Line(address, patience=_PATIENCE)

    def run(self, act: Callable[[Connection], T]) -> T:
        with self._lock:
            return self._line.run(act)

    def close(self) -> None:
        with self._lock:
            self._line.last()


class _Contents:
    """Finds content by its hash, most of it fetched in advance."""

    def __init__(self, reader: PostgresReader) -> None:
        self._reader = reader
        self._fetched: dict[str, bytes] = {}

    def fetch(self, bodies: Iterable[bytes]) -> None:
        """Fetch what these events refer to, and forget what earlier ones did."""
        wanted = {key for body in bodies for key in references(body)}
        kept = {key: body for key, body in self._fetched.items() if key in wanted}
        query = "SELECT hash, body FROM harness.content WHERE hash = ANY(%s) AND octet_length(body) < %s"
        missing = list(wanted - kept.keys())
        found = self._reader.query(query, (missing, _LARGE_CONTENT)) if missing else []
        self._fetched = kept | {key: body for key, body in found}

    def __call__(self, key: str) -> bytes:
        if key in self._fetched:
            return self._fetched[key]
        rows = self._reader.query("SELECT body FROM harness.content WHERE hash = %s", (key,))
        if not rows:
            raise StoreError(f"the journal is damaged: content {key} is missing")
        return rows[0][0]


def _recorded(decoder: Decoder, row: _Row) -> Recorded:
    run_id, sequence, at, kind, body = row
    return Recorded(run_id, sequence, at, decoder.decode(kind, body))

"""A journal in a PostgreSQL database, which many processes may share."""

from __future__ import annotations

import atexit
from collections.abc import Collection, Iterator, Sequence

from harness.events import Recorded
from harness.journal.database import Durability
from harness.journal.order import Order
from harness.journal.port import Answer, RunSummary
from harness.journal.postgres.address import Address
from harness.journal.postgres.leases import LeaseTimes
from harness.journal.postgres.reading import PostgresReader
from harness.journal.postgres.sink import PostgresSink
from harness.journal.rows import rows_of
from harness.journal.writer import GroupCommit

PATIENCE_SECONDS = 60.0
"""How long a database that is away is waited for before the journal gives up."""


class PostgresJournal:
    """A PostgreSQL store open for writing; its tables are made in the schema `harness` if need be.

    A run belongs to the process that began or claimed it until that process finishes the run,
    closes the store, or gives no sign of life for `times.dead` seconds. If another process takes it
    then, this one hears of it at its next commit, for that run alone. All calls may come from any
    thread, as long as one thread at a time appends to one run.

    Args:
        url: The database, `postgresql://USER:PASSWORD@HOST:PORT/NAME`.
        durability: `durable` survives a crash of the server, `buffered` one of the process.
        times: How often this process gives signs of life, and when it counts as dead.
        patience: Seconds a database that is away is waited for before the journal gives up.

    Raises:
        StoreError: The database cannot be reached or used, or was written by a newer harness.
        UsageError: The address cannot be understood.
    """

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "durable",
        times: LeaseTimes | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        address = Address(url)
        self._reader = PostgresReader(address)
        self._sink = PostgresSink(
            address, durable=durability == "durable", times=times or LeaseTimes(), patience=patience
        )
        try:
            with address.refusing():
                self._sink.open()
        except BaseException:
            self._sink.close()
            raise
        self._order = Order(self._reader.next_sequence, trusting=True)
        self._writer = GroupCommit(self._sink)
        # Whoever forgets to close loses nothing but the way to hear of a failure.
        atexit.register(self._writer.join)

    @property
    def commits(self) -> int:
        """How many transactions this object has committed."""
        return self._writer.commits

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Take events in order, all or none, and return at once.

        The first event of a run makes it this process's; that it is a new run is found out at the
        next commit. Blocks only while more than `writer.QUEUE_LIMIT` bytes wait for the database,
        and to look up a run that is continued without having been claimed.

        Raises:
            Fenced: Another process has taken the run over.
            RunTaken: It has been another process's all along.
            StoreError: An earlier write failed, a sequence is missing or was used before, or the
                journal is closed.
            TypeError: An event holds something that has no JSON form.
        """
        self._writer.refuse_if_over()
        rows, contents, size = rows_of(recorded)
        self._order.advance(recorded)
        self._writer.put(rows, contents, size)

    async def durable(self, run_id: str = "") -> None:
        """Wait until everything appended so far to a run, or to all, is committed; at once if it is.

        Raises:
            Fenced: Another process has taken over the run that was named.
            RunTaken: It has been another process's all along.
            StoreError: It could not be written.
        """
        await self._writer.committed(run_id)

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`; blocks until they are committed.

        Raises:
            StoreError: The store cannot be read.
        """
        self._writer.flush(run_id)
        return self._reader.read(run_id, start=start)

    def runs(self) -> list[RunSummary]:
        """Return all runs, newest first; blocks until what was appended is committed.

        Raises:
            StoreError: The store cannot be read.
        """
        self._writer.flush()
        return self._reader.runs()

    async def claim(self, run_id: str) -> None:
        """Become the one that writes to a run, so that whoever wrote to it before no longer can.

        Raises:
            RunTaken: A process that is alive is writing to it; the message says for how long it
                counts as alive.
            StoreError: The database cannot be used, or the journal is closed.
        """
        following = await self._writer.perform(lambda: self._sink.claim(run_id))
        self._order.expect(run_id, following)
        self._writer.restore(run_id)

    def answer(self, run_id: str, answer: Answer) -> None:
        """Leave the answer to a question, durably.

        Raises:
            StoreError: It cannot be written.
            UsageError: The question has been answered before.
        """
        self._reader.answer(run_id, answer)

    def answers(self, run_id: str) -> list[Answer]:
        """Return the answers left for a run.

        Raises:
            StoreError: They cannot be read.
        """
        return self._reader.answers(run_id)

    async def delete(self, run_ids: Collection[str]) -> int:
        """Forget whole runs, and content that nothing refers to any more; return the bytes removed.

        The database uses their space again.

        Raises:
            RunTaken: A process that is alive is writing to one of them.
            StoreError: The database cannot be used, or the journal is closed.
        """
        freed = await self._writer.perform(lambda: self._sink.delete(run_ids))
        self._order.forget(run_ids)
        return freed

    async def close(self) -> None:
        """Write what is pending and let others have the runs; does nothing the second time.

        Raises:
            StoreError: Something was lost and no call has said so yet.
        """
        try:
            await self._writer.close()
        finally:
            self._writer.join()
            atexit.unregister(self._writer.join)
            await self._reader.close()

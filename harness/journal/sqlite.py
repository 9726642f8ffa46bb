"""A journal in one SQLite file, written by one thread of one process."""

from __future__ import annotations

import atexit
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.events import Recorded
from harness.journal.answers import AnswerFile
from harness.journal.database import Durability, open_for_reading, open_for_writing, refusing
from harness.journal.lock import WriterLock
from harness.journal.order import Order
from harness.journal.port import Answer, RunSummary
from harness.journal.reading import SqliteReader, next_sequence
from harness.journal.rows import rows_of
from harness.journal.sqlite_sink import SqliteSink
from harness.journal.writer import GroupCommit


class SqliteJournal:
    """A journal file open for writing; `open_reader` reads one that others write.

    Events are encoded when they are appended, so that later changes to what they refer to do no
    harm and what cannot be encoded fails where it was made. All calls may come from any thread,
    as long as one thread at a time appends to one run.

    Args:
        path: The file; it and its directory are made if they are missing, for this user only.
        durability: `durable` survives a crash of the machine, `buffered` one of the process.
        answers: Where answers are left; by default in a file beside it.

    Raises:
        StoreError: The file is being written by another process (`StoreTaken`), cannot be
            written, is not a journal, is damaged, or was written by a newer harness.
    """

    def __init__(
        self, path: str | Path, *, durability: Durability = "durable", answers: AnswerFile | None = None
    ) -> None:
        self.path = Path(path)
        self._answers = answers or AnswerFile.beside(self.path)
        with refusing(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = WriterLock(self.path)
        try:
            connection = open_for_writing(self.path, durability)
            try:
                self._lookup = open_for_reading(self.path)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._order = Order(lambda run_id: next_sequence(self._lookup, run_id))
        self._sink = SqliteSink(self.path, connection)
        self._writer = GroupCommit(self._sink)
        self._reader = SqliteReader(self.path)
        # Whoever forgets to close loses nothing but the way to hear of a failure.
        atexit.register(self._writer.join)

    @staticmethod
    def open_reader(path: str | Path) -> SqliteReader:
        """Return the file as a journal that is only read; needs no lock.

        Raises:
            StoreError: It is missing, is not a journal, is damaged, or needs a newer harness.
        """
        open_for_reading(Path(path)).close()
        return SqliteReader(Path(path))

    @property
    def commits(self) -> int:
        """How many transactions this object has committed."""
        return self._writer.commits

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Take events in order, all or none, and return at once.

        Blocks only while more than `writer.QUEUE_LIMIT` bytes wait for the disk.

        Raises:
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
            Fenced: Another process has got at the run that was named.
            StoreError: It could not be written.
        """
        await self._writer.committed(run_id)

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`; blocks until they are committed.

        Raises:
            StoreError: The file cannot be read.
        """
        self._writer.flush(run_id)
        return self._reader.read(run_id, start=start)

    def runs(self) -> list[RunSummary]:
        """Return all runs, newest first; blocks until what was appended is committed.

        Raises:
            StoreError: The file cannot be read.
        """
        self._writer.flush()
        return self._reader.runs()

    async def claim(self, run_id: str) -> None:
        """Return at once: whoever has the file open for writing writes to all its runs.

        Raises:
            StoreError: An earlier write failed, or the journal is closed.
        """
        self._writer.refuse_if_over()

    def answer(self, run_id: str, answer: Answer) -> None:
        """Leave the answer to a question, durably.

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
        """Forget whole runs, and content that nothing refers to any more; return the bytes freed.

        Reads all events and writes the file anew; what is appended meanwhile waits in memory.

        Raises:
            StoreError: The file cannot be written, or the journal is closed.
        """
        freed = await self._writer.perform(lambda: self._sink.delete(run_ids))
        self._order.forget(run_ids)
        self._answers.forget(run_ids)
        return freed

    async def close(self) -> None:
        """Write what is pending and let others write the file; does nothing the second time.

        Raises:
            StoreError: Something was lost and no call has said so yet.
        """
        # Before the writer's connection: only the last one to close can empty the write-ahead log.
        self._lookup.close()
        try:
            await self._writer.close()
        finally:
            # Also when the wait was cancelled: the next writer must not meet this one.
            self._writer.join()
            atexit.unregister(self._writer.join)
            self._lock.release()

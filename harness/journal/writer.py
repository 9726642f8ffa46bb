"""Group commit: one thread writes, and everything that waits for the disk shares one fsync.

Events gather in a batch. The thread takes the batch when somebody waits for it, when it is large,
or after `GATHER_SECONDS`, and commits it in one transaction; meanwhile the next batch fills. So
the number of commits follows the disk, not the number of runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import StoreError

GATHER_SECONDS = 0.03
"""How long events nobody waits for may stay in memory."""

LARGE_BATCH = 1 << 20
"""Bytes at which a batch is written without anybody asking."""

QUEUE_LIMIT = 64 << 20
"""Bytes in memory at which `put` blocks until the disk has caught up."""

_KNOWN_HASHES = 1 << 14

EventRow = tuple[str, int, float, str, str, bytes]
"""run_id, sequence, at, agent, type, body"""

T = TypeVar("T")

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[bool]"]

# Python gives up its lock around every statement and, beside a busy thread, waits up to 5 ms to
# get it back. Rows therefore go in many per statement (16 tasks beside a busy loop waited 0.08 s
# for the disk instead of 0.6 s); a few sizes, so that all stay prepared.
_ROWS_PER_STATEMENT = (64, 16, 4, 1)


class _Job:
    """Something to be done by the writing thread, and who waits for its result."""

    def __init__(self, act: Callable[[sqlite3.Connection], Any]) -> None:
        self.result: Future[Any] = Future()
        self._act = act

    def do(self, connection: sqlite3.Connection) -> None:
        if not self.result.set_running_or_notify_cancel():
            return
        try:
            self.result.set_result(self._act(connection))
        except BaseException as error:
            self.result.set_exception(error)
            raise


class _Batch:
    __slots__ = ("contents", "events", "jobs", "size", "urgent", "waiters")

    def __init__(self) -> None:
        self.events: list[EventRow] = []
        self.contents: list[tuple[str, bytes]] = []
        self.jobs: list[_Job] = []
        self.size = 0
        self.urgent = False
        self.waiters: list[_Waiter] = []

    @property
    def empty(self) -> bool:
        return not self.events and not self.jobs


class GroupCommit:
    """Writes rows in the order they were put, from a thread of its own that owns `connection`.

    The first failure is the last act: it may have lost what SQLite believed written, so nothing is
    tried again, and all later calls raise.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.commits = 0
        """How many transactions were committed."""
        self._path = path
        self._connection = connection
        self._known: OrderedDict[str, None] = OrderedDict()
        self._filling = _Batch()
        self._writing: _Batch | None = None
        self._failure: Exception | None = None
        self._failure_was_told = False
        self._closing = False
        self._dormant = False
        self._ended = False
        self._end_waiters: list[_Waiter] = []
        self._changed = threading.Condition(threading.Lock())
        self._signals: queue.SimpleQueue[None] = queue.SimpleQueue()
        # A daemon, so that a journal nobody closed does not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"journal {path.name}", daemon=True)
        self._thread.start()

    def put(self, events: Sequence[EventRow], contents: Sequence[tuple[str, bytes]], size: int) -> None:
        """Take rows of `size` bytes to be committed soon; blocks only beyond `QUEUE_LIMIT`.

        Raises:
            StoreError: An earlier write failed, or the journal is closed.
        """
        with self._changed:
            while self._filling.size > QUEUE_LIMIT and self._failure is None:
                self._changed.wait()
            self.refuse_if_over()
            batch = self._filling
            batch.events += events
            batch.contents += contents
            batch.size += size
            if batch.size > LARGE_BATCH:
                self._hurry(batch)
            elif self._dormant:
                self._dormant = False
                self._signals.put(None)

    async def committed(self) -> None:
        """Wait until everything put so far is committed; returns at once if it is.

        Raises:
            StoreError: It could not be written.
        """
        with self._changed:
            self._raise_failure()
            batch = self._last_batch()
            if batch is None:
                return
            self._hurry(batch)
            loop = asyncio.get_running_loop()
            future: asyncio.Future[bool] = loop.create_future()
            batch.waiters.append((loop, future))
        if not await future:
            self._raise_failure()

    async def perform(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in the writing thread after everything put so far is committed.

        What it raises is a failed write like any other.

        Raises:
            StoreError: It failed, an earlier write failed, or the journal is closed.
        """
        job = _Job(act)
        with self._changed:
            self.refuse_if_over()
            self._filling.jobs.append(job)
            self._hurry(self._filling)
        try:
            return await asyncio.wrap_future(job.result)
        except Exception:
            self._raise_failure()
            raise

    def flush(self) -> None:
        """Block until everything put so far is committed or lost."""
        with self._changed:
            batch = self._last_batch()
            if batch is not None:
                self._hurry(batch)
                self._changed.wait_for(lambda: batch is not self._filling and batch is not self._writing)

    async def close(self) -> None:
        """Commit what is pending and close the connection; does nothing the second time.

        Raises:
            StoreError: Something was lost and no call has said so yet.
        """
        future: asyncio.Future[bool] | None = None
        with self._changed:
            self._stop()
            if not self._ended:
                loop = asyncio.get_running_loop()
                future = loop.create_future()
                self._end_waiters.append((loop, future))
        if future is not None:
            await future
        self.join()
        if not self._failure_was_told:
            self._raise_failure()

    def join(self) -> None:
        """Commit what is pending and block until the connection is closed."""
        with self._changed:
            self._stop()
        self._thread.join()

    def _stop(self) -> None:
        if not self._closing:
            self._closing = True
            self._signals.put(None)

    def _hurry(self, batch: _Batch) -> None:
        if not batch.urgent:
            batch.urgent = True
            # The batch being written is beyond hurrying.
            if batch is self._filling:
                self._dormant = False
                self._signals.put(None)

    def _last_batch(self) -> _Batch | None:
        return self._writing if self._filling.empty else self._filling

    def refuse_if_over(self) -> None:
        self._raise_failure()
        if self._closing:
            raise StoreError(f"{self._path} is closed")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._failure_was_told = True
            raise StoreError(
                f"{self._path} could not be written: {self._failure}; what was committed before is kept, "
                "nothing more is accepted: mend the cause, then resume the run"
            ) from self._failure

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                if batch.events:
                    self._commit(batch)
                for job in batch.jobs:
                    job.do(self._connection)
                with self._changed:
                    self._writing = None
                    self._changed.notify_all()
                _wake(batch.waiters, written=True)
        except Exception as error:  # whatever it is, those who wait must learn of it
            self._fail(error)
        finally:
            # SQLite tidies up here, and after a failure it may complain once more.
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            with self._changed:
                self._ended = True
            _wake(self._end_waiters, written=True)

    def _next_batch(self) -> _Batch | None:
        """Return what is to be committed now, as soon as there is something; None at the end."""
        gathered = False
        while True:
            with self._changed:
                batch = self._filling
                if self._closing and batch.empty:
                    return None
                if batch.urgent or self._closing or (gathered and batch.events):
                    self._writing, self._filling = batch, _Batch()
                    self._changed.notify_all()
                    return batch
                # Nothing came for a whole gathering time: sleep until `put` gives a signal.
                self._dormant = gathered
            try:
                self._signals.get(timeout=None if gathered else GATHER_SECONDS)
                gathered = False
            except queue.Empty:
                gathered = True

    def forget_contents(self) -> None:
        """Stop believing that any content is written; only the writing thread may call it."""
        self._known.clear()

    def _commit(self, batch: _Batch) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        _insert(self._connection, "INSERT OR IGNORE INTO content VALUES", self._unknown(batch.contents))
        _insert(self._connection, "INSERT INTO events VALUES", batch.events)
        execute("COMMIT")
        self.commits += 1

    def _unknown(self, contents: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Return the contents that were not written lately, each once."""
        known = self._known
        unknown: list[tuple[str, bytes]] = []
        for item in contents:
            if item[0] in known:
                known.move_to_end(item[0])
            else:
                known[item[0]] = None
                unknown.append(item)
        while len(known) > _KNOWN_HASHES:
            known.popitem(last=False)
        return unknown

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._failure = error
            lost = [self._filling, *([self._writing] if self._writing else [])]
            waiters = [waiter for batch in lost for waiter in batch.waiters]
            self._filling, self._writing = _Batch(), None
            self._changed.notify_all()
        for batch in lost:
            for job in batch.jobs:
                if not job.result.done():
                    job.result.set_exception(error)
        _wake(waiters, written=False)


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


def _wake(waiters: Sequence[_Waiter], *, written: bool) -> None:
    """Tell all who wait, waking each event loop once."""
    futures: dict[asyncio.AbstractEventLoop, list[asyncio.Future[bool]]] = {}
    for loop, future in waiters:
        futures.setdefault(loop, []).append(future)
    for loop, its in futures.items():
        # A loop that was closed in the meantime has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, its, written)


def _resolve(futures: Sequence[asyncio.Future[bool]], written: bool) -> None:
    for future in futures:
        if not future.done():
            future.set_result(written)

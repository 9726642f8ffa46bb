"""Group commit: one thread writes, and everything that waits for the disk shares one commit.

Events gather in a batch. The thread takes the batch when somebody waits for it, when it is large,
or after `GATHER_SECONDS`, and commits it in one transaction; meanwhile the next batch fills. So
the number of commits follows the disk, not the number of runs. How a batch is committed is known
to the `Sink`, one for each kind of database.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from harness.errors import StoreError
from harness.journal.rows import ContentRow, EventRow

GATHER_SECONDS = 0.03
"""How long events nobody waits for may stay in memory."""

LARGE_BATCH = 1 << 20
"""Bytes at which a batch is written without anybody asking."""

QUEUE_LIMIT = 64 << 20
"""Bytes in memory at which `put` blocks until the disk has caught up."""

_REMEMBERED = 1 << 14

T = TypeVar("T")

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Sink(Protocol):
    """The database behind a `GroupCommit`, which calls it from its own thread only.

    What a method raises, other than a StoreError from a job, is final: nothing is written any more.
    A StoreError that `write` raises says all there is to say; other errors are put into a sentence.
    """

    name: str
    """What messages call the database."""

    def write(self, events: Sequence[EventRow], contents: Sequence[ContentRow]) -> Mapping[str, StoreError]:
        """Commit all rows at once, so that they survive a crash.

        Returns the runs that are another process's by now, each with what to say about it; their
        rows are left out.
        """
        ...

    def tend(self) -> float | None:
        """Do what is due by the clock; return in how many seconds to call again, or None for never."""
        ...

    def close(self) -> None:
        """Release the database; must not raise."""
        ...


class Recent:
    """Remembers the keys met lately, so that what they stand for is not written again and again."""

    def __init__(self, size: int = _REMEMBERED) -> None:
        self._size = size
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def adds(self, key: Hashable) -> bool:
        """Remember a key; return whether it was new."""
        if key in self._keys:
            self._keys.move_to_end(key)
            return False
        self._keys[key] = None
        if len(self._keys) > self._size:
            self._keys.popitem(last=False)
        return True

    def clear(self) -> None:
        """Forget all keys."""
        self._keys.clear()


class _Job:
    """Something to be done by the writing thread, and who waits for its result.

    Anything but a StoreError passes through `do`, and whoever waits hears of it from `_fail`.
    """

    def __init__(self, act: Callable[[], Any]) -> None:
        self.result: Future[Any] = Future()
        self._act = act

    def do(self) -> None:
        if not self.result.set_running_or_notify_cancel():
            return
        try:
            self.result.set_result(self._act())
        except StoreError as error:
            self.result.set_exception(error)


class _Batch:
    __slots__ = ("contents", "events", "jobs", "runs", "size", "urgent", "waiters")

    def __init__(self) -> None:
        self.events: list[EventRow] = []
        self.contents: list[ContentRow] = []
        self.runs: set[str] = set()
        self.jobs: list[_Job] = []
        self.size = 0
        self.urgent = False
        self.waiters: list[_Waiter] = []

    @property
    def empty(self) -> bool:
        return not self.events and not self.jobs


class GroupCommit:
    """Writes rows in the order they were put, from a thread of its own that alone uses `sink`.

    A run that another process has taken over is lost: its rows are dropped, and whoever puts more
    of it or waits for it is told. Any failure to write is the last act: it may have lost what the
    database believed written, so nothing is tried again, and all later calls raise.
    """

    def __init__(self, sink: Sink) -> None:
        self.commits = 0
        """How many transactions were committed."""
        self._sink = sink
        self._lost: dict[str, StoreError] = {}
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
        self._thread = threading.Thread(target=self._run, name=f"journal {sink.name}", daemon=True)
        self._thread.start()

    def put(self, events: Sequence[EventRow], contents: Sequence[ContentRow], size: int) -> None:
        """Take rows of `size` bytes to be committed soon; blocks only beyond `QUEUE_LIMIT`.

        Raises:
            StoreError: An earlier write failed, the run is lost, or the journal is closed.
        """
        with self._changed:
            while self._filling.size > QUEUE_LIMIT and self._failure is None:
                self._changed.wait()
            self.refuse_if_over()
            batch = self._filling
            for row in events:
                if row[0] in self._lost:
                    raise self._told(row[0])
                batch.runs.add(row[0])
            batch.events += events
            batch.contents += contents
            batch.size += size
            if batch.size > LARGE_BATCH:
                self._hurry(batch)
            elif self._dormant:
                self._dormant = False
                self._signals.put(None)

    async def committed(self, run_id: str = "") -> None:
        """Wait until everything put so far of a run, or of all, is committed; at once if it is.

        Raises:
            StoreError: It could not be written, or the run that was named is lost.
        """
        with self._changed:
            self._raise_failure(run_id)
            batch = self._last_batch(run_id)
            if batch is None:
                return
            self._hurry(batch)
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            batch.waiters.append((loop, future))
        await future
        self._raise_failure(run_id)

    async def perform(self, act: Callable[[], T]) -> T:
        """Do something with the sink, in its thread, after everything put so far is committed.

        Raises:
            StoreError: `act` raised it; or it failed as a write may fail; or an earlier write
                failed, or the journal is closed.
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

    def flush(self, run_id: str = "") -> None:
        """Block until everything put so far of a run, or of all, is committed or lost."""
        with self._changed:
            batch = self._last_batch(run_id)
            if batch is not None:
                self._hurry(batch)
                self._changed.wait_for(lambda: batch is not self._filling and batch is not self._writing)

    async def close(self) -> None:
        """Commit what is pending and close the connection; does nothing the second time.

        Raises:
            StoreError: Something was lost and no call has said so yet.
        """
        future: asyncio.Future[None] | None = None
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

    def _last_batch(self, run_id: str = "") -> _Batch | None:
        if run_id:
            held = (batch for batch in (self._filling, self._writing) if batch and run_id in batch.runs)
            return next(held, None)
        return self._writing if self._filling.empty else self._filling

    def refuse_if_over(self) -> None:
        """Raise if nothing more is accepted."""
        self._raise_failure()
        if self._closing:
            raise StoreError(f"{self._sink.name} is closed")

    def restore(self, run_id: str) -> None:
        """Accept a run again that was lost and is this process's now."""
        with self._changed:
            self._lost.pop(run_id, None)

    def _told(self, run_id: str) -> StoreError:
        # A new one each time, or the traces of all who were told would gather in one.
        reason = self._lost[run_id]
        return type(reason)(*reason.args)

    def _raise_failure(self, run_id: str = "") -> None:
        if self._failure is not None:
            self._failure_was_told = True
            if isinstance(self._failure, StoreError):
                raise StoreError(str(self._failure)) from self._failure
            raise StoreError(
                f"{self._sink.name} could not be written: {self._failure}; what was committed before is kept, "
                "nothing more is accepted: mend the cause, then resume the run"
            ) from self._failure
        if run_id in self._lost:
            raise self._told(run_id)

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._commit(batch)
                for job in batch.jobs:
                    job.do()
                with self._changed:
                    self._writing = None
                    self._changed.notify_all()
                _wake(batch.waiters)
        except Exception as error:  # whatever it is, those who wait must learn of it
            self._fail(error)
        finally:
            self._sink.close()
            with self._changed:
                self._ended = True
            _wake(self._end_waiters)

    def _next_batch(self) -> _Batch | None:
        """Return what is to be committed now, as soon as there is something; None at the end."""
        gathered = False
        while True:
            due = self._sink.tend()
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
                self._signals.get(timeout=due if gathered else GATHER_SECONDS)
                gathered = False
            except queue.Empty:
                gathered = True

    def _commit(self, batch: _Batch) -> None:
        events = batch.events
        if self._lost:
            # Put before it was known that the run is lost.
            events = [row for row in events if row[0] not in self._lost]
        if not events:
            return
        lost = self._sink.write(events, batch.contents)
        self.commits += 1
        if lost:
            with self._changed:
                self._lost.update(lost)

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
        _wake(waiters)


def _wake(waiters: Sequence[_Waiter]) -> None:
    """Tell all who wait, waking each event loop once."""
    futures: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for loop, future in waiters:
        futures.setdefault(loop, []).append(future)
    for loop, its in futures.items():
        # A loop that was closed in the meantime has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, its)


def _resolve(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)

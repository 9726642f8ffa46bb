"""Any number of readers follow a run, each at its own pace.

    run ──events──► tail (the last few, shared) ──► readers that keep up
     └──► journal ────────────────────────────────► readers that fell behind, or came late

A reader holds no queue: it knows the sequence it wants next and takes it from the run's tail, or
from the journal if the tail has moved on. So a slow reader costs no memory and never slows a run.
An event is shown once it is durable: what a client has seen is still there after a crash, and a
run that is carried on goes on from it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from itertools import islice

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskGroup

from harness.errors import StoreError
from harness.events import Recorded, RunFinished
from harness.harness import Harness
from harness.run import Run

log = logging.getLogger("harness.serve")

TAIL = 256
"""Events of a run that are kept for readers that keep up."""

PAGE = 32
"""Events read from the journal at once: all that a slow reader holds, and an event may be large."""

COMMIT_SECONDS = 0.02
"""Between two waits for the disk; all runs share them."""

_TO_BE_CARRIED_ON = ("suspended", "interrupted")

LOOK_AGAIN_SECONDS = 1.0
"""How often the store is asked about a run that goes on in another process, or nowhere yet."""


class Following:
    """Follows the runs of one harness.

    Args:
        expected: Runs that do not go on here yet, and will.
    """

    def __init__(self, harness: Harness, expected: Container[str] = ()) -> None:
        self._harness = harness
        self._expected = expected
        self._tails: dict[str, _Tail] = {}
        self._asked = anyio.Event()
        self._closing = anyio.Event()
        self._reading = anyio.CapacityLimiter(8)
        self._tasks: TaskGroup

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Following]:
        """Follow for as long as the context lasts."""
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._commit)
            try:
                yield self
            finally:
                self.close()
                self._tasks.cancel_scope.cancel()

    def close(self) -> None:
        """End every stream that waits for a run that does not go on here."""
        self._closing.set()

    async def events(
        self, run_id: str, *, after: int = -1, silence_seconds: float = 15.0
    ) -> AsyncIterator[Sequence[Recorded]]:
        """Yield the events of a run with a sequence above `after`, several at once, to the run's end.

        A run that was suspended or interrupted ends too; whoever has seen that and comes back waits
        for it to be carried on. Yields an empty sequence when nothing happened for `silence_seconds`.

        Raises:
            StoreError: The store cannot be read, or can no longer be written.
        """
        following = after + 1
        ended = await self.is_over(run_id, after)
        while True:
            tail = self._tail(run_id)
            batch = tail.since(following) if tail else None
            if batch is None:
                batch = await self._page(run_id, following)
            if batch:
                yield batch
                following = batch[-1].sequence + 1
                ended = isinstance(batch[-1].event, RunFinished)
            elif tail is not None:
                if not await tail.grows_beyond(following, silence_seconds):
                    yield ()
            elif self._closing.is_set() or (ended and not self._goes_on(run_id)):
                return
            elif not await self._appears(run_id, following, silence_seconds):
                yield ()

    async def is_over(self, run_id: str, after: int) -> bool:
        """Return whether event `after` is the last one of a run that nobody needs to carry on."""
        if after < 0 or self._goes_on(run_id):
            return False
        page = await self._page(run_id, after, 2)
        last = page[0].event if len(page) == 1 else None
        return not page or (isinstance(last, RunFinished) and last.stop_reason not in _TO_BE_CARRIED_ON)

    def _goes_on(self, run_id: str) -> bool:
        return run_id in self._harness.live or run_id in self._expected

    async def _appears(self, run_id: str, following: int, seconds: float) -> bool:
        """Wait for event `following` of a run that goes on elsewhere, or nowhere yet."""
        with anyio.move_on_after(seconds):
            while not await _happens(self._closing, LOOK_AGAIN_SECONDS):
                if run_id in self._harness.live or await self._page(run_id, following, 1):
                    break
            return True
        return False

    async def _page(self, run_id: str, start: int, size: int = PAGE) -> Sequence[Recorded]:
        journal = self._harness.journal
        return await anyio.to_thread.run_sync(
            lambda: list(islice(journal.read(run_id, start=start), size)), limiter=self._reading
        )

    def _tail(self, run_id: str) -> _Tail | None:
        """Return the tail of a run that goes on here, or has just ended."""
        run = self._harness.live.get(run_id)
        tail = self._tails.get(run_id)
        if run is not None and (tail is None or tail.run is not run):
            tail = self._tails[run_id] = _Tail(run)
            self._tasks.start_soon(self._fill, tail)
        return tail

    async def _fill(self, tail: _Tail) -> None:
        try:
            async for recorded in tail.run.events(after=tail.newest):
                tail.take(recorded)
                self._asked.set()
        except StoreError as error:
            tail.fail(error)
        except Exception:
            log.exception("run %s broke", tail.run.id)
        tail.complete = True
        self._asked.set()

    async def _commit(self) -> None:
        """Show events once they are durable."""
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            taken = [(tail, tail.newest, tail.complete) for tail in self._tails.values()]
            try:
                await self._harness.journal.durable()
            except StoreError as error:
                for tail, _, _ in taken:
                    tail.fail(error)
            for tail, newest, complete in taken:
                tail.show(newest)
                if complete:
                    self._forget(tail)
            await anyio.sleep(COMMIT_SECONDS)

    def _forget(self, tail: _Tail) -> None:
        if self._tails.get(tail.run.id) is tail:
            del self._tails[tail.run.id]
        tail.end()


class _Tail:
    """The last few events of a run that goes on here."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.newest = run.next_sequence - 1
        """Sequence of the last event taken."""
        self.complete = False
        """True once no further event will be taken."""
        self._shown = self.newest
        self._over = False
        self._error: StoreError | None = None
        self._events: deque[Recorded] = deque(maxlen=TAIL)
        self._changed = anyio.Event()

    def take(self, recorded: Recorded) -> None:
        """Take the next event; it is not shown yet."""
        self._events.append(recorded)
        self.newest = recorded.sequence

    def show(self, newest: int) -> None:
        """Show everything up to `newest`."""
        if newest > self._shown:
            self._shown = newest
            self._wake()

    def end(self) -> None:
        """Send the readers on to the journal."""
        self._over = True
        self._wake()

    def fail(self, error: StoreError) -> None:
        """Make every reader raise `error`."""
        self._error = error
        self._wake()

    def since(self, following: int) -> Sequence[Recorded] | None:
        """Return what is shown from `following` on; None if the tail does not reach back so far."""
        if self._error is not None:
            raise self._error
        if following > self._shown:
            return ()
        if not self._events or self._events[0].sequence > following:
            return None
        first = following - self._events[0].sequence
        return list(islice(self._events, first, first + self._shown - following + 1))

    async def grows_beyond(self, following: int, seconds: float) -> bool:
        """Wait until there may be something from `following` on; return False if nothing came in time."""
        if self._over or self._error is not None or following <= self._shown:
            await anyio.lowlevel.checkpoint()
            return True
        return await _happens(self._changed, seconds)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


async def _happens(event: anyio.Event, seconds: float) -> bool:
    """Wait for `event`; return False if it does not come within `seconds`."""
    with anyio.move_on_after(seconds):
        await event.wait()
        return True
    return False

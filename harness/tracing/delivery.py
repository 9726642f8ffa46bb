"""A bounded queue and a thread of its own between a run and where its spans go.

The SDK's `BatchSpanProcessor` does nearly the same, but it does not say how many spans it dropped,
logs a line for each, and offers no way to close it in less than 30 seconds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from opentelemetry.sdk.trace import ReadableSpan


class Sink(Protocol):
    """A place that takes spans. Does not queue, and is used by one thread."""

    @property
    def destination(self) -> str:
        """The place as a user knows it: a path or an address."""
        ...

    def send(self, spans: Sequence[ReadableSpan]) -> str:
        """Deliver spans, taking as long as it takes; return why it failed, or nothing."""
        ...

    def interrupt(self) -> None:
        """Make a `send` under way come back early, if it can; called by another thread."""
        ...

    def close(self) -> str | None:
        """Release everything; called once, by the thread that sends. Return why it failed, or nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Batching:
    """When spans are sent on, by the names of the `OTEL_BSP_*` variables."""

    queue_size: int = 2048
    batch_size: int = 512
    delay_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of the spans that were meant for one destination."""

    destination: str
    offered: int
    delivered: int
    error: str = ""
    """The last failure, or nothing."""
    carries: str = "spans"
    """What is made of the spans there: `spans`, `events` or `metrics`."""

    @property
    def lost(self) -> int:
        """How many did not arrive, as far as we know."""
        return self.offered - self.delivered

    def __str__(self) -> str:
        if not self.lost:
            return f"{self.delivered} spans were delivered to {self.destination}"
        if self.carries != "spans":
            return f"{self.carries} did not reach {self.destination}: {self.error or 'it was too slow'}"
        reason = self.error or "it was too slow"
        return f"{self.lost} of {self.offered} spans did not reach {self.destination}: {reason}"


class Delivery:
    """Takes spans without waiting and hands them to a sink from a thread of its own."""

    def __init__(self, sink: Sink, batching: Batching) -> None:
        self._sink = sink
        self._batching = batching
        self._queue: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._abandoned = False
        self._offered = self._delivered = 0
        self._error = ""
        self._unclosed = False
        # A daemon: a collector that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="harness-tracing", daemon=True)
        self._thread.start()

    def put(self, span: ReadableSpan) -> None:
        """Take a span, or drop it if the queue is full; never wait."""
        with self._changed:
            self._offered += 1
            if len(self._queue) < self._batching.queue_size and not self._closing:
                self._queue.append(span)
                if len(self._queue) == self._batching.batch_size:
                    self._changed.notify_all()

    def put_when_there_is_room(self, span: ReadableSpan) -> None:
        """Take a span, waiting for the sink if the queue is full; for past runs, which can wait."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) < self._batching.queue_size or self._closing)
        self.put(span)

    def end(self) -> None:
        """Take no further spans, and begin to send what is queued."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, seconds: float) -> Delivered:
        """Send what is queued and end, or give up after `seconds`."""
        self.end()
        self._thread.join(seconds)
        self._abandoned = True
        hanging = self._thread.is_alive()
        carries = str(getattr(self._sink, "carries", "spans"))
        if hanging:
            self._sink.interrupt()
        with self._changed:
            error = self._error
            if hanging and not error:
                error = f"it did not answer within {seconds:.1f} seconds"
            lost_sums = carries == "metrics" and (hanging or self._unclosed)
            delivered = 0 if lost_sums else self._delivered
            return Delivered(self._sink.destination, self._offered, delivered, error, carries)

    def _work(self) -> None:
        while batch := self._next_batch():
            if self._succeeds(partial(self._sink.send, batch)):
                with self._changed:
                    self._delivered += len(batch)
        self._unclosed = not self._succeeds(self._sink.close)

    def _next_batch(self) -> list[ReadableSpan]:
        """Wait for spans; nothing means that there will be no more."""
        size = self._batching.batch_size
        with self._changed:
            while not self._abandoned:
                self._changed.wait_for(
                    lambda: self._closing or len(self._queue) >= size, self._batching.delay_seconds
                )
                batch = [self._queue.popleft() for _ in range(min(size, len(self._queue)))]
                self._changed.notify_all()
                if batch or self._closing:
                    return batch
        return []

    def _succeeds(self, action: Callable[[], str | None]) -> bool:
        try:
            error = action()
        except Exception as fault:  # A broken sink costs spans, never the run.
            error = f"{type(fault).__name__}: {fault}"
        if error:
            with self._changed:
                self._error = error
        return not error

"""The in-memory twin of the journals on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.events import Recorded
from harness.journal.order import Order, newest_first, summarise
from harness.journal.port import RunSummary


class MemoryJournal:
    """A journal that ends with the process; for tests and for runs nobody wants to keep.

    Keeps the events themselves, so what is read is what was appended.
    """

    def __init__(self) -> None:
        self._runs: dict[str, list[Recorded]] = {}
        self._order = Order(lambda run_id: len(self._runs.get(run_id, ())))

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Take events in order.

        Raises:
            StoreError: A sequence is missing or was used before.
        """
        self._order.advance(recorded)
        for item in recorded:
            self._runs.setdefault(item.run_id, []).append(item)

    async def durable(self) -> None:
        """Return at once: memory is as durable as this journal gets."""

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`."""
        # A slice, so that appending during the iteration does no harm.
        yield from self._runs.get(run_id, [])[start:]

    def runs(self) -> list[RunSummary]:
        """Return all runs, newest first."""
        summaries = (summarise(recorded[0], recorded[-1]) for recorded in self._runs.values())
        return newest_first(summary for summary in summaries if summary)

    async def close(self) -> None:
        """Do nothing; what was appended can still be read."""

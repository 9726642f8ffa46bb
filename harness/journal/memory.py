"""The in-memory twin of the journals on disk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from harness.events import Recorded
from harness.journal.answers import answered_before
from harness.journal.order import Order, newest_first, summarise
from harness.journal.port import Answer, RunSummary


class MemoryJournal:
    """A journal that ends with the process; for tests and for runs nobody wants to keep.

    Keeps the events themselves, so what is read is what was appended.
    """

    def __init__(self) -> None:
        self._runs: dict[str, list[Recorded]] = {}
        self._answers: dict[str, dict[tuple[str, int], Answer]] = {}
        self._order = Order(lambda run_id: len(self._runs.get(run_id, ())))

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Take events in order.

        Raises:
            StoreError: A sequence is missing or was used before.
        """
        self._order.advance(recorded)
        for item in recorded:
            self._runs.setdefault(item.run_id, []).append(item)

    async def durable(self, run_id: str = "") -> None:
        """Return at once: memory is as durable as this journal gets."""

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`."""
        # A slice, so that appending during the iteration does no harm.
        yield from self._runs.get(run_id, [])[start:]

    def runs(self) -> list[RunSummary]:
        """Return all runs, newest first."""
        summaries = (summarise(recorded[0], recorded[-1]) for recorded in self._runs.values())
        return newest_first(summary for summary in summaries if summary)

    async def claim(self, run_id: str) -> None:
        """Return at once: no other process can write to this memory."""

    def answer(self, run_id: str, answer: Answer) -> None:
        """Keep an answer.

        Raises:
            UsageError: The question has been answered before.
        """
        # A copy, which nobody else can have left.
        mine = replace(answer)
        kept = self._answers.setdefault(run_id, {}).setdefault((answer.key, answer.number), mine)
        if kept is not mine:
            raise answered_before(kept)

    def answers(self, run_id: str) -> list[Answer]:
        """Return the answers left for a run."""
        return list(self._answers.get(run_id, {}).values())

    async def delete(self, run_ids: Collection[str]) -> int:
        """Forget whole runs; return 0, because nobody counts bytes in memory."""
        for run_id in run_ids:
            self._runs.pop(run_id, None)
            self._answers.pop(run_id, None)
        self._order.forget(run_ids)
        return 0

    async def close(self) -> None:
        """Do nothing; what was appended can still be read."""

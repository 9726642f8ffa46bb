"""The law every journal keeps: the events of a run are numbered from 0 without gaps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from harness.errors import StoreError
from harness.events import Recorded, RunFinished, RunStarted
from harness.journal.port import RunSummary


class Order:
    """Knows the next sequence of every run appended to.

    Args:
        find_next: Finds it for a run not met before; 0 for one that does not exist.
        trusting: Believe that a run not met before does not exist if it is begun; for stores
            where looking it up takes long, and which refuse it later if it does.
    """

    def __init__(self, find_next: Callable[[str], int], *, trusting: bool = False) -> None:
        self._find_next = find_next
        self._trusting = trusting
        self._next: dict[str, int] = {}

    def advance(self, recorded: Sequence[Recorded]) -> None:
        """Accept all of `recorded` or nothing.

        Raises:
            StoreError: A sequence is missing or was used before.
        """
        following: dict[str, int] = {}
        for item in recorded:
            expected = following.get(item.run_id)
            if expected is None:
                expected = self._expected(item)
            if item.sequence != expected:
                fault = "was written before" if item.sequence < expected else "leaves a gap"
                raise StoreError(
                    f"event {item.sequence} of run {item.run_id} {fault}: the next one is {expected}"
                )
            following[item.run_id] = expected + 1
        self._next.update(following)

    def forget(self, run_ids: Collection[str]) -> None:
        """Look these runs up again when they are next appended to."""
        for run_id in run_ids:
            self._next.pop(run_id, None)

    def expect(self, run_id: str, sequence: int) -> None:
        """Take it as known which sequence the next event of a run must have."""
        self._next[run_id] = sequence

    def _expected(self, item: Recorded) -> int:
        expected = self._next.get(item.run_id)
        if expected is not None:
            return expected
        return 0 if self._trusting and item.sequence == 0 else self._find_next(item.run_id)


def summarise(first: Recorded, last: Recorded) -> RunSummary | None:
    """Return the summary of a run from its first and last event; None if it has no beginning."""
    if not isinstance(first.event, RunStarted):
        return None
    finished = last.event if isinstance(last.event, RunFinished) else None
    return RunSummary(first.run_id, first.at, first.event, last.at if finished else None, finished)


def newest_first(summaries: Iterable[RunSummary]) -> list[RunSummary]:
    """Return the runs by start, the latest first."""
    return sorted(summaries, key=lambda summary: (summary.started_at, summary.run_id), reverse=True)

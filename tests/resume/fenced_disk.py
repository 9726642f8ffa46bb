"""A disk that many processes write to, one at a time to each run, and what each of them sees of it.

What a process appends is in its own memory until it is committed; what is not dies with it. Whoever
claims a run fences off the process that wrote to it before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

from harness import Recorded
from harness.errors import Fenced, UsageError
from harness.journal import Answer, RunSummary


class Disk:
    """What is there whoever lives or dies."""

    def __init__(self) -> None:
        self.recorded: dict[str, list[Recorded]] = defaultdict(list)
        self.left: dict[tuple[str, str, int], Answer] = {}
        self.owner: dict[str, ProcessJournal] = {}

    def commit(self, items: Sequence[Recorded]) -> None:
        """Write events; a gap or a repetition is a fault of whoever wrote."""
        for item in items:
            assert item.sequence == len(self.recorded[item.run_id])
            self.recorded[item.run_id].append(item)


class ProcessJournal:
    """The journal as one process sees it.

    Args:
        reach_disk: Called, and waited for, before anything that was waited for is committed.
        alert: Whether it knows of a fence at once, or only when it commits.
    """

    def __init__(self, disk: Disk, reach_disk: Callable[[], Awaitable[None]], *, alert: bool) -> None:
        self.pending: list[Recorded] = []
        """What is in memory only."""
        self.is_dead = False
        self._owned: set[str] = set()
        self._disk = disk
        self._reach_disk = reach_disk
        self._alert = alert

    def is_fenced(self, run_id: str) -> bool:
        """Whether somebody else has taken the run over from it."""
        return run_id in self._owned and self._disk.owner[run_id] is not self

    def append(self, recorded: Sequence[Recorded]) -> None:
        for item in recorded if not self.is_dead else ():
            if self._alert and self._disk.recorded[item.run_id]:
                self._refuse_if_fenced(item.run_id)
            if not self._disk.recorded[item.run_id]:
                self._take(item.run_id)
            self.pending.append(item)

    async def durable(self, run_id: str = "") -> None:
        if not any(item.run_id == run_id for item in self.pending):
            self._refuse_if_fenced(run_id)
            return
        await self._reach_disk()
        self._refuse_if_fenced(run_id)
        self.commit(len(self.pending))

    def commit(self, count: int) -> None:
        """Write the first events that are in memory only."""
        if self.is_dead:
            return
        ours = [item for item in self.pending[:count] if not self.is_fenced(item.run_id)]
        del self.pending[:count]
        self._disk.commit(ours)

    def die(self, kept: int) -> None:
        """Commit so many events, and no more."""
        self.commit(kept)
        self.pending.clear()
        self.is_dead = True

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        if not self.is_fenced(run_id):
            self.commit(len(self.pending))
        return iter(self._disk.recorded[run_id][start:])

    def runs(self) -> list[RunSummary]:
        raise NotImplementedError

    async def claim(self, run_id: str) -> None:
        self._take(run_id)

    def _take(self, run_id: str) -> None:
        self._owned.add(run_id)
        self._disk.owner[run_id] = self

    def answer(self, run_id: str, answer: Answer) -> None:
        place = run_id, answer.key, answer.number
        if place in self._disk.left:
            raise UsageError("it has been answered before")
        self._disk.left[place] = answer

    def answers(self, run_id: str) -> list[Answer]:
        return [answer for (run, _, _), answer in self._disk.left.items() if run == run_id]

    async def delete(self, run_ids: Collection[str]) -> int:
        raise NotImplementedError

    async def close(self) -> None:
        self.commit(len(self.pending))

    def _refuse_if_fenced(self, run_id: str) -> None:
        if not self.is_dead and self.is_fenced(run_id):
            raise Fenced(f"somebody else has taken over {run_id}")

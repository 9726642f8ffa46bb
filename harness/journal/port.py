"""The journal port: an append-only list of events per run, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.events import Recorded, RunFinished, RunStarted


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of a list of runs."""

    run_id: str
    started_at: float
    started: RunStarted
    finished_at: float | None
    finished: RunFinished | None
    """None for a run that is going on or was cut off."""


class Journal(Protocol):
    """Where events go and come from.

    Does not know what events mean. One process writes to a journal; several may read it. The
    in-memory twin is `MemoryJournal`.
    """

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Take events in order and return at once; they become durable soon after.

        Raises:
            StoreError: An earlier write failed; nothing is accepted any more.
        """
        ...

    async def durable(self) -> None:
        """Wait until everything appended so far survives a crash of the machine.

        Raises:
            StoreError: It could not be written.
        """
        ...

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`."""
        ...

    def runs(self) -> list[RunSummary]:
        """Return all runs, newest first."""
        ...

    async def close(self) -> None:
        """Write what is pending and release the store."""
        ...

"""The journal port: an append-only list of events per run, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.events import Decision, Recorded, RunFinished, RunStarted


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of a list of runs."""

    run_id: str
    started_at: float
    started: RunStarted
    finished_at: float | None
    finished: RunFinished | None
    """None for a run that is going on or was cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A person's answer to one question of a call, left for whoever carries on the run."""

    key: str
    """Key of the call."""
    number: int
    """Which question of the call it answers."""
    decision: Decision
    at: float
    """Seconds since 1970."""
    arguments: str | None = None
    content: Mapping[str, Any] | None = None
    by: str = ""
    reason: str = ""


class Journal(Protocol):
    """Where events go and come from.

    Does not know what events mean. One process at a time writes to a run; several may read it and
    leave answers. The in-memory twin is `MemoryJournal`.
    """

    def append(self, recorded: Sequence[Recorded]) -> None:
        """Take events in order and return at once; they become durable soon after.

        Raises:
            Fenced: Another process has taken over the run.
            StoreError: A sequence is missing or was used before; or an earlier write failed, and
                nothing is accepted any more.
        """
        ...

    async def durable(self, run_id: str = "") -> None:
        """Wait until everything appended so far to a run, or to all, survives a crash of the machine.

        Raises:
            Fenced: Another process has taken over the run that was named.
            StoreError: It could not be written.
        """
        ...

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        """Yield the events of a run in order, from sequence `start`."""
        ...

    def runs(self) -> list[RunSummary]:
        """Return all runs, newest first."""
        ...

    async def claim(self, run_id: str) -> None:
        """Become the one that writes to a run, so that whoever wrote to it before no longer can.

        Raises:
            RunTaken: A process that is alive is writing to it.
        """
        ...

    def answer(self, run_id: str, answer: Answer) -> None:
        """Leave the answer to a question, durably; any process may, whoever writes to the run.

        Blocks for the milliseconds that the disk takes.

        Raises:
            UsageError: The question has been answered before.
        """
        ...

    def answers(self, run_id: str) -> list[Answer]:
        """Return the answers left for a run, in no particular order."""
        ...

    async def delete(self, run_ids: Collection[str]) -> int:
        """Forget whole runs, and content that nothing refers to any more; return the bytes freed.

        Runs that are not there are no fault. It is for the caller to know that the runs it writes
        itself have ended.

        Raises:
            RunTaken: A process that is alive is writing to one of them; then nothing is deleted.
        """
        ...

    async def close(self) -> None:
        """Write what is pending and release the store."""
        ...

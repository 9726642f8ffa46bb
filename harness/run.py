"""A run as its caller sees it: events while it goes on, one result at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from harness.errors import HarnessError, StoreError, innermost
from harness.events import ApprovalRequested, Citation, Recorded, RunFinished, RunStopReason
from harness.journal.port import Answer, Journal
from harness.loop.log import Notices, RunLog
from harness.loop.state import RunState
from harness.loop.team_run import TeamRun
from harness.messages import Message, Usage


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to."""

    run_id: str
    stop_reason: RunStopReason
    output: Any
    """Text, or the data that the entry agent's output schema describes."""
    citations: tuple[Citation, ...]
    dropped: tuple[Mapping[str, Any], ...]
    """Claims left out of the answer because nothing that was read supports them."""
    notes: tuple[str, ...]
    usage: Usage
    cost: float | None
    """USD; None if a model without a known price was used."""
    error: str
    waiting: tuple[str, ...] = ()
    """Keys of the calls that wait for a person, if the run is suspended."""

    @property
    def succeeded(self) -> bool:
        """Whether the run came to its own end."""
        return self.stop_reason == "done"

    @classmethod
    def of(cls, finished: RunFinished) -> RunResult:
        """Return the result that a run's last event describes."""
        return cls(
            finished.run_id,
            finished.stop_reason,
            finished.output,
            finished.citations,
            finished.dropped,
            finished.notes,
            finished.usage,
            finished.cost,
            finished.error,
            finished.waiting,
        )


class Run:
    """A run that was started or resumed; it goes on by itself, whether or not anybody looks."""

    def __init__(self, log: RunLog, journal: Journal) -> None:
        self.id = log.run_id
        self.notices = Notices()
        """What is worth showing and not kept: text as it streams, progress of tools."""
        self.begins_at = log.next_sequence
        """Sequence of the first event that this process records of it; above 0 if it was resumed."""
        self._log = log
        self._journal = journal
        self._team_run: TeamRun | None = None
        self._over = anyio.Event()
        self._result: RunResult | None = None
        self._error: BaseException | None = None
        self._scope = anyio.CancelScope()
        self._watchers: list[MemoryObjectSendStream[Recorded]] = []
        self._stop_reason: RunStopReason = "interrupted"

    @property
    def state(self) -> RunState:
        """What the run has come to so far."""
        return self._log.state

    @property
    def next_sequence(self) -> int:
        """The sequence that the next event to be recorded will have."""
        return self._log.next_sequence

    @property
    def waiting(self) -> tuple[ApprovalRequested, ...]:
        """The questions that wait for a person."""
        return tuple(self.state.waiting.values())

    @property
    def is_over(self) -> bool:
        """Whether nothing carries the run any more."""
        return self._over.is_set()

    def be_patient(self, *, patient: bool = True) -> None:
        """Wait for a person as long as it takes, because there is one, instead of being suspended."""
        assert self._team_run is not None
        self._team_run.approvals.patient = patient

    async def events(self, after: int = -1) -> AsyncIterator[Recorded]:
        """Yield the events of the run whose sequence is above `after`, to the last, without gap or repeat.

        Raises:
            Exception: What `result` raises, if the run broke instead of ending.
        """
        send, receive = anyio.create_memory_object_stream[Recorded](float("inf"))
        live_from = self._log.next_sequence
        self._log.listen(send.send_nowait)
        self._watchers.append(send)
        with send, receive:
            try:
                if live_from > after + 1:
                    await self._journal.durable()
                    for recorded in self._journal.read(self.id, start=after + 1):
                        if recorded.sequence < live_from:
                            yield recorded
                if self._over.is_set():
                    send.close()
                async for recorded in receive:
                    if recorded.sequence > after:
                        yield recorded
            finally:
                self._log.forget(send.send_nowait)
                self._watchers.remove(send)
        if self._error is not None:
            raise self._error

    async def result(self) -> RunResult:
        """Wait for the run to end, or to be suspended, and return what it came to.

        Raises:
            StoreError: The journal could not be written; the run stopped before its next effect.
            Divergence: The run was resumed and did not do again what its record says.
        """
        await self._over.wait()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    async def cancel(self, *, reason: RunStopReason = "cancelled") -> None:
        """Stop the run where it is and wait until its journal is closed."""
        self._stop_reason = reason
        self._scope.cancel()
        await self._over.wait()

    async def wait(self) -> None:
        """Wait until nothing carries the run any more, however it ended."""
        await self._over.wait()

    def answer(self, answer: Answer) -> bool:
        """Take an answer that was left; return False if the run has ended or been suspended without it."""
        return not self.is_over and (self._team_run is None or self._team_run.approvals.give(answer))

    def prepare(self, team_run: TeamRun) -> None:
        """Know what carries the run out; called once, by the harness that starts it."""
        self._team_run = team_run

    def abandon(self, reason: BaseException) -> None:
        """Know that nothing will carry the run, for whoever waits for it; called by the harness."""
        gone = HarnessError(f"run {self.id} was given up before anything carried it")
        self._error = reason if isinstance(reason, Exception) else gone
        self._end()

    async def drive(self, team_run: TeamRun, task: Message) -> None:
        """Carry the run out; called once, by the harness that started it."""
        try:
            with self._scope:
                self._result = RunResult.of(await team_run.execute(task))
            if self._result is None:
                self._result = RunResult.of(team_run.stop(self._stop_reason))
                await self._log.durable()
        except anyio.get_cancelled_exc_class():
            self._break_off(team_run, "interrupted")
            raise
        except Exception as error:
            # One run that breaks must not take the others down; its caller gets the error.
            self._error = cause = innermost(error)
            if not isinstance(cause, StoreError):
                self._break_off(team_run, "failed", f"{type(cause).__name__}: {cause}")
        finally:
            self._end()

    def _end(self) -> None:
        self._over.set()
        for watcher in self._watchers:
            watcher.close()

    def _break_off(self, team_run: TeamRun, reason: RunStopReason, error: str = "") -> None:
        """Record that the run was broken off, if the journal still takes it."""
        try:
            self._result = RunResult.of(team_run.stop(reason, error))
        except StoreError as refused:
            self._error = self._error or refused

"""Where clients' wishes become runs: how many, which ones again, and when no more are taken."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio

from harness.errors import HarnessError, RunTaken
from harness.events import ApprovalRequested, Recorded, RunStarted
from harness.harness import Harness
from harness.journal.port import RunSummary
from harness.loop.state import fold
from harness.messages import Image, Message, user
from harness.run import Run, RunResult
from harness.serve.options import ServeOptions
from harness.serve.problems import Refusal

log = logging.getLogger("harness.serve")

RETRY_SECONDS = "5"

_CARRIED_ON = ("interrupted",)
"""How a run may have ended that is carried on without anybody asking."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a client wants done."""

    task: str
    images: tuple[Image, ...] = ()
    session: str = ""
    entry: str = ""
    """The agent to start at; the team's own entry if empty."""
    traceparent: str = ""

    @property
    def message(self) -> Message:
        """The task as the entry agent receives it."""
        return user(self.task, *self.images)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says to the question of a call."""

    call: str = ""
    allow: bool = True
    arguments: str | None = None
    content: Mapping[str, Any] | None = None
    happened: bool | None = None
    by: str = ""
    reason: str = ""


class Reception:
    """Starts, finds and carries on the runs of one harness on behalf of clients."""

    def __init__(self, harness: Harness, options: ServeOptions) -> None:
        self.harness = harness
        self.options = options
        self.draining = False
        self.expected: dict[str, None] = {}
        """Runs that an earlier process left and that will be carried on; their streams go on too."""
        self._keyed = anyio.Lock()
        self._reading = anyio.CapacityLimiter(8)

    @property
    def team_name(self) -> str:
        """The team's name."""
        return self.harness.team.spec.name

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents that clients may start at, the default one first."""
        return self.options.agents

    async def start(self, order: Order) -> Run:
        """Start a run.

        Raises:
            Refusal: The agent is not offered, there is no room, or nothing is taken in any more;
                the status says which.
            UsageError: The task is empty.
        """
        return await self._begin(order, "")

    async def start_once(self, order: Order, key: str) -> tuple[str, bool]:
        """Return the id of the run that was started with `key`, and whether it was there before.

        Raises:
            Refusal: As `start`, or the key stands for something else.
            UsageError: The task is empty.
        """
        run_id = self._id_of(key)
        async with self._keyed:
            live = self.harness.live.get(run_id)
            first = live.state.started if live else await self._first_event(run_id)
            if first is None and live is None:
                return (await self._begin(order, run_id)).id, False
        if first is not None and (first.task, first.session) != (order.message, order.session):
            raise Refusal(422, "this Idempotency-Key was used for another task", hint="use a new key")
        return run_id, True

    async def find(self, run_id: str) -> Run | None:
        """Return a run that goes on here; None if it is in the store only.

        Raises:
            Refusal: There is no such run.
        """
        run = self.harness.live.get(run_id)
        if run is None and await self._first_event(run_id) is None:
            raise Refusal(404, f"there is no run {run_id!r}", hint="GET /runs lists them")
        return run

    async def approve(self, run_id: str, answer: Answer) -> Run:
        """Answer the question of a call; a run that waited for it goes on.

        Raises:
            Refusal: There is no such run, or it is in other hands.
            UsageError: Nothing waits, more than one call does, or the answer does not fit.
        """
        await self.find(run_id)
        self._refuse_while_draining()
        return await self.harness.approve(
            run_id,
            answer.call,
            allow=answer.allow,
            arguments=answer.arguments,
            content=answer.content,
            happened=answer.happened,
            by=answer.by,
            reason=answer.reason,
        )

    async def decide(self, run_id: str, decided: Sequence[tuple[ApprovalRequested, Answer]]) -> None:
        """Answer several questions of a run, which goes on once all of them are answered.

        Raises:
            Refusal: The server is stopping.
            UsageError: An answer does not fit, or was given before.
        """
        for _, answer in decided:
            await self.approve(run_id, answer)

    async def questions(self, run_id: str) -> tuple[ApprovalRequested, ...]:
        """Return the questions of a run that wait for a person."""
        run = self.harness.live.get(run_id)
        state = run.state if run else fold(await self.recorded(run_id))
        return tuple(state.waiting.values())

    async def outcome(self, run_id: str) -> RunResult:
        """Wait for a run that goes on here to end, and return what it came to.

        Raises:
            Refusal: It was cut off and nobody carries it on.
        """
        run = self.harness.live.get(run_id)
        if run is not None:
            return await run.result()
        finished = fold(await self.recorded(run_id)).finished
        if finished is None:
            raise Refusal(409, f"run {run_id} does not go on here and has not ended")
        return RunResult.of(finished)

    async def take_up(self, run_id: str) -> None:
        """Carry on a run if it was stopped from outside, and nobody does yet.

        Raises:
            Refusal: There is no room, or the server is stopping.
        """
        if run_id in self.harness.live:
            return
        finished = fold(await self.recorded(run_id)).finished
        if finished is None or finished.stop_reason in ("cancelled", "interrupted"):
            await self.resume(run_id)

    async def cancel_if_live(self, run_id: str) -> None:
        """Stop a run if it goes on here."""
        run = self.harness.live.get(run_id)
        if run is not None:
            await run.cancel()

    async def resume(self, run_id: str) -> Run:
        """Carry on a run that has stopped.

        Raises:
            Refusal: There is no such run, it goes on already, or there is no room.
            UsageError: It is done.
        """
        if await self.find(run_id) is not None:
            raise Refusal(409, f"run {run_id} goes on already")
        self._refuse_while_draining()
        self._check_room()
        return await self.harness.resume(run_id)

    async def cancel(self, run_id: str) -> Run:
        """Stop a run where it is.

        Raises:
            Refusal: There is no such run, or it does not go on here.
        """
        run = await self.find(run_id)
        if run is None:
            raise Refusal(409, f"run {run_id} does not go on here, so it cannot be cancelled")
        await run.cancel()
        return run

    async def look_back(self) -> None:
        """Learn which runs an earlier process has left unfinished."""
        try:
            left = [summary.run_id for summary in await self.runs() if self._was_left(summary)]
        except HarnessError as error:
            log.warning("no run can be carried on: %s", error)
        else:
            self.expected.update(dict.fromkeys(reversed(left)))

    async def carry_on(self) -> None:
        """Carry them on, the oldest first, as many at once as there is room for."""
        for run_id in tuple(self.expected):
            while not self._has_room():
                await self._one_ends()
            try:
                if not self.draining and run_id not in self.harness.live:
                    await self.harness.resume(run_id)
                    log.info("run %s is carried on", run_id)
            except RunTaken:
                log.info("run %s goes on in another process", run_id)
            except HarnessError as error:
                log.warning("run %s cannot be carried on: %s", run_id, error)
            finally:
                self.expected.pop(run_id, None)

    async def drain(self) -> None:
        """Take nothing in any more, let runs end for a while, and interrupt the rest."""
        self.draining = True
        await self.harness.drain(grace=self.options.grace_seconds)

    async def unready(self) -> str:
        """Return why nothing can be taken in at the moment, or nothing."""
        if self.draining:
            return "the server is stopping"
        try:
            with anyio.fail_after(2):
                await self.harness.journal.durable()
        except TimeoutError:
            return "the store does not answer"
        except HarnessError as error:
            return str(error)
        return ""

    async def runs(self) -> list[RunSummary]:
        """Return the store's runs, newest first."""
        return await anyio.to_thread.run_sync(self.harness.journal.runs, limiter=self._reading)

    async def recorded(self, run_id: str) -> list[Recorded]:
        """Return everything that is recorded of a run."""
        return await anyio.to_thread.run_sync(
            lambda: list(self.harness.journal.read(run_id)), limiter=self._reading
        )

    async def _begin(self, order: Order, run_id: str) -> Run:
        self._refuse_while_draining()
        entry = order.entry or self.agents[0]
        if entry not in self.agents:
            raise Refusal(404, f"there is no agent {entry!r} here", hint=f"try {', '.join(self.agents)}")
        self._check_room()
        return await self.harness.start(
            order.message,
            session=order.session,
            entry=entry,
            traceparent=order.traceparent,
            run_id=run_id,
        )

    async def _first_event(self, run_id: str) -> RunStarted | None:
        first = await anyio.to_thread.run_sync(
            lambda: next(iter(self.harness.journal.read(run_id)), None), limiter=self._reading
        )
        return first.event if first is not None and isinstance(first.event, RunStarted) else None

    def _id_of(self, key: str) -> str:
        """Return the run id of a key: made of it, so that a retry finds the run after a crash too."""
        place = f"{self.team_name}\0{key}".encode()
        return f"key-{hashlib.blake2b(place, digest_size=10).hexdigest()}"

    async def _one_ends(self) -> None:
        async with anyio.create_task_group() as tasks:

            async def wait(run: Run) -> None:
                with suppress(Exception):
                    await run.result()
                tasks.cancel_scope.cancel()

            for run in self.harness.live.values():
                tasks.start_soon(wait, run)

    def _has_room(self) -> bool:
        return self.options.max_runs is None or len(self.harness.live) < self.options.max_runs

    def _check_room(self) -> None:
        if not self._has_room():
            raise Refusal(
                429,
                f"{self.options.max_runs} runs go on already",
                hint="wait as long as Retry-After says, or serve with a higher --max-runs",
                headers={"Retry-After": RETRY_SECONDS},
            )

    def _refuse_while_draining(self) -> None:
        if self.draining:
            raise Refusal(503, "the server is stopping", headers={"Retry-After": RETRY_SECONDS})

    def _was_left(self, summary: RunSummary) -> bool:
        ours = summary.started.team_name == self.team_name
        return ours and (summary.finished is None or summary.finished.stop_reason in _CARRIED_ON)

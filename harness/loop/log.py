"""One run's way into the journal: numbers events, keeps the live state, tells whoever listens.

An event that the run's past holds already is taken into account and not written again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.events import Event, Recorded
from harness.journal.port import Journal
from harness.loop.order import RunOrder
from harness.loop.past import Past
from harness.loop.state import RunState
from harness.models.port import TextDelta, ThinkingDelta, Waiting

Listener = Callable[[Recorded], None]
"""Must not raise or block: it is called from inside the loop."""


class RunLog:
    """Takes every event of one run, in order.

    Args:
        past: What is recorded of the run already.
        next_sequence: The sequence of the next event to be written.
    """

    def __init__(
        self,
        run_id: str,
        journal: Journal,
        *,
        past: Past | None = None,
        next_sequence: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run_id = run_id
        self.state = RunState()
        self.order: RunOrder | None = None
        """The contracts on tool calls, if the team has any."""
        self.past = past or Past()
        self.clock = clock
        self.next_sequence = next_sequence
        self.epoch = 1
        """How often somebody has taken up the run, this time included."""
        self._journal = journal
        self._listeners: list[Listener] = []
        for event in self.past.environment if self.past.check == "everything" else ():
            self.state.apply(event)

    def emit(self, event: Event) -> None:
        """Record an event, unless it is recorded already.

        Raises:
            StoreError: The journal cannot be written; nothing further should be done.
            Divergence: The record holds something else here.
        """
        if self.past.holds(event) or not self.past.live:
            self._apply(event)
            return
        recorded = Recorded(self.run_id, self.next_sequence, self.clock(), event)
        self._journal.append((recorded,))
        self.next_sequence += 1
        self._apply(event)
        for listener in self._listeners:
            listener(recorded)

    def catch_up(self) -> None:
        """Take into account what is recorded and has not happened again yet; nothing of it will any more."""
        for item in self.past.skip():
            self._apply(item.event)

    def _apply(self, event: Event) -> None:
        self.state.apply(event)
        if self.order is not None:
            self.order.apply(event)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Stop calling `listener`."""
        self._listeners.remove(listener)

    async def durable(self) -> None:
        """Wait until everything so far is on disk."""
        await self._journal.durable(self.run_id)


class Progress:
    """A tool says how far it is."""

    __slots__ = ("done", "message", "tool", "total")

    def __init__(self, tool: str, done: float, total: float | None, message: str) -> None:
        self.tool = tool
        self.done = done
        self.total = total
        self.message = message


Happening = TextDelta | ThinkingDelta | Waiting | Progress


class Notices:
    """What is worth showing but not worth keeping: text as it streams, progress of tools, waits for an endpoint."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str, Happening], None]] = []

    def listen(self, listener: Callable[[str, Happening], None]) -> None:
        """Call `listener` with the agent's path and the notice."""
        self._listeners.append(listener)

    def send(self, agent: str, notice: Happening) -> None:
        """Tell whoever listens."""
        for listener in self._listeners:
            listener(agent, notice)

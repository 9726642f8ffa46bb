"""Where a process dies: at a named point of what it records, asks or does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.events import Event, Recorded
from harness.journal import Answer, Journal, RunSummary

Point = Literal["before-intent", "after-intent", "after-effect", "after-result"]
POINTS: tuple[Point, ...] = ("before-intent", "after-intent", "after-effect", "after-result")


@dataclass(frozen=True)
class Crash:
    """A place at which the process kills itself.

    A place in the journal is an event, by type and by what it is about; `effect` is the moment right
    after a tool has changed the world, and `request` the one right after a model was asked.
    """

    at: str
    """Type of the event, or `effect`, or `request`; empty for every event."""
    about: str = ""
    """Key of the call, path of the agent run, name of the task or of the model, or label of the effect;
    empty for any."""
    when: Literal["before", "after"] = "before"
    """Whether the event is still recorded, and on disk."""
    nth: int = 1
    """How many such places are passed before; from 1, and counted in this process."""
    lost: bool = False
    """Whether what was recorded before and not waited for may be lost; otherwise it is on disk."""
    how: Literal["kill", "interrupt", "drain"] = "kill"
    """How the process ends; if it is not killed, it is asked to stop, and has last words."""

    @staticmethod
    def of_call(point: Point, key: str, label: str) -> Crash:
        """Return the named point of a named call."""
        match point:
            case "before-intent":
                return Crash("tool_call.started", key)
            case "after-intent":
                return Crash("tool_call.started", key, "after")
            case "after-effect":
                return Crash("effect", label)
            case "after-result":
                return Crash("tool_call.finished", key, "after")


@dataclass(frozen=True)
class Act:
    """What one process does with a run, and under which circumstances."""

    crash: Crash | None = None
    person: Literal["truthful", "yes", "no", "nobody"] = "truthful"
    """Who answers questions about calls in doubt: somebody who looks at the world first, somebody who
    always says the same, or nobody."""
    overrides: tuple[str, ...] = ()
    """Settings over the team file."""
    down: tuple[str, ...] = ()
    """Models that cannot be reached."""
    hangs: tuple[str, ...] = ()
    """Labels of calls that never come back."""


class CrashingJournal:
    """A journal whose process dies where `crash` says.

    Everything else is as the journal inside does it.

    Args:
        stop: Asks the process to stop; called instead where it is not to be killed.
    """

    def __init__(self, inner: Journal, crash: Crash | None, stop: Callable[[], None]) -> None:
        self._inner = inner
        self._crash = crash
        self._stop = stop
        self._passed = 0

    def append(self, recorded: Sequence[Recorded]) -> None:
        for item in recorded:
            crash = self._crash
            here = crash is not None and self._is_here(crash, item.event)
            if here and crash.when == "before":
                self.die(item.run_id)
            self._inner.append((item,))
            if here and crash.when == "after":
                self.die(item.run_id)

    def die(self, run_id: str) -> None:
        """Be gone, or be asked to go; what was recorded is on disk before, unless it may be lost."""
        assert self._crash is not None
        if self._crash.how != "kill":
            self._stop()
            return
        if not self._crash.lost:
            list(self._inner.read(run_id))
        os.kill(os.getpid(), signal.SIGKILL)

    def _is_here(self, crash: Crash, event: Event) -> bool:
        fits = crash.at in ("", event.type) and crash.about in ("", *_subjects(event))
        self._passed += fits
        return fits and self._passed == crash.nth

    async def durable(self, run_id: str = "") -> None:
        await self._inner.durable(run_id)

    def read(self, run_id: str, *, start: int = 0) -> Iterator[Recorded]:
        return self._inner.read(run_id, start=start)

    def runs(self) -> list[RunSummary]:
        return self._inner.runs()

    async def claim(self, run_id: str) -> None:
        await self._inner.claim(run_id)

    def answer(self, run_id: str, answer: Answer) -> None:
        self._inner.answer(run_id, answer)

    def answers(self, run_id: str) -> list[Answer]:
        return self._inner.answers(run_id)

    async def delete(self, run_ids: Collection[str]) -> int:
        return await self._inner.delete(run_ids)

    async def close(self) -> None:
        await self._inner.close()


def _subjects(event: Event) -> list[str]:
    """What an event is about, from the most particular to the most general."""
    return [value for name in ("key", "task", "agent") if (value := getattr(event, name, ""))]

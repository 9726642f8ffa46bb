"""An event loop whose clock jumps to the next thing to do, so that waiting takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SETTLED = 0.1
"""Seconds, on that clock, after which whatever can happen by itself has happened."""


class _Instant(selectors.SelectSelector):
    """Waits for nothing; says how long it would have waited."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen any more"
            self.skipped += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For programs without threads, processes and connections."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)

    def time(self) -> float:
        """Return the time, which only passes while everybody waits."""
        return self._instant.skipped

    def settle(self) -> None:
        """Let everything happen that happens by itself."""
        self.run_until_complete(asyncio.sleep(SETTLED))

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        """Do something to its end."""
        return self.run_until_complete(what)

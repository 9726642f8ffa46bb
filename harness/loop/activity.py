"""What a run has under way in the world, and how it knows that nothing can move any more."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio
import anyio.lowlevel

LOOK_SECONDS = 0.02
"""How often a run that waits for somebody looks whether anything else still moves."""

QUIET_ROUNDS = 200
"""Rounds of the event loop in which nothing happened, after which nothing will."""


class Activity:
    """Counts what is under way outside: model calls, tool calls, servers that start, the disk.

    Between two of these a run only ever does what it can do at once, so a run that has nothing under
    way, and does nothing for many rounds of the event loop, waits for a person or is over.
    """

    def __init__(self, happened: Callable[[], int]) -> None:
        """Watch a run.

        Args:
            happened: Returns a number that changes whenever something happens in the run.
        """
        self._happened = happened
        self._under_way = 0

    @contextmanager
    def outside(self) -> Generator[None]:
        """Have something under way meanwhile."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @contextmanager
    def paused(self) -> Generator[None]:
        """Have something wait for a person that is otherwise under way."""
        self._under_way -= 1
        try:
            yield
        finally:
            self._under_way += 1

    async def until_nothing_moves(self) -> None:
        """Return once the run cannot go on by itself."""
        while not await self.is_still():  # noqa: ASYNC110 - nothing announces that nothing happens
            await anyio.sleep(LOOK_SECONDS)

    async def is_still(self) -> bool:
        """Return whether the run cannot go on by itself."""
        before = self._happened()
        for _ in range(QUIET_ROUNDS):
            if self._under_way or self._happened() != before:
                return False
            await anyio.lowlevel.checkpoint()
        return True

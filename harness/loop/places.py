"""Places for agents at work: as many as the team allows, lent to others by whoever waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import anyio


class Places:
    """The places of one run.

    Args:
        number: Agents that may work at the same time, besides the entry agent.
        has_work: Whether there is more for the agent run at a path to do than is recorded; the others
            take no place, and have none to lend.
    """

    def __init__(self, number: int, has_work: Callable[[str], bool]) -> None:
        self._free = anyio.Semaphore(number)
        self._has_work = has_work
        self._waiting: Counter[str] = Counter()
        self._of: dict[str, anyio.Semaphore] = {}

    @asynccontextmanager
    async def held(self, path: str, *, among_siblings: int | None) -> AsyncGenerator[None]:
        """Hold a place for the sub-agent at `path`; the waiting parent lends its own meanwhile.

        Args:
            among_siblings: Sub-agents of its parent that may work at the same time, if there is such a limit.
        """
        parent = path.rpartition("/")[0]
        own: AbstractAsyncContextManager[object] = nullcontext()
        any_free: AbstractAsyncContextManager[object] = nullcontext()
        if self._has_work(path):
            any_free = self._free
            if among_siblings is not None:
                own = self._of.setdefault(parent, anyio.Semaphore(among_siblings))
        async with own, self.lent(parent), any_free:
            yield

    @asynccontextmanager
    async def lent(self, path: str) -> AsyncGenerator[None]:
        """Let others have the place of an agent run that waits, for its own sub-agents or for a person."""
        lends = "/" in path and self._has_work(path)
        if lends:
            self._waiting[path] += 1
            if self._waiting[path] == 1:
                self._free.release()
        try:
            yield
        finally:
            if lends:
                self._waiting[path] -= 1
                if not self._waiting[path]:
                    with anyio.CancelScope(shield=True):
                        await self._free.acquire()

"""What one endpoint may be asked for, obeyed together by everything in this process that asks it.

Providers count requests and tokens by account, not by agent, run or harness. So there is one limiter for each
endpoint and key, however many models, runs and threads use it. Who comes first is served first; only whoever
is first watches the clock, so that a thousand waiting calls cost what one costs.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

import anyio

from harness.models.port import Waiting

SILENT_SECONDS = 1.0
"""A wait that is shorter is not worth telling of."""

_MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be asked of an endpoint; None for as much as it takes."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Input and output."""
    parallel: int | None = None
    """Requests under way at the same time."""


@dataclass(slots=True, eq=False)
class Use:
    """What one admitted request takes from the minute it began in."""

    began: float
    amount: int
    forgotten: bool = False
    """Whether that minute is over."""


class _Minute:
    """What was used within the last minute, of which there may be a limit."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self._uses: deque[Use] = deque()
        self._used = 0

    def delay(self, amount: int, now: float) -> float:
        """Return the seconds until `amount` more fits; more than the limit fits once nothing is used."""
        if self.limit is None:
            return 0.0
        while self._uses and self._uses[0].began + _MINUTE <= now:
            old = self._uses.popleft()
            old.forgotten = True
            self._used -= old.amount
        over = self._used + min(amount, self.limit) - self.limit
        if over <= 0:
            return 0.0
        for use in self._uses:
            over -= use.amount
            if over <= 0:
                return use.began + _MINUTE - now
        return 0.0

    def take(self, amount: int, now: float) -> Use:
        """Count a use of `amount`."""
        use = Use(now, amount, forgotten=self.limit is None)
        if self.limit is not None:
            self._uses.append(use)
            self._used += amount
        return use

    def correct(self, use: Use, amount: int) -> None:
        """Count `amount` for a use instead of what was expected."""
        if not use.forgotten:
            self._used += amount - use.amount
            use.amount = amount


@dataclass(slots=True, eq=False)
class _Place:
    """One call in the queue."""

    loop: asyncio.AbstractEventLoop
    changed: anyio.Event
    gone: bool = False

    def wake(self) -> None:
        """Have it look again, in its own thread; a loop that is closed has nobody waiting."""
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if here:
            self.changed.set()
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(lambda: self.changed.set())


class Limiter:
    """Admits requests to one endpoint, in the order in which they came."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._joined: list[Limits] = []
        self._queue: deque[_Place] = deque()
        self._parallel: int | None = None
        self._under_way = 0
        self._requests = _Minute()
        self._tokens = _Minute()
        self._quiet_until = 0.0
        self._limited = False

    @property
    def is_open(self) -> bool:
        """Whether nobody has to be asked before a request: there is no limit, and the endpoint is not left alone."""
        return not self._limited and self._quiet_until <= self._clock()

    def join(self, limits: Limits) -> None:
        """Obey `limits` as well; of several the strictest holds."""
        with self._lock:
            self._joined.append(limits)
            self._set()

    def leave(self, limits: Limits) -> None:
        """Obey `limits` no more, whose user is closed."""
        with self._lock:
            if limits in self._joined:
                self._joined.remove(limits)
            self._set()
            self._wake_first()

    def quiet(self, seconds: float) -> None:
        """Admit nothing for a while, as the endpoint asked."""
        with self._lock:
            self._quiet_until = max(self._quiet_until, self._clock() + seconds)

    @asynccontextmanager
    async def admitted(self, tokens: int, tell: Callable[[Waiting], None]) -> AsyncGenerator[Use]:
        """Hold a place among the requests under way, waiting for it if need be.

        Args:
            tokens: What is expected; `used` says later what it was.
            tell: Is told once if the wait is longer than a second, and when it is over then.
        """
        use = await self._enter(tokens, tell)
        try:
            yield use
        finally:
            with self._lock:
                self._under_way -= 1
                self._wake_first()

    def used(self, use: Use, tokens: int) -> None:
        """Count what the provider reported for a request, instead of what was expected."""
        with self._lock:
            self._tokens.correct(use, tokens)

    async def _enter(self, tokens: int, tell: Callable[[Waiting], None]) -> Use:
        with self._lock:
            if not self._queue and self._delay(tokens) <= 0:
                return self._admit(tokens)
            place = _Place(asyncio.get_running_loop(), anyio.Event())
            self._queue.append(place)
        came = self._clock()
        told = None
        try:
            while True:
                with self._lock:
                    ahead = self._queue[0] is not place
                    delay = math.inf if ahead else self._delay(tokens)
                    if delay <= 0:
                        return self._admit(tokens)
                    place.changed = anyio.Event()
                silent = math.inf if told else came + SILENT_SECONDS - self._clock()
                with anyio.move_on_after(min(delay, silent)):
                    await place.changed.wait()
                if told is None and self._clock() >= came + SILENT_SECONDS:
                    told = self._waiting(delay)
                    tell(told)
        finally:
            with self._lock:
                self._step_out(place)
            if told is not None:
                tell(Waiting(self._clock() - came, 0, told.reason))

    def _waiting(self, delay: float) -> Waiting:
        """Return what there is to tell of a wait, of which at least `delay` was left a moment ago."""
        if self._quiet_until > self._clock():
            delay, reason = self._quiet_until - self._clock(), "the endpoint asked to be left alone"
        elif self._parallel is not None and self._under_way >= self._parallel:
            under_way = "1 request is" if self._under_way == 1 else f"{self._under_way} requests are"
            reason = f"{under_way} under way, and no more may be"
        else:
            reason = "as much was asked of the endpoint in the last minute as may be"
        return Waiting(delay if math.isfinite(delay) else None, len(self._queue), reason)

    def _delay(self, tokens: int) -> float:
        """Return the seconds until a request may start; infinity where another one must end first."""
        if self._parallel is not None and self._under_way >= self._parallel:
            return math.inf
        now = self._clock()
        return max(self._quiet_until - now, self._requests.delay(1, now), self._tokens.delay(tokens, now))

    def _admit(self, tokens: int) -> Use:
        self._under_way += 1
        self._requests.take(1, self._clock())
        return self._tokens.take(tokens, self._clock())

    def _step_out(self, place: _Place) -> None:
        """Take a place out of the queue, at once if it is the first, else when those before it are gone."""
        place.gone = True
        if self._queue[0] is place:
            while self._queue and self._queue[0].gone:
                self._queue.popleft()
            self._wake_first()

    def _wake_first(self) -> None:
        if self._queue:
            self._queue[0].wake()

    def _set(self) -> None:
        def least(values: list[int | None]) -> int | None:
            return min((value for value in values if value is not None), default=None)

        self._parallel = least([one.parallel for one in self._joined])
        self._requests.limit = least([one.requests_per_minute for one in self._joined])
        self._tokens.limit = least([one.tokens_per_minute for one in self._joined])
        limits = (self._parallel, self._requests.limit, self._tokens.limit)
        self._limited = any(limit is not None for limit in limits)


_LIMITERS: WeakValueDictionary[tuple[str, str], Limiter] = WeakValueDictionary()


def limiter_of(route: str, key: str) -> Limiter:
    """Return the one limiter of this process for an endpoint and what it knows its callers by."""
    limiter = _LIMITERS.get((route, key))
    if limiter is None:
        limiter = _LIMITERS.setdefault((route, key), Limiter())
    return limiter

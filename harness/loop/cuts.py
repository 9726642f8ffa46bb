"""Where time was up in a record, and when that comes to pass again.

An agent run whose time is up is cut short together with all that works for it, wherever each of
them is at that moment. In a record that moment is known by what stands in it: all that happened
before has to happen again, and then the agent run is cut. What was made of the cut (calls that were
cancelled, partial reports) follows from it, as it did then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf

from harness.events import (
    AgentRunFinished,
    Event,
    LimitWasReached,
    ModelCallFinished,
    Recorded,
    SummaryFinished,
    ToolCallFinished,
)

_LIMIT = "limit: minutes of "

CutShort = Callable[[LimitWasReached], None]


class Cuts:
    """The agent runs of a record that were cut short, those that are still to be among them.

    Args:
        recorded: The events that count, in order.
    """

    def __init__(self, recorded: Iterable[Recorded]) -> None:
        items = [item for item in recorded if _agent(item.event)]
        self._limits = {
            item.event.agent: item.event
            for item in items
            if isinstance(item.event, LimitWasReached) and item.event.limit == "minutes"
        }
        self._places: dict[str, float] = {
            _agent(item.event): item.sequence for item in items if _is_by_time(item.event)
        }
        self._assume(
            [item.event for item in items if made_by_cut(item.event) and not self.above(_agent(item.event))]
        )
        self._pending = Counter(path for item in items for path in self._preceded_by(item))
        self._watched: dict[str, CutShort] = {}

    def __bool__(self) -> bool:
        return bool(self._limits)

    def above(self, path: str) -> bool:
        """Return whether the agent run at `path`, or one it works for, was cut short."""
        return bool(self._limits) and self._nearest(path) is not None

    def watch(self, path: str, cut: CutShort) -> None:
        """Call `cut` when the agent run at `path` is to be cut short, at once if it is time; never if it was not."""
        if path in self._limits:
            self._watched[path] = cut
            self._cut_if_due(path)

    def forget(self, path: str) -> None:
        """Have nothing called any more."""
        self._watched.pop(path, None)

    def passed(self, item: Recorded) -> None:
        """Take note that an event has happened again."""
        for path in self._preceded_by(item):
            self._pending[path] -= 1
            self._cut_if_due(path)

    def _cut_if_due(self, path: str) -> None:
        if not self._pending[path] and path in self._watched:
            self._watched.pop(path)(self._limits[path])

    def _assume(self, traces: Sequence[Event]) -> None:
        """Take it that all agents were cut, where nothing but traces of a cut were left by a crash or a stop."""
        if not traces:
            return
        entry: str = getattr(traces[0], "agent", "").partition("/")[0]
        reports = [event.report for event in traces if isinstance(event, AgentRunFinished)]
        scope = reports[0].stop_reason.removeprefix(_LIMIT) if reports else entry
        self._limits[entry] = LimitWasReached(agent=entry, limit="minutes", scope=scope, allowed=0.0)
        self._places[entry] = inf

    def _nearest(self, path: str) -> str | None:
        return next((place for place in upwards(path) if place in self._limits), None)

    def _preceded_by(self, item: Recorded) -> Iterator[str]:
        """Yield the agent runs that were cut short after `item`, and not before or by the same cut."""
        path: str = getattr(item.event, "agent", "")
        nearest = self._nearest(path) if self._limits else None
        if nearest is None:
            return
        came_of_it = made_by_cut(item.event) or (path == nearest and item.sequence >= self._places[nearest])
        for place in upwards(path):
            if place in self._limits and not (place == nearest and came_of_it):
                yield place


def made_by_cut(event: Event) -> bool:
    """Return whether `event` says that something was cut short because time was up."""
    match event:
        case ToolCallFinished() | ModelCallFinished() | SummaryFinished():
            return event.error_type == "cancelled"
        case AgentRunFinished():
            return event.report.stop_reason.startswith(_LIMIT)
        case _:
            return _is_by_time(event)


def upwards(path: str) -> Iterator[str]:
    """Yield the path, and those of all agent runs above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _agent(event: Event) -> str:
    return getattr(event, "agent", "")


def _is_by_time(event: Event) -> bool:
    return isinstance(event, LimitWasReached) and event.limit == "minutes"

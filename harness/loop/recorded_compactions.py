"""Compactions as they stand in the record of a run, with the summaries that were asked for, by agent and turn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from harness.events import Event, SummaryFinished, SummaryStarted, WindowCompacted
from harness.messages import Message

_Recorded = SummaryStarted | SummaryFinished | WindowCompacted


class RecordedCompactions:
    """What making room came to, before each turn that needed it."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, int], list[_Recorded]] = defaultdict(list)
        self._tokens: dict[tuple[str, int], list[tuple[Message, int]]] = defaultdict(list)

    def before(self, path: str, turn: int) -> Sequence[_Recorded]:
        """Return what was recorded while room was made before a turn; all of it, or what a crash left."""
        return self._events.get((path, turn), ())

    def summary(self, path: str, turn: int) -> SummaryFinished | None:
        """Return how the last summary before a turn ended that was not lost."""
        ended = [event for event in self.before(path, turn) if isinstance(event, SummaryFinished)]
        return ended[-1] if ended and ended[-1].error_type != "lost" else None

    def tokens(self, path: str, entry: int, message: Message) -> int | None:
        """Return the tokens that were counted of a message that replaced an entry."""
        return next(
            (tokens for known, tokens in self._tokens.get((path, entry), ()) if known == message), None
        )

    def remember(self, event: Event) -> None:
        """Take an event of the record into account."""
        match event:
            case SummaryStarted() | SummaryFinished():
                self._events[event.agent, event.turn].append(event)
            case WindowCompacted():
                self._events[event.agent, event.turn].append(event)
                for change in event.changes:
                    if change.message is not None:
                        self._tokens[event.agent, change.entry].append((change.message, change.tokens))
            case _:
                pass

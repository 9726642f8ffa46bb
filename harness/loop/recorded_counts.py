"""Token counts as they stand in the record of a run.

A count is a measurement: the vocabulary that made it may not be on this machine, and a later version
may estimate otherwise. What is carried out again is therefore counted as it was then, where it is what
it was then.
"""

from __future__ import annotations

from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    DeliverableRejected,
    EntryAppended,
    EntryReplaced,
    Event,
    ModelCallStarted,
    ToolCallFinished,
    WindowCompacted,
)
from harness.messages import Message, ToolDefinition

TOO_LONG = "the report has {tokens} tokens; at most {most} may go back"

_TOO_LONG_BEGINS = TOO_LONG.partition("{")[0]


class RecordedCounts:
    """What was counted, by the place it was counted at.

    Args:
        reports: Whether the reports of sub-agents are what they were; they are not under a changed cap.
    """

    def __init__(self, *, reports: bool) -> None:
        self._with_reports = reports
        self._entries: dict[tuple[str, int], EntryAppended] = {}
        self._sizes: dict[tuple[str, int], int] = {}
        self._windows: dict[str, int] = {}
        self._began: dict[str, AgentRunStarted] = {}
        self._definitions: dict[str, int] = {}
        self._ended: dict[str, AgentRunFinished] = {}
        self._rejections: dict[str, str] = {}
        self._submissions: dict[str, bool] = {}

    def entry(self, path: str, number: int, message: Message) -> EntryAppended | None:
        """Return the recorded entry of a window if it holds `message`."""
        recorded = self._entries.get((path, number))
        return recorded if recorded is not None and recorded.message == message else None

    def definitions(self, path: str, tools: tuple[ToolDefinition, ...]) -> int | None:
        """Return the tokens of an agent run's tool definitions if they are `tools`."""
        began = self._began.get(path)
        return self._definitions.get(path) if began is not None and began.tools == tools else None

    def report(self, path: str) -> AgentRunFinished | None:
        """Return how the agent run at `path` ended."""
        return self._ended.get(path) if self._with_reports else None

    def complaint(self, path: str, key: str) -> str | None:
        """Return what was said of a report that was too long, nothing if it was not, None if that is not recorded.

        Args:
            key: Of the call that handed it in; empty if it was said as text.
        """
        if not self._with_reports:
            return None
        first = self._rejections.get(path)
        too_long = first if first is not None and first.startswith(_TOO_LONG_BEGINS) else ""
        if key:
            sent_back = self._submissions.get(key)
            return None if sent_back is None else too_long if sent_back else ""
        return too_long if too_long or path in self._ended else None

    def overflow(self, path: str, turn: int) -> str | None:
        """Return why a request was too large to be sent, if it was."""
        ended = self._ended.get(path)
        if ended is None or ended.error_type != "ContextOverflow" or ended.turns != turn:
            return None
        return ended.error

    def remember(self, event: Event) -> None:
        """Take an event of the record into account."""
        match event:
            case EntryAppended():
                self._entries[event.agent, event.entry] = event
                self._resize(event.agent, event.entry, event.tokens)
            case EntryReplaced():
                self._resize(event.agent, event.entry, event.tokens)
            case WindowCompacted():
                for change in event.changes:
                    self._resize(event.agent, change.entry, change.tokens)
            case ModelCallStarted():
                if event.agent not in self._definitions:
                    window = self._windows.get(event.agent, 0)
                    self._definitions[event.agent] = event.input_tokens - window
            case AgentRunStarted():
                self._began[event.agent] = event
            case AgentRunFinished():
                self._ended[event.agent] = event
            case DeliverableRejected():
                if event.reasons and event.reasons[0].startswith(_TOO_LONG_BEGINS):
                    self._rejections.setdefault(event.agent, event.reasons[0])
            case ToolCallFinished() if event.tool == "report":
                self._submissions[event.key] = event.is_error
            case _:
                pass

    def _resize(self, path: str, entry: int, tokens: int) -> None:
        before = self._sizes.get((path, entry), 0)
        self._sizes[path, entry] = tokens
        self._windows[path] = self._windows.get(path, 0) + tokens - before

"""Tool calls as they stand in the record of a run: attempts, results, questions and answers, by call key."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from harness.events import (
    ApprovalDecided,
    ApprovalRequested,
    EffectClass,
    Event,
    QuestionKind,
    Recorded,
    ToolCallFinished,
    ToolCallStarted,
)
from harness.messages import canonical_arguments


class RecordedCalls:
    """What came of each call.

    Args:
        reuse: Events whose tool results answer later calls that equal theirs.
    """

    def __init__(self, reuse: Iterable[Recorded] = ()) -> None:
        self._calls: dict[str, list[Event]] = defaultdict(list)
        self._effects: dict[str, dict[str, EffectClass]] = defaultdict(dict)
        self._reusable = _results_by_call(reuse)

    def begun(self, key: str, attempt: int) -> bool:
        """Return whether an earlier process began this attempt at a tool call."""
        return self._after_start(key, attempt) is not None

    def outcome(self, key: str, attempt: int) -> ToolCallFinished | ApprovalRequested | None:
        """Return what an attempt came to: a result, or a question that a further attempt answers."""
        for event in self._after_start(key, attempt) or ():
            if isinstance(event, ToolCallFinished):
                return event
            if isinstance(event, ApprovalRequested) and not event.inline:
                return event
            if isinstance(event, ToolCallStarted):
                break
        return None

    def asked_first(self, key: str) -> list[ApprovalRequested | ApprovalDecided]:
        """Return the questions that were asked before a call began, with their answers."""
        asked: list[ApprovalRequested | ApprovalDecided] = []
        for event in self._calls.get(key, ()):
            if isinstance(event, ToolCallStarted):
                break
            if isinstance(event, ApprovalRequested | ApprovalDecided):
                asked.append(event)
        return asked

    def asked_meanwhile(self, key: str, attempt: int) -> list[ApprovalRequested | ApprovalDecided]:
        """Return the questions an attempt raised while it went on, with their answers."""
        found: list[ApprovalRequested | ApprovalDecided] = []
        numbers: set[int] = set()
        for event in self._after_start(key, attempt) or ():
            if isinstance(event, ApprovalRequested) and event.inline:
                numbers.add(event.number)
                found.append(event)
            elif isinstance(event, ApprovalDecided) and event.number in numbers:
                found.append(event)
            elif isinstance(event, ToolCallStarted):
                break
        return found

    def question(self, key: str, number: int, kind: QuestionKind) -> ApprovalRequested | None:
        """Return a question of a call, if it is of this kind."""
        for event in self._calls.get(key, ()):
            if isinstance(event, ApprovalRequested) and event.number == number:
                return event if event.kind == kind else None
        return None

    def questions(self, key: str) -> int:
        """Return how many questions a call has raised."""
        return sum(isinstance(event, ApprovalRequested) for event in self._calls.get(key, ()))

    def decision(self, key: str, number: int) -> ApprovalDecided | None:
        """Return the answer to a question of a call."""
        for event in self._calls.get(key, ()):
            if isinstance(event, ApprovalDecided) and event.number == number:
                return event
        return None

    def reusable(self, tool: str, arguments: str) -> ToolCallFinished | None:
        """Return the result of an equal call, of several the next one, and the last one from then on."""
        results = self._reusable.get((tool, canonical_arguments(arguments)))
        if not results:
            return None
        return results.popleft() if len(results) > 1 else results[0]

    def effects(self, path: str) -> Mapping[str, EffectClass]:
        """Return the effect classes of the tools that the agent run at `path` called."""
        return self._effects[path]

    def remember(
        self, event: ToolCallStarted | ToolCallFinished | ApprovalRequested | ApprovalDecided
    ) -> None:
        """Take an event of the record into account."""
        self._calls[event.key].append(event)
        if isinstance(event, ToolCallStarted):
            self._effects[event.agent].setdefault(event.tool, event.effect)

    def _after_start(self, key: str, attempt: int) -> list[Event] | None:
        events = self._calls.get(key, ())
        for position, event in enumerate(events):
            if isinstance(event, ToolCallStarted) and event.attempt == attempt:
                return list(events[position + 1 :])
        return None


def _results_by_call(recorded: Iterable[Recorded]) -> dict[tuple[str, str], deque[ToolCallFinished]]:
    arguments: dict[str, str] = {}
    results: dict[tuple[str, str], deque[ToolCallFinished]] = defaultdict(deque)
    for item in recorded:
        event = item.event
        if isinstance(event, ToolCallStarted):
            arguments[event.key] = canonical_arguments(event.arguments)
        elif isinstance(event, ToolCallFinished) and event.external and event.error_type != "cancelled":
            results[event.tool, arguments.get(event.key, "")].append(event)
    return results

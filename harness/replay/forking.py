"""A new run from a prefix of an old one, with named changes: recorded up to a turn, live after it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.context.counting import message_tokens
from harness.context.window import Entry, Window
from harness.errors import UsageError
from harness.events import (
    Ancestry,
    EntryReplaced,
    Recorded,
    RunFinished,
    RunResumed,
    RunStarted,
    SummaryFinished,
    SummaryStarted,
    ToolCallFinished,
    TurnStarted,
    WindowCompacted,
)
from harness.loop.causality import Causality
from harness.loop.past import Past
from harness.loop.state import RunState, effective, fold
from harness.messages import Message, Text, ToolCall, ToolResult, user

_PLACE = re.compile(r"(?P<path>.+)/turn-(?P<turn>\d+)")
_ENTRY = re.compile(r"(?:(?P<path>.+)/)?(?:entry-)?(?P<number>\d+)")

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different in a fork, besides the team."""

    drop: tuple[str, ...] = ()
    """Entries of the forked agent's window to leave out: `5` or `lead/entry-5`."""
    edit: Mapping[str, str] = field(default_factory=dict[str, str])
    """New texts of entries, by entry."""
    results: Mapping[str, str] = field(default_factory=dict[str, str])
    """New results of recorded tool calls, by call key."""
    brief: str | None = None
    """What the forked agent is told instead of its brief, or of the task if it is the entry agent."""
    reuse_tools: bool = False
    """Whether a later tool call that equals a recorded one is answered from the record."""

    def described(self) -> tuple[str, ...]:
        """Return the changes as they would be written on the command line."""
        return (
            *(f"--drop {entry}" for entry in self.drop),
            *(f"--edit {entry}=…" for entry in self.edit),
            *(f"--result {key}=…" for key in self.results),
            *(("--brief …",) if self.brief is not None else ()),
            *(("--reuse-tools",) if self.reuse_tools else ()),
        )


@dataclass(frozen=True, slots=True)
class Fork:
    """How a fork begins."""

    past: Past
    task: Message
    ancestry: Ancestry
    entry: str
    earlier: tuple[Message, ...] = ()


def plan_fork(
    recorded: Sequence[Recorded],
    at: str,
    changes: Changes,
    *,
    count: CountTokens,
    settings: Sequence[str] = (),
) -> Fork:
    """Return how a run forks off the one of which `recorded` is everything, before the turn `at`.

    All that did not come of that turn is taken from the record, agents that worked beside it included.

    Args:
        at: `PATH/turn-N`.
        settings: Changes of the team, for the record.

    Raises:
        UsageError: There is no such turn, entry or call.
    """
    started = recorded[0].event
    assert isinstance(started, RunStarted)
    counted = list(effective(recorded))
    causality = Causality(counted)
    began = _find_turn(counted, at)
    assert isinstance(began.event, TurnStarted)
    path, turn = began.event.agent, began.event.turn
    seed = _first_for(counted, began)
    gone = {*causality.stop(), *causality.consequences(seed)}
    kept = [
        _with_result(item, changes.results)
        for item in counted
        if item.sequence not in gone and not isinstance(item.event, RunFinished | RunResumed)
    ]
    _check_results(kept, changes.results)
    state = fold(kept)
    briefs = {path: changes.brief} if changes.brief is not None and path != started.entry else {}
    past = Past(
        kept,
        check="nothing",
        edits=[(turn, event) for event in _window_changes(state, path, changes, count)],
        briefs=briefs,
        reuse=counted if changes.reuse_tools else (),
    )
    is_other_task = changes.brief is not None and path == started.entry
    return Fork(
        past,
        user(changes.brief or "") if is_other_task else started.task,
        Ancestry(
            run_id=recorded[0].run_id,
            at=at,
            changes=(*settings, *changes.described()),
            usage=state.usage,
            cost=None if state.unpriced else state.cost,
            briefs=past.briefs,
        ),
        started.entry,
        started.earlier,
    )


def _find_turn(counted: Sequence[Recorded], at: str) -> Recorded:
    match = _PLACE.fullmatch(at)
    if match is None:
        raise UsageError(f"{at!r} is no turn: write it as in lead/turn-3 or lead/scout-1/turn-2")
    path, turn = match["path"], int(match["turn"])
    turns: dict[str, int] = {}
    for item in counted:
        if isinstance(item.event, TurnStarted):
            if (item.event.agent, item.event.turn) == (path, turn):
                return item
            turns[item.event.agent] = item.event.turn
    listed = "\n".join(f"  {agent}/turn-1 … turn-{last}" for agent, last in list(turns.items())[:12])
    raise UsageError(f"this run has no turn {at}; its turns are:\n{listed}")


def _first_for(counted: Sequence[Recorded], began: Recorded) -> Recorded:
    """Return the first event that came of a turn: the fork makes room for it in its own way."""
    assert isinstance(began.event, TurnStarted)
    place = began.event.agent, began.event.turn
    for item in counted:
        event = item.event
        if (
            isinstance(event, WindowCompacted | SummaryStarted | SummaryFinished)
            and (event.agent, event.turn) == place
        ):
            return item
    return began


def _with_result(item: Recorded, results: Mapping[str, str]) -> Recorded:
    event = item.event
    if isinstance(event, ToolCallFinished) and event.key in results:
        text = results[event.key]
        return replace(item, event=replace(event, shown=text, whole=None, is_error=False, error_type=""))
    return item


def _check_results(kept: Sequence[Recorded], results: Mapping[str, str]) -> None:
    known = [
        item.event.key for item in kept if isinstance(item.event, ToolCallFinished) and item.event.external
    ]
    for key in results:
        if key not in known:
            listed = "\n".join(f"  {name}" for name in known[-12:]) or "  none"
            raise UsageError(
                f"no recorded tool call before the fork has the key {key!r}; the last are:\n{listed}"
            )


def _window_changes(state: RunState, path: str, changes: Changes, count: CountTokens) -> list[EntryReplaced]:
    if path not in state.agents:
        return []
    window = state.agents[path].window
    messages: dict[int, Message | None] = {}
    for reference in changes.drop:
        _drop(window, _find_entry(window, path, reference), messages)
    for reference, text in changes.edit.items():
        entry = _find_entry(window, path, reference)
        messages[entry.number] = _with_text(entry.message, text)
    return [
        EntryReplaced(
            agent=path,
            entry=number,
            message=message,
            tokens=message_tokens(message, count) if message else 0,
            reason="fork",
        )
        for number, message in sorted(messages.items())
    ]


def _find_entry(window: Window, path: str, reference: str) -> Entry:
    match = _ENTRY.fullmatch(reference)
    if match is not None and match["path"] in (None, path):
        for entry in window.entries:
            if entry.number == int(match["number"]):
                return entry
    listed = "\n".join(f"  {entry.number}  {entry.origin}" for entry in window.entries)
    raise UsageError(f"the window of {path} has no entry {reference!r} before this turn; it holds:\n{listed}")


def _drop(window: Window, entry: Entry, messages: dict[int, Message | None]) -> None:
    """Drop an entry; calls and their results go together, as no model API takes one without the other."""
    messages[entry.number] = None
    asked = {call.id for call in entry.message.tool_calls}
    answered = {part.call_id for part in entry.message.parts if isinstance(part, ToolResult)}
    for other in window.entries:
        results = {part.call_id for part in other.message.parts if isinstance(part, ToolResult)}
        if results & asked and other.number > entry.number:
            messages[other.number] = None
        calls = {call.id for call in other.message.tool_calls}
        if calls & answered and other.number < entry.number:
            current = messages.get(other.number, other.message)
            if current is not None:
                parts = tuple(p for p in current.parts if not (isinstance(p, ToolCall) and p.id in answered))
                messages[other.number] = Message(current.role, parts) if parts else None


def _with_text(message: Message, text: str) -> Message:
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    if results:
        return Message(message.role, (replace(results[0], text=text),))
    others = tuple(part for part in message.parts if not isinstance(part, Text))
    return Message(message.role, (Text(text), *others))

"""A window while room is made in it: strategies change the draft, and what they changed becomes one event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from harness.context.identifiers import identifiers_in, kind_of
from harness.context.window import Entry
from harness.events import CompactionReason, EffectClass, EntryChange, WindowCompacted
from harness.messages import Message, ToolCall, ToolResult

PINNED = frozenset({"system", "session", "task", "brief"})
"""Origins of what an agent was given; it is never taken from it."""

MOST_LOST = 40
"""Lost identifiers that an event names."""

_WORTH_IT = 0.8
"""A replacement must be smaller than this share of what it replaces: each costs a handle and a sentence."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A reply and all that came of it; such a turn leaves a window as a whole, or stays."""

    number: int
    entries: tuple[Entry, ...]


class Draft:
    """The entries of a window, to be changed until they fit.

    Args:
        goal: Tokens the entries should have at most in the end.
        count: Counts the tokens that a message has at the place of an entry.
        effects: Effect classes of tools by name.
        left: How often each tool was called in turns that have left the window before.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        goal: int,
        count: Callable[[int, Message], int],
        effects: Mapping[str, EffectClass],
        left: Mapping[str, int],
    ) -> None:
        self.entries = {entry.number: entry for entry in entries}
        """In order, by number."""
        self.effects = effects
        self.left = left
        self.goal = goal
        self.tokens = sum(entry.tokens for entry in entries)
        self._before = tuple(entries)
        self._count = count
        self._changes: dict[int, EntryChange] = {}
        self._newest = _newest_turn(entries)
        self.pinned = _pinned(entries, self._newest)
        """Numbers of the entries that no strategy touches."""

    @property
    def is_small_enough(self) -> bool:
        """Whether nothing more needs to go."""
        return self.tokens <= self.goal

    @cached_property
    def calls(self) -> dict[str, ToolCall]:
        """The tool calls of the window by the key of the call."""
        found: dict[str, ToolCall] = {}
        asked: dict[str, ToolCall] = {}
        for entry in self._before:
            if entry.message.role == "assistant":
                asked = {call.id: call for call in entry.message.tool_calls}
            for part in entry.message.parts:
                if isinstance(part, ToolResult) and part.call_id in asked:
                    found[entry.call] = asked[part.call_id]
        return found

    def results(self) -> list[Entry]:
        """Return the results of tools that may be changed, the oldest first; reports are not among them."""
        return [entry for entry in self._free() if entry.origin.startswith("tool:") and entry.call]

    def reports(self) -> list[Entry]:
        """Return the reports of sub-agents that may be changed, the oldest first."""
        return [entry for entry in self._free() if entry.origin.startswith("report:") and entry.call]

    def newest_results(self) -> list[Entry]:
        """Return the results that the model has not seen yet."""
        return [
            entry
            for number, entry in self.entries.items()
            if number in self._newest and entry.message.role == "tool"
        ]

    def turns(self) -> list[Turn]:
        """Return the turns that may leave, the oldest first; an earlier summary counts as one."""
        grouped: list[list[Entry]] = []
        for entry in self.entries.values():
            if entry.origin in ("assistant", "summary"):
                grouped.append([entry])
            elif grouped and entry.origin not in PINNED:
                grouped[-1].append(entry)
        return [
            Turn(group[0].turn, tuple(group))
            for group in grouped
            if self.pinned.isdisjoint(entry.number for entry in group)
        ]

    def only_in(self, entries: Sequence[Entry]) -> list[str]:
        """Return the identifiers that would stand nowhere if these entries were gone, the most needed first.

        What the agent has used itself comes before what it has only read, the newest before the oldest.
        """
        here: Counter[str] = Counter()
        last: dict[str, int] = {}
        used: set[str] = set()
        for entry in entries:
            names = identifiers_in(entry.message)
            here.update(names)
            last.update(dict.fromkeys(names, entry.number))
            if entry.message.role == "assistant":
                used |= names
        alone = [name for name, times in here.items() if self._standing[name] <= times]
        return sorted(alone, key=lambda name: (name not in used, kind_of(name), -last[name], name))

    def shorten(self, entry: Entry, text: str, strategy: str) -> bool:
        """Put a shorter text in the place of a tool's result; leave it where that saves too little."""
        result = entry.message.parts[0]
        assert isinstance(result, ToolResult)
        message = Message("tool", (replace(result, text=text, images=()),))
        if self._count(entry.number, message) > _WORTH_IT * entry.tokens:
            return False
        self._put(entry, message, strategy)
        return True

    def size_at(self, entry: Entry, message: Message) -> int:
        """Return the tokens that a message would have in the place of an entry."""
        return self._count(entry.number, message)

    def fold(self, turns: Sequence[Turn], message: Message, strategy: str) -> None:
        """Take whole turns out, and put one message in the place of the first of them."""
        first, *others = [entry for turn in turns for entry in turn.entries]
        for entry in others:
            self._put(entry, None, strategy)
        self._put(first, message, strategy, origin="summary")

    def event(
        self, *, agent: str, turn: int, reason: CompactionReason, limit: int, definitions: int
    ) -> WindowCompacted:
        """Return what was changed, to be recorded.

        Args:
            definitions: Tokens of the tool definitions, which every request begins with.
        """
        changes = tuple(self._changes[number] for number in sorted(self._changes))
        first = changes[0].entry if changes else None
        prefix = sum(entry.tokens for entry in self._before if first is None or entry.number < first)
        lost = self._lost() if changes else []
        return WindowCompacted(
            agent=agent,
            turn=turn,
            reason=reason,
            limit=limit,
            strategies=tuple(dict.fromkeys(change.strategy for change in self._changes.values())),
            changes=changes,
            before=definitions + sum(entry.tokens for entry in self._before),
            after=definitions + self.tokens,
            first_changed=first,
            prefix_tokens=definitions + prefix,
            lost=tuple(lost[:MOST_LOST]),
            lost_count=len(lost),
        )

    @cached_property
    def _standing(self) -> Counter[str]:
        """In how many entries each identifier stands."""
        standing: Counter[str] = Counter()
        for entry in self.entries.values():
            standing.update(identifiers_in(entry.message))
        return standing

    def _lost(self) -> list[str]:
        gone: set[str] = set()
        for entry in self._before:
            if entry.number in self._changes:
                gone |= identifiers_in(entry.message)
        return sorted(name for name in gone if self._standing[name] <= 0)

    def _free(self) -> list[Entry]:
        return [entry for number, entry in self.entries.items() if number not in self.pinned]

    def _put(self, entry: Entry, message: Message | None, strategy: str, *, origin: str = "") -> None:
        standing = self._standing
        tokens = 0 if message is None else self._count(entry.number, message)
        standing.subtract(identifiers_in(entry.message))
        if message is None:
            del self.entries[entry.number]
        else:
            standing.update(identifiers_in(message))
            self.entries[entry.number] = replace(
                entry, message=message, tokens=tokens, origin=origin or entry.origin
            )
        self.tokens += tokens - entry.tokens
        self._changes.pop(entry.number, None)
        self._changes[entry.number] = EntryChange(
            entry=entry.number, strategy=strategy, message=message, tokens=tokens, origin=origin
        )


def _newest_turn(entries: Sequence[Entry]) -> frozenset[int]:
    """Return the numbers of the last reply and of all that follows it."""
    numbers: list[int] = []
    for entry in reversed(entries):
        numbers.append(entry.number)
        if entry.origin == "assistant":
            return frozenset(numbers)
    return frozenset(numbers)


def _pinned(entries: Sequence[Entry], newest: frozenset[int]) -> frozenset[int]:
    numbers = {entry.number for entry in entries if entry.origin in PINNED} | newest
    plan = next((entry for entry in reversed(entries) if _is_of_plan(entry)), None)
    if plan is not None:
        numbers.add(plan.number)
        asked = (e.number for e in entries if e.turn == plan.turn and e.origin == "assistant")
        numbers.update(asked)
    return frozenset(numbers)


def _is_of_plan(entry: Entry) -> bool:
    return entry.origin.startswith("report:") and entry.origin.endswith("/*")

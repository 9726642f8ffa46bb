"""What makes room in a context window: compactions, and the model calls that sum up what leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.messages import Message, Usage

CompactionReason = Literal["threshold", "refused"]
"""Why room was made: the window was fuller than the team file allows, or the provider refused a request as too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryChange:
    """What a compaction makes of one entry."""

    entry: int
    strategy: str
    message: Message | None
    """None if the entry leaves the window."""
    tokens: int
    origin: str = ""
    """Its origin from now on; empty if that stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCompacted:
    """Before a request, entries of a window were replaced or dropped to make room; this breaks the prefix once."""

    CONTENT: ClassVar[tuple[str, ...]] = ("changes",)
    type: Literal["window.compacted"] = "window.compacted"
    agent: str
    turn: int
    """The turn whose request is the first to hold what is left."""
    reason: CompactionReason
    limit: int
    """The most tokens a request may have by our count."""
    strategies: tuple[str, ...]
    """Those that changed something, in order; empty if nothing helped."""
    changes: tuple[EntryChange, ...]
    before: int
    """Our count of the request before, tool definitions included."""
    after: int
    first_changed: int | None
    """The first entry that changed; what stands before it is still what the last request began with."""
    prefix_tokens: int
    """Tokens of the request before that entry, tool definitions included."""
    lost: tuple[str, ...] = ()
    """Identifiers that stand nowhere in the window any more, some of them if they are many."""
    lost_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryStarted:
    """A model is about to be asked to sum up turns that leave a window."""

    type: Literal["summary.started"] = "summary.started"
    agent: str
    turn: int
    """The turn before which room is made."""
    attempt: int
    """Higher if an earlier one was lost with its process."""
    model: str
    provider: str
    turns: tuple[int, ...]
    """The turns that are summed up."""
    input_tokens: int
    """Our count."""
    digest: str
    """Hash of what is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryFinished:
    """The summary arrived, or did not; then the next strategy has to make room."""

    CONTENT: ClassVar[tuple[str, ...]] = ("text",)
    type: Literal["summary.finished"] = "summary.finished"
    agent: str
    turn: int
    attempt: int
    text: str
    """Empty if there is none."""
    usage: Usage
    cost: float | None
    """USD; None where the price is unknown."""
    model: str
    error: str = ""
    error_type: str = ""
    """Name of the error's class, `cancelled`, or `lost` if its process died; then it is charged as it may be paid."""

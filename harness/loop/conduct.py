"""How an agent run conducts itself: what the amount of its thinking is decided from; a fold of its events."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.events import ModelCallFinished, ToolCallFinished, ToolCallStarted
from harness.messages import canonical_arguments


@dataclass(slots=True)
class Conduct:
    """The last turns of an agent run, as far as they say something about the next."""

    think_only_turns: int = 0
    """Replies in a row that called no tool."""
    repeats: int = 0
    """How many turns in a row made exactly the same calls, this one included."""
    replanning: bool = False
    """Whether another plan was asked for, and no call has been made since."""
    wrote: bool = False
    """Whether the last turn's calls changed something and none of them failed."""
    overran: bool = False
    """Whether a reply thought more than its budget allowed."""
    cut_offs: int = 0
    """Replies in a row that were cut off at the length limit."""
    _calls: tuple[tuple[str, str], ...] = ()
    _called_in: int = 0
    _failed_in: int = 0
    _failures: int = 0
    _effects: dict[str, str] = field(default_factory=dict[str, str])
    _results: dict[str, int] = field(default_factory=dict[str, int])
    """Hashes of what the calls of this turn came to, by call key without the turn."""
    _not_run: int = 0
    """How many of them could not be run as they were written."""
    _before: tuple[tuple[tuple[str, str], ...], dict[str, int]] = ((), {})
    """The calls of the turn before, and what they came to."""
    _same_before: int = 0
    """How many turns in a row up to that one were the same."""
    _broken_before: int = 0
    """How many turns in a row up to that one made only calls that could not be run."""

    @property
    def loops(self) -> int:
        """How many turns in a row made the same calls with the same results, this one included."""
        if not self._results:
            return 0
        return 1 + (self._same_before if (self._calls, self._results) == self._before else 0)

    @property
    def broken_turns(self) -> int:
        """How many turns in a row made only calls that could not be run as they were written."""
        broken = self._not_run > 0 and self._not_run == len(self._calls)
        return 1 + self._broken_before if broken else 0

    def replied(self, event: ModelCallFinished) -> None:
        """Take a reply into account."""
        if event.message is None:
            return
        self._same_before, self._broken_before = self.loops, self.broken_turns
        self._before, self._results, self._not_run = (self._calls, self._results), {}, 0
        self.cut_offs = self.cut_offs + 1 if event.stop_reason == "length" else 0
        calls = tuple((call.name, canonical_arguments(call.arguments)) for call in event.message.tool_calls)
        self.think_only_turns = 0 if calls else self.think_only_turns + 1
        self.repeats = self.repeats + 1 if calls and calls == self._calls else int(bool(calls))
        if not calls:
            return
        self._calls = calls
        self.replanning = self.wrote = False
        if not self.failing_turns:
            self._failures = 0
        self._called_in = event.turn
        self._effects.clear()

    @property
    def failing_turns(self) -> int:
        """Turns in a row in which a call failed; turns without calls do not count."""
        return self._failures if self._failed_in == self._called_in else 0

    def began(self, event: ToolCallStarted) -> None:
        """Take a call into account that is about to run."""
        self._effects[event.key] = event.effect

    def ended(self, event: ToolCallFinished) -> None:
        """Take the result of a call into account; the same in whatever order the calls of a turn end."""
        effect = self._effects.pop(event.key, "read")
        self._results[event.key.rpartition("/")[2]] = hash(event.shown)
        self._not_run += event.error_type in ("arguments", "unknown_tool")
        if event.is_error:
            if self._failed_in != event.turn:
                self._failures += 1
            self._failed_in = event.turn
        self.wrote = self._failed_in != event.turn and (self.wrote or (event.external and effect != "read"))

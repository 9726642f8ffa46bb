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
    failing_turns: int = 0
    """Turns in a row in which a call failed."""
    wrote: bool = False
    """Whether the last turn's calls changed something and none of them failed."""
    overran: bool = False
    """Whether a reply thought more than its budget allowed."""
    _calls: tuple[tuple[str, str], ...] = ()
    _failed_in: int = 0
    _effects: dict[str, str] = field(default_factory=dict[str, str])

    def replied(self, event: ModelCallFinished) -> None:
        """Take a reply into account."""
        if event.message is None:
            return
        calls = tuple((call.name, canonical_arguments(call.arguments)) for call in event.message.tool_calls)
        self.think_only_turns = 0 if calls else self.think_only_turns + 1
        self.repeats = self.repeats + 1 if calls and calls == self._calls else int(bool(calls))
        self._calls = calls
        if self._failed_in != event.turn - 1:
            self.failing_turns = 0
        self.wrote = False
        self._effects.clear()

    def began(self, event: ToolCallStarted) -> None:
        """Take a call into account that is about to run."""
        self._effects[event.key] = event.effect

    def ended(self, event: ToolCallFinished) -> None:
        """Take the result of a call into account; the same in whatever order the calls of a turn end."""
        effect = self._effects.pop(event.key, "read")
        if event.is_error:
            if self._failed_in != event.turn:
                self.failing_turns += 1
            self._failed_in = event.turn
        self.wrote = self._failed_in != event.turn and (self.wrote or (event.external and effect != "read"))

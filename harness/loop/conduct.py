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
    _calls: tuple[tuple[str, str], ...] = ()
    _called_in: int = 0
    _failed_in: int = 0
    _failures: int = 0
    _effects: dict[str, str] = field(default_factory=dict[str, str])

    def replied(self, event: ModelCallFinished) -> None:
        """Take a reply into account."""
        if event.message is None:
            return
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
        if event.is_error:
            if self._failed_in != event.turn:
                self._failures += 1
            self._failed_in = event.turn
        self.wrote = self._failed_in != event.turn and (self.wrote or (event.external and effect != "read"))

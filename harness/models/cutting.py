"""Ending a model's thinking at its budget, where the endpoint would go on.

The adapter reads the reply as it streams, counts the thinking, and leaves at the budget. What was thought is not
lost where the server can go on with a reply that has begun: it gets it back with a sentence that ends the thinking
(Qwen3 technical report, section 4.3). Elsewhere the model is asked again, without thinking or for a tool call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.messages import Reasoning, ThinkingCut, Usage
from harness.models.replies import CallDraft, Reply
from harness.models.thinking import EARLY_STOP, Thinking, ThinkingPlan, ThinkingUnsupported
from harness.models.tokens import TokenCounter

GRACE = 10
"""A budget may be passed by one part in so many before that is an overrun."""

FORCED = EARLY_STOP.partition("\n</think>")[0]
"""What a reader of the reply sees of it."""

_END = EARLY_STOP.removeprefix(FORCED)


def ceiling(budget: int) -> int:
    """Return the most tokens of thinking that count as within a budget."""
    return budget + budget // GRACE


def guarded(budget: int) -> int:
    """Return where a cap of the endpoint's own has not held: half way to the ceiling, so that there is a rest."""
    return budget + budget // (2 * GRACE)


def held(thinking: Thinking, plan: Callable[[Thinking], ThinkingPlan]) -> ThinkingPlan:
    """Return the plan of an endpoint whose thinking can be seen as it streams, so that a budget always holds.

    Where the endpoint has a cap of its own, the harness steps in only once that did not hold.

    Raises:
        ThinkingUnsupported: Something else of it cannot be expressed.
    """
    budget = thinking.budget
    if budget is None:
        return plan(thinking)
    if thinking.mode == "off":
        return replace(plan(replace(thinking, budget=None)), cut_at=guarded(budget))
    try:
        told = plan(thinking)
    except ThinkingUnsupported:
        told = plan(replace(thinking, budget=None))
    if told.enforcement == "hard":
        reason = f"{told.reason}; where that does not hold, the harness ends it"
        return replace(told, reason=reason, cut_at=guarded(budget))
    return replace(told, enforcement="hard", reason="the harness ends it", cut_at=budget)


class Cut(Exception):  # noqa: N818 - a way out of reading, not an error
    """The thinking of a reply has come to where it is to be ended."""

    def __init__(self, thought: Thought) -> None:
        self.thought = thought


class Thought:
    """The thinking of one reply as it arrives, counted.

    Counts are of what is new only, and seldom while the end is far.
    """

    def __init__(self, most: int | None, count: TokenCounter) -> None:
        self.pieces: list[str] = []
        self._most = most
        self._count = count
        self._counted = 0
        self._uncounted: list[str] = []
        self._waiting = 0

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """Its size so far."""
        if self._uncounted:
            self._counted += self._count("".join(self._uncounted))
            self._uncounted.clear()
            self._waiting = 0
        return self._counted

    def take(self, piece: str) -> None:
        """Add a piece; the white space of an empty block of thinking is none.

        Raises:
            Cut: It is enough.
        """
        if self._most is None or (not self.pieces and not piece.strip()):
            return
        self.pieces.append(piece)
        self._uncounted.append(piece)
        self._waiting += len(piece)
        # A token has hardly ever less than one character.
        if self._counted + self._waiting >= self._most and self.tokens >= self._most:
            raise Cut(self)

    def take_whole(self, reply: Reply) -> None:
        """Count the thinking of a reply that came at once.

        Raises:
            Cut: It is too much, and there is nothing else in the reply.
        """
        if all(isinstance(part, Reasoning) for part in reply.parts):
            for part in reply.parts:
                if isinstance(part, Reasoning):
                    self.take(part.text)


@dataclass(frozen=True, slots=True)
class Continuation:
    """A request that goes on with a reply that has begun."""

    message: Mapping[str, Any]
    """The beginning of the reply, as the last message of the request."""
    fields: Mapping[str, Any]
    """What tells the server to go on with it."""


def beginning(thought: str) -> str:
    """Return the beginning of a reply that has thought and now ends that."""
    return f"<think>\n{thought.strip()}{FORCED}{_END}"


def continued(reply: Reply, cut: ThinkingCut, thought: Reasoning) -> Reply:
    """Return the reply with the thinking that it goes on from."""
    parts = [part for part in reply.parts if not isinstance(part, Reasoning)]
    more = "".join(part.text for part in reply.parts if isinstance(part, Reasoning))
    text = f"{thought.text.strip()}{cut.forced}\n{more}".rstrip()
    return replace(reply, parts=[replace(thought, text=text), *parts])


def spent_before(usage: Usage, tokens: int, requests: int, prefix_tokens: int) -> Usage:
    """Return what the requests that were left cost, from what the one after them did.

    Nobody reports it: their input was that of the last one, less what that one repeats.
    """
    return Usage(
        input_tokens=requests * max(0, usage.input_tokens - prefix_tokens),
        output_tokens=tokens,
        reasoning_tokens=tokens,
        calls=requests,
        estimated=True,
    )


def acts(reply: Reply) -> bool:
    """Whether a reply says or does anything."""
    return any(isinstance(part, CallDraft) or not isinstance(part, Reasoning) for part in reply.parts)

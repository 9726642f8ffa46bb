"""How much an agent was asked to think at each turn, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingDecided:
    """How much thinking the next model call asks for, and how far its endpoint is bound by that."""

    type: Literal["thinking.decided"] = "thinking.decided"
    agent: str
    turn: int
    mode: Literal["off", "on"]
    effort: Literal["minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    budget: int | None = None
    """The most tokens of thinking in the reply."""
    tool_choice: Literal["auto", "required"] = "auto"
    """`required` where a call is demanded, because only thinking has come so far."""
    visible: Literal["hidden", "summary", "full"] = "summary"
    """What a person is shown of it."""
    reason: str = ""
    """Why this much."""
    enforcement: Literal["hard", "soft", "ignored"] = "ignored"
    enforced_by: str = ""
    """Why the endpoint is bound no further, or how it is bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingOverran:
    """A reply held more than a tenth more thinking than its budget; the endpoint counts as `soft` from now on."""

    type: Literal["thinking.overran"] = "thinking.overran"
    agent: str
    turn: int
    budget: int
    tokens: int

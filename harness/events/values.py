"""What events are made of, besides messages: briefs, reports, citations, and the words for how things end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.messages import Usage

FORMAT = 2
"""Version of this vocabulary; a journal says which one it was written in."""

Status = Literal["done", "partial", "failed"]
"""How an agent run ended, as its report says."""

RunStopReason = Literal[
    "done", "failed", "cancelled", "interrupted", "limit", "budget_exhausted", "suspended"
]
"""How a run ended; `suspended` waits for a person, and all but `done` can be resumed."""

QuestionKind = Literal["permission", "in_doubt", "elicitation"]
"""What a person is asked: whether a call may run, whether it did run, or what its server wants to know."""

Decision = Literal["approved", "denied", "expired", "happened", "did_not_happen", "answered", "declined"]
"""What a person, or the passing of time, decided."""

EffectClass = Literal["read", "idempotent", "keyed", "once"]
"""What may happen to a tool call after a crash (DESIGN §8); `once` is the cautious default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A quotation and where it stands."""

    source: str
    locator: str
    quote: str
    claim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A quotation in an answer, found in something the run really read."""

    source: str
    locator: str
    quote: str
    """Exactly as it stands in the source."""
    claim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """All that goes into a sub-agent."""

    objective: str
    expected_output: str = ""
    sources: str = ""
    boundaries: str = ""
    reports: tuple[Mapping[str, Any], ...] = ()
    """Reports of the tasks this one needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that comes back from a sub-agent."""

    status: Status
    answer: str
    evidence: tuple[Evidence, ...] = ()
    artifacts: tuple[str, ...] = ()
    data: Any = None
    """The part that the agent's report schema describes."""
    usage: Usage = Usage()
    stop_reason: str = "done"
    """`done`, or what ended it: a limit, `failed`, `cancelled`."""
    shortened: bool = False
    """True if it was cut to the cap in tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """One task of a plan."""

    id: str
    agent: str
    brief: Brief
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestry:
    """Where a fork comes from."""

    run_id: str
    at: str
    """The first turn that was not taken from there, `PATH/turn-N`."""
    changes: tuple[str, ...] = ()
    """What was changed, as it would be written on the command line."""
    usage: Usage = Usage()
    """What was taken over with the record, and not paid again."""
    cost: float | None = 0.0
    briefs: Mapping[str, str] = field(default_factory=dict[str, str])
    """What sub-agents were told instead of their objectives, by path, here or by a fork this one forks."""

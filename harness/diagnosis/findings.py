"""What the doctor says: findings, each with its place, its proof, its price and its remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

Severity = Literal["info", "warning", "error"]
"""`error`: it led to a wrong action, or broke a contract. `warning`: it cost something worth mending.
`info`: worth knowing."""

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")

Family = Literal["context", "order", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The place of a finding; everything that takes part in it, the culprit first."""

    agent: str
    """Path of the agent run."""
    turns: tuple[int, ...] = ()
    calls: tuple[str, ...] = ()
    """Keys of tool calls."""
    entries: tuple[str, ...] = ()
    """Ids of window entries, `PATH#N`."""
    spans: tuple[str, ...] = ()
    """Ids of spans as the trace shows them; filled in from the calls and turns where they are known."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A piece of the record, word for word."""

    where: str
    """Id of an entry, key of a call, or id of a turn."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What it cost; None where that cannot be measured."""

    tokens: int | None = None
    """Token-turns: tokens, as often as they were sent."""
    usd: float | None = None
    seconds: float | None = None
    turns: int | None = None
    action: str = ""
    """The wrong action it led to."""
    entries: tuple[tuple[str, int], ...] = ()
    """Ids of the entries it is the price of sending, each with the first turn whose request needed it no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What to change."""

    text: str
    patch: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Changes of the team file, from path (`agents.lead.context.strategies`) to value; as for `--set`."""


@dataclass(frozen=True)
class Finding:
    """One thing that went wrong, or cost more than it had to."""

    detector: str
    severity: Severity
    what: str
    """One sentence that names the thing, with its numbers."""
    where: Where
    evidence: tuple[Quote, ...] = ()
    price: Price = Price()
    confidence: float = 1.0
    """How sure, 0 to 1."""
    remedy: Remedy | None = None
    subject: str = ""
    """What it is about, in words that are the same in another run of the same team: a tool, a resource."""

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same finding in another run; what a baseline holds."""
        agent = "/".join(part.rstrip("0123456789").rstrip("-") for part in self.where.agent.split("/"))
        text = "\0".join((self.detector, agent, self.subject))
        return blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class NotMeasurable:
    """A detector that could not look, or not at everything."""

    detector: str
    lacks: tuple[str, ...] = ()
    """What the source does not carry."""
    why: str = ""
    """In a sentence, where it is not for what the source lacks."""

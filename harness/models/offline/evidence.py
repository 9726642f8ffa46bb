"""Evidence and the reports that carry it between agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.models.offline.conversation import mapping, sequence, string


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verbatim quote and where it stands."""

    source: str
    locator: str
    quote: str
    claim: str = ""
    """The quote as a readable sentence; empty if nobody wrote one."""

    @property
    def place(self) -> tuple[str, str, str]:
        """Identify the quote whoever reports it."""
        return self.source, self.locator, " ".join(self.quote.split())

    def as_json(self) -> dict[str, str]:
        """Return it as a report carries it."""
        found = {"source": self.source, "locator": self.locator, "quote": self.quote}
        return {**found, "claim": self.claim} if self.claim else found

    def as_citation(self) -> dict[str, str]:
        """Return it as an answer cites it."""
        return {"source": self.source, "locator": self.locator, "quote": self.quote}


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What one sub-agent reported on one task."""

    id: str
    agent: str
    status: str
    answer: str
    evidence: tuple[Evidence, ...]


def read_evidence(value: Any) -> Evidence | None:
    """Return the evidence in a JSON value, or None if it quotes nothing."""
    found = mapping(value)
    quote = string(found.get("quote"))
    if not quote.strip():
        return None
    return Evidence(
        string(found.get("source")), string(found.get("locator")), quote, string(found.get("claim"))
    )


def read_report(value: Any) -> TaskReport:
    """Return the report in a JSON value; what is missing is empty."""
    found = mapping(value)
    evidence = (read_evidence(entry) for entry in sequence(found.get("evidence")))
    answer = found.get("answer")
    return TaskReport(
        id=string(found.get("id")),
        agent=string(found.get("agent")),
        status=string(found.get("status")),
        answer=string(answer),
        evidence=tuple(entry for entry in evidence if entry is not None),
    )

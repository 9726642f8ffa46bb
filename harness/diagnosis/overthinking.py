"""Whether agents thought where they should have acted, or acted before they could know: three counters.

Those of arXiv 2502.08235, which found that agents with more of each solve less: paralysis, rogue actions, and
disengagement without having looked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.diagnosis.findings import Finding
from harness.record import AgentRecord, RunRecord


@dataclass(frozen=True, slots=True)
class Overthinking:
    """The counters of one agent run."""

    think_only_turns: int
    """Replies that called no tool, other than the last."""
    rogue_calls: int
    """Calls that needed what only a call beside or after them brought."""
    done_without_evidence: bool
    """Whether it was done without any call that succeeded, although it had tools."""


def overthinking(record: RunRecord, findings: Iterable[Finding]) -> dict[str, Overthinking]:
    """Return the counters of every agent run, by its path."""
    rogue = [finding.where for finding in findings if finding.detector == "used-before-available"]
    return {
        path: Overthinking(
            think_only_turns=sum(bool(turn.reply) and not turn.calls for turn in agent.turns[:-1]),
            rogue_calls=len({where.calls[0] for where in rogue if where.agent == path}),
            done_without_evidence=_looked_at_nothing(agent),
        )
        for path, agent in record.agents.items()
    }


def _looked_at_nothing(agent: AgentRecord) -> bool:
    return agent.status == "done" and bool(agent.tools) and all(call.is_error for call in agent.calls())

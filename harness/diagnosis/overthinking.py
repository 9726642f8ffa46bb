"""Whether agents thought where they should have acted, or acted before they could know: three counters.

After the patterns of arXiv 2502.08235: paralysis, rogue actions, and disengagement without having looked. What a
source does not carry is None, never zero.
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
    rogue_calls: int | None
    """Calls that needed what only a call beside or after them brought."""
    done_without_evidence: bool | None
    """Whether it was done without any call that succeeded, although it had tools."""


ROGUE = "used-before-available"
"""The detector that finds rogue calls."""


def overthinking(
    record: RunRecord, findings: Iterable[Finding], *, looked: bool = True
) -> dict[str, Overthinking]:
    """Return the counters of every agent run, by its path.

    Args:
        looked: Whether rogue calls were looked for.
    """
    rogue = [finding.where for finding in findings if finding.detector == ROGUE]
    return {
        path: Overthinking(
            think_only_turns=sum(bool(turn.reply) and not turn.calls for turn in agent.turns[:-1]),
            rogue_calls=len({where.calls[0] for where in rogue if where.agent == path}) if looked else None,
            done_without_evidence=_looked_at_nothing(agent),
        )
        for path, agent in record.agents.items()
    }


def _looked_at_nothing(agent: AgentRecord) -> bool | None:
    if any(not call.is_error for call in agent.calls()):
        return False
    if not agent.status or agent.tools is None:
        return None
    return agent.status == "done" and bool(agent.tools)

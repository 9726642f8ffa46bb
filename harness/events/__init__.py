"""Everything that happens in a run, one frozen class per event.

The journal is the list of these, in order; windows, budgets, plans, traces, findings and progress
are folds over it. Events are past tense. `agent` is the path of an agent run, for instance
`lead/researcher-2`. Fields named in a class's `CONTENT` are stored once, by hash.

Plain dataclasses, not pydantic models: they are written thousands of times a second, and read back
through `harness.journal.codec`.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.events.agents import (
    AgentRunFinished,
    AgentRunStarted,
    CitationsVerified,
    DeliverableRejected,
    EntryAppended,
    EntryReplaced,
    LimitWasReached,
    TurnFinished,
    TurnStarted,
)
from harness.events.calls import (
    ApprovalDecided,
    ApprovalRequested,
    ModelCallFinished,
    ModelCallLost,
    ModelCallRetried,
    ModelCallStarted,
    ModelCallWaited,
    ModelFellBack,
    ToolCallFinished,
    ToolCallStarted,
)
from harness.events.plans import PlanCreated, PlanExecuted, PlanTaskFinished, PlanTaskStarted, ReplanRequested
from harness.events.runs import RunFinished, RunResumed, RunStarted, ToolServerFailed, ToolServerStarted
from harness.events.thinking import ThinkingDecided, ThinkingOverran
from harness.events.values import (
    FORMAT,
    Ancestry,
    Brief,
    Citation,
    Decision,
    EffectClass,
    Evidence,
    PlannedTask,
    QuestionKind,
    Report,
    RunStopReason,
    Status,
)
from harness.events.windows import (
    CompactionReason,
    EntryChange,
    SummaryFinished,
    SummaryStarted,
    WindowCompacted,
)

Event = (
    RunStarted
    | RunResumed
    | RunFinished
    | AgentRunStarted
    | AgentRunFinished
    | EntryAppended
    | EntryReplaced
    | WindowCompacted
    | SummaryStarted
    | SummaryFinished
    | TurnStarted
    | TurnFinished
    | ThinkingDecided
    | ThinkingOverran
    | ModelCallStarted
    | ModelCallRetried
    | ModelCallWaited
    | ModelCallFinished
    | ModelCallLost
    | ModelFellBack
    | ApprovalRequested
    | ApprovalDecided
    | ToolCallStarted
    | ToolCallFinished
    | ToolServerStarted
    | ToolServerFailed
    | PlanCreated
    | PlanTaskStarted
    | PlanTaskFinished
    | PlanExecuted
    | ReplanRequested
    | DeliverableRejected
    | CitationsVerified
    | LimitWasReached
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event at its place in the journal."""

    run_id: str
    sequence: int
    """From 0, without gaps within a run."""
    at: float
    """Seconds since 1970, UTC; for display and traces, never for decisions."""
    event: Event


__all__ = [
    "ThinkingDecided",
    "ThinkingOverran",
    "WindowCompacted",
    "SummaryStarted",
    "SummaryFinished",
    "EntryChange",
    "CompactionReason",
    "AgentRunFinished",
    "AgentRunStarted",
    "Ancestry",
    "ApprovalDecided",
    "ApprovalRequested",
    "Brief",
    "Citation",
    "CitationsVerified",
    "Decision",
    "DeliverableRejected",
    "EffectClass",
    "EntryAppended",
    "EntryReplaced",
    "Event",
    "Evidence",
    "FORMAT",
    "LimitWasReached",
    "ModelCallFinished",
    "ModelCallLost",
    "ModelCallRetried",
    "ModelCallWaited",
    "ModelCallStarted",
    "ModelFellBack",
    "PlanCreated",
    "PlanExecuted",
    "PlanTaskFinished",
    "PlanTaskStarted",
    "PlannedTask",
    "QuestionKind",
    "Recorded",
    "ReplanRequested",
    "Report",
    "RunFinished",
    "RunResumed",
    "RunStarted",
    "RunStopReason",
    "Status",
    "ToolCallFinished",
    "ToolCallStarted",
    "ToolServerFailed",
    "ToolServerStarted",
    "TurnFinished",
    "TurnStarted",
]

"""What of a run is worth telling while it goes on, in a few words."""

from __future__ import annotations

from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    ApprovalRequested,
    Event,
    LimitWasReached,
    PlanCreated,
    ToolCallStarted,
    ToolServerFailed,
    TurnStarted,
)


def progress_line(event: Event) -> str:
    """Return a line about an event, or nothing."""
    match event:
        case AgentRunStarted(agent=agent):
            return f"{agent} begins"
        case TurnStarted(agent=agent, turn=turn):
            return f"{agent}: turn {turn}"
        case ToolCallStarted(agent=agent, tool=tool):
            return f"{agent}: {tool}"
        case PlanCreated(agent=agent, tasks=tasks):
            return f"{agent}: a plan of {', '.join(task.id for task in tasks)}"
        case ApprovalRequested(agent=agent, tool=tool):
            return f"{agent}: {tool} waits for a person"
        case LimitWasReached(agent=agent, limit=limit, scope=scope):
            return f"{agent}: the {limit} limit of {scope} is reached"
        case ToolServerFailed(server=server):
            return f"server {server} failed"
        case AgentRunFinished(agent=agent, report=report):
            return f"{agent}: {report.status}"
        case _:
            return ""

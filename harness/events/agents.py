"""What happens in one agent run: its window, its turns, what it hands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from harness.events.values import Brief, EffectClass, Report
from harness.messages import Message, ToolDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRunStarted:
    """An agent began with an empty window."""

    CONTENT: ClassVar[tuple[str, ...]] = ("brief", "tools")
    type: Literal["agent_run.started"] = "agent_run.started"
    agent: str
    name: str
    description: str
    model: str
    provider: str
    tools: tuple[ToolDefinition, ...]
    brief: Brief | None
    """None for the entry agent, which receives the task itself."""
    depth: int
    parent_call: str = ""
    """Key of the tool call that asked for it."""
    task_id: str = ""
    """Id of the plan's task, if a plan asked for it."""
    effects: Mapping[str, EffectClass] = field(default_factory=dict[str, EffectClass])
    """Effect class of every tool that is not the harness's own, by name."""
    context_window: int | None = None
    """Tokens the model can take, if known."""
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What is the same in every request, for traces: `harness.models.port.settings_of` of its model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRunFinished:
    """An agent ended and its report is final."""

    CONTENT: ClassVar[tuple[str, ...]] = ("report",)
    type: Literal["agent_run.finished"] = "agent_run.finished"
    agent: str
    report: Report
    turns: int
    report_tokens: int = 0
    """Our count of what goes back to the parent."""
    error: str = ""
    error_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryAppended:
    """An agent's window grew by one entry."""

    CONTENT: ClassVar[tuple[str, ...]] = ("message",)
    type: Literal["entry.appended"] = "entry.appended"
    agent: str
    entry: int
    """Position in the window, from 0."""
    origin: str
    """`system`, `session`, `task`, `brief`, `assistant`, `nudge`, `tool:NAME` or `report:PATH`."""
    message: Message
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryReplaced:
    """An entry of an agent's window was changed or dropped; later requests hold what stands here."""

    CONTENT: ClassVar[tuple[str, ...]] = ("message",)
    type: Literal["entry.replaced"] = "entry.replaced"
    agent: str
    entry: int
    message: Message | None
    """None if the entry was dropped."""
    tokens: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """An agent is about to ask its model."""

    type: Literal["turn.started"] = "turn.started"
    agent: str
    turn: int
    """From 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished:
    """A response and all tool calls it caused are in the window."""

    type: Literal["turn.finished"] = "turn.finished"
    agent: str
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverableRejected:
    """A report or an answer broke its contract and went back to the model."""

    type: Literal["deliverable.rejected"] = "deliverable.rejected"
    agent: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CitationsVerified:
    """The claims of an answer were checked against what the run had read."""

    CONTENT: ClassVar[tuple[str, ...]] = ("dropped",)
    type: Literal["citations.verified"] = "citations.verified"
    agent: str
    kept: int
    dropped: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitWasReached:
    """A budget was used up; the agent or the run ends with what it has."""

    type: Literal["limit.reached"] = "limit.reached"
    agent: str
    limit: str
    scope: str
    allowed: float

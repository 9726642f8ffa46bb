"""Everything that happens in a run, one frozen class per event.

The journal is the list of these, in order; windows, budgets, plans, traces, findings and progress
are folds over it. Events are past tense. `agent` is the path of an agent run, for instance
`lead/researcher-2`. Fields named in a class's `CONTENT` are stored once, by hash.

Plain dataclasses, not pydantic models: they are written thousands of times a second, and read back
through `harness.journal.codec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from harness.messages import Image, Message, StopReason, ToolDefinition, Usage

FORMAT = 2
"""Version of this vocabulary; a journal says which one it was written in."""

Status = Literal["done", "partial", "failed"]
"""How an agent run ended, as its report says."""

RunStopReason = Literal["done", "failed", "cancelled", "interrupted", "limit", "suspended"]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A task was given to a team."""

    CONTENT: ClassVar[tuple[str, ...]] = ("team", "task", "earlier")
    type: Literal["run.started"] = "run.started"
    team_name: str
    team_digest: str
    team: Mapping[str, Any]
    """The team file as written, before variables are filled in."""
    task: Message
    entry: str
    harness_version: str
    format: int = FORMAT
    team_path: str = ""
    """The team file, or the directory its relative paths begin at; for carrying the run on here."""
    session: str = ""
    """The thread of runs this one belongs to."""
    earlier: tuple[Message, ...] = ()
    """Tasks and answers of earlier runs of the session, which stand in the window before the task."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Values of the variables that the models see, so that the run can be replayed elsewhere."""
    traceparent: str = ""
    """W3C trace context of whoever asked for the run."""
    forked_from: Ancestry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed:
    """A run that had stopped is being carried on; appending this takes it from whoever had it."""

    CONTENT: ClassVar[tuple[str, ...]] = ("team",)
    type: Literal["run.resumed"] = "run.resumed"
    epoch: int
    """From 2: how often somebody has taken up the run."""
    void: tuple[int, ...] = ()
    """Sequences of earlier events that came of the stopping and do not count any more."""
    replayed: int = 0
    """Model calls and tool calls whose results stand in the journal and are not made again."""
    again: tuple[str, ...] = ()
    """Keys of calls that had begun and are made again."""
    in_doubt: tuple[str, ...] = ()
    """Keys of calls that may have taken effect; a person is asked."""
    team: Mapping[str, Any] | None = None
    """The team file as written, if it changed meanwhile."""
    team_digest: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    harness_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """A run ended; this is the last event of it unless it is resumed."""

    CONTENT: ClassVar[tuple[str, ...]] = ("output", "citations", "dropped")
    type: Literal["run.finished"] = "run.finished"
    run_id: str
    stop_reason: RunStopReason
    output: Any
    citations: tuple[Citation, ...] = ()
    dropped: tuple[Mapping[str, Any], ...] = ()
    """Claims that were left out, each with `claim` and `reason`."""
    notes: tuple[str, ...] = ()
    usage: Usage = Usage()
    cost: float | None = 0.0
    """USD; None if a model without a known price was used."""
    error: str = ""
    waiting: tuple[str, ...] = ()
    """Keys of the calls that wait for a person."""


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
class ModelCallStarted:
    """A request is about to be sent."""

    type: Literal["model_call.started"] = "model_call.started"
    agent: str
    turn: int
    model: str
    provider: str
    entries: int
    """How many entries of the window the request holds."""
    input_tokens: int
    """Our count of them, tool definitions included."""
    digest: str
    """Hash of the whole request: tools and entries in order."""
    tool_choice: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallRetried:
    """A request failed and is about to be sent again."""

    type: Literal["model_call.retried"] = "model_call.retried"
    agent: str
    turn: int
    attempt: int
    wait_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallFinished:
    """A response arrived, whole, or the call failed for good."""

    CONTENT: ClassVar[tuple[str, ...]] = ("message",)
    type: Literal["model_call.finished"] = "model_call.finished"
    agent: str
    turn: int
    message: Message | None
    stop_reason: StopReason | Literal["error"]
    usage: Usage
    cost: float | None
    """USD; None where the price is unknown."""
    model: str
    response_id: str = ""
    error: str = ""
    error_type: str = ""
    """Name of the error's class, or `cancelled`."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallLost:
    """A request was under way when its process died; it may have been paid for, so it is charged."""

    type: Literal["model_call.lost"] = "model_call.lost"
    agent: str
    turn: int
    usage: Usage
    """What was reserved for it: our count of its input."""
    cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested:
    """A call waits for a person; everything that does not depend on it goes on."""

    CONTENT: ClassVar[tuple[str, ...]] = ("arguments", "form")
    type: Literal["approval.requested"] = "approval.requested"
    agent: str
    turn: int
    call_id: str
    key: str
    number: int
    """From 1: a call may raise several questions, one after the other."""
    kind: QuestionKind
    tool: str
    arguments: str
    """JSON as the model wrote it; the decision is about exactly these."""
    fingerprint: str
    """Hash of the tool's definition; the decision is about exactly this tool."""
    message: str = ""
    """Why it is asked, or what the server wants to know."""
    form: Mapping[str, Any] | None = None
    """JSON Schema of the answer to an elicitation."""
    request: str = ""
    """Name of the server's question, for elicitations."""
    state: str = ""
    """What the server wants back together with the answer."""
    inline: bool = False
    """True if the call goes on meanwhile and waits for the answer itself."""
    expires_at: float | None = None
    """Seconds since 1970; no answer by then is a no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecided:
    """A person answered, or time ran out; the decision holds for this one question."""

    CONTENT: ClassVar[tuple[str, ...]] = ("arguments", "content")
    type: Literal["approval.decided"] = "approval.decided"
    agent: str
    key: str
    number: int
    kind: QuestionKind
    decision: Decision
    arguments: str | None = None
    """The arguments to run with instead, as JSON."""
    content: Mapping[str, Any] | None = None
    """The answer to an elicitation."""
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStarted:
    """A tool is about to run."""

    CONTENT: ClassVar[tuple[str, ...]] = ("arguments",)
    type: Literal["tool_call.started"] = "tool_call.started"
    agent: str
    turn: int
    call_id: str
    key: str
    """Made of its place, `PATH/turn-N/INDEX`; the same in every replay."""
    tool: str
    arguments: str
    """JSON as the model wrote it, or as a person changed it."""
    effect: EffectClass
    attempt: int = 1
    """Higher if it was begun before and is begun again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallFinished:
    """A tool returned, failed or was refused; the model sees `shown` in every case."""

    CONTENT: ClassVar[tuple[str, ...]] = ("shown", "whole", "images")
    type: Literal["tool_call.finished"] = "tool_call.finished"
    agent: str
    turn: int
    call_id: str
    key: str
    tool: str
    shown: str
    whole: str | None = None
    """The full result where `shown` is only its head and tail."""
    is_error: bool = False
    error_type: str = ""
    """`arguments`, `unknown_tool`, `denied`, `server`, `tool`, `internal`, `cancelled`, or empty."""
    external: bool = True
    """False for the tools of the harness itself, whose results are no sources to quote from."""
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolServerStarted:
    """A tool server answered and listed its tools."""

    type: Literal["tool_server.started"] = "tool_server.started"
    server: str
    transport: str
    tools: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolServerFailed:
    """A tool server could not be started; the run goes on without it if it is not required."""

    type: Literal["tool_server.failed"] = "tool_server.failed"
    server: str
    error: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCreated:
    """An orchestrator made or revised its plan; older versions stay in the journal."""

    CONTENT: ClassVar[tuple[str, ...]] = ("tasks",)
    type: Literal["plan.created"] = "plan.created"
    agent: str
    version: int
    """From 1."""
    tasks: tuple[PlannedTask, ...]
    kept: tuple[str, ...] = ()
    """Ids of tasks whose reports were carried over from the version before."""
    turn: int = 0
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTaskStarted:
    """A task whose needs are met was given to its agent."""

    type: Literal["plan_task.started"] = "plan_task.started"
    agent: str
    version: int
    task: str
    child: str
    """Path of the agent run that does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTaskFinished:
    """A task ended; `skipped` if something it needs failed."""

    type: Literal["plan_task.finished"] = "plan_task.finished"
    agent: str
    version: int
    task: str
    status: Literal["done", "partial", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanExecuted:
    """Every task of one version has ended."""

    type: Literal["plan.executed"] = "plan.executed"
    agent: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanRequested:
    """The orchestrator was asked, once, to revise its plan."""

    type: Literal["replan.requested"] = "replan.requested"
    agent: str
    version: int
    reason: str
    tasks: tuple[str, ...] = ()
    """Ids of the tasks that failed, if that is the reason."""


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


Event = (
    RunStarted
    | RunResumed
    | RunFinished
    | AgentRunStarted
    | AgentRunFinished
    | EntryAppended
    | EntryReplaced
    | TurnStarted
    | TurnFinished
    | ModelCallStarted
    | ModelCallRetried
    | ModelCallFinished
    | ModelCallLost
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

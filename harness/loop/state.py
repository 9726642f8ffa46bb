"""What a run has come to: a fold over its events, and the only state the loop keeps.

The live run and a run read back from the journal apply the same events to the same classes, so
`fold(events) == live state` holds at every point of a run. Agents work side by side, and a run that
is carried out again brings their events in another order; what they add up to does not depend on
it, only on the order within each agent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.context.window import Entry, Window
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    ApprovalDecided,
    ApprovalRequested,
    CitationsVerified,
    DeliverableRejected,
    EntryAppended,
    EntryReplaced,
    Event,
    LimitWasReached,
    ModelCallFinished,
    ModelCallLost,
    ModelCallRetried,
    ModelCallStarted,
    ModelCallWaited,
    ModelFellBack,
    PlanCreated,
    PlanExecuted,
    PlanTaskFinished,
    PlanTaskStarted,
    Recorded,
    ReplanRequested,
    Report,
    RunFinished,
    RunResumed,
    RunStarted,
    SummaryFinished,
    SummaryStarted,
    ThinkingDecided,
    ThinkingOverran,
    ToolCallFinished,
    ToolCallStarted,
    ToolServerFailed,
    ToolServerStarted,
    TurnFinished,
    TurnStarted,
    WindowCompacted,
)
from harness.loop.conduct import Conduct
from harness.loop.measure import Measure
from harness.messages import ToolDefinition, Usage


@dataclass
class AgentState:
    """One agent run so far."""

    path: str
    name: str
    model: str
    depth: int
    tools: tuple[ToolDefinition, ...] = ()
    window: Window = field(default_factory=Window)
    turns: int = 0
    asked_in: int = 0
    """The turn of its parent in which it was asked for."""
    usage: Usage = Usage()
    """Of this agent's own calls, without its sub-agents'."""
    cost: float = 0.0
    running: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Tool calls under way: key to tool and arguments."""
    failures: Counter[str] = field(default_factory=Counter[str])
    """How often the same call failed in the same way."""
    plans: list[PlanCreated] = field(default_factory=list[PlanCreated])
    task_status: dict[str, str] = field(default_factory=dict[str, str])
    """Status of the tasks of the newest plan."""
    replans: list[ReplanRequested] = field(default_factory=list[ReplanRequested])
    calling_model: bool = False
    results: int = 0
    """How many results of this turn's calls are in the window."""
    asked_tokens: int = 0
    """Our count of the last request."""
    measure: Measure = Measure()
    """How the provider's count of its requests goes with ours."""
    replied: Usage | None = None
    """What the provider reported of a reply that is not yet in the window."""
    refused_tokens: int | None = None
    """Our count of the smallest request that the provider refused as too long."""
    refusals: int = 0
    """How many requests it refused so since the last reply."""
    refused_in: int = 0
    """The turn of the last of them."""
    compacted_to: int = 0
    """Our count of the request after the last compaction."""
    conduct: Conduct = field(default_factory=Conduct)
    report: Report | None = None
    """Set once it has ended."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one tool call, as a place that quotations can stand in."""

    tool: str
    arguments: str
    text: str


@dataclass
class RunState:
    """One run so far."""

    started: RunStarted | None = None
    finished: RunFinished | None = None
    agents: dict[str, AgentState] = field(default_factory=dict[str, AgentState])
    usage: Usage = Usage()
    unpriced: bool = False
    """True if a call was made to a model whose price is unknown."""
    readings: dict[str, Reading] = field(default_factory=dict[str, Reading])
    """What tools gave this run to read, by call key."""
    whole_results: dict[str, str] = field(default_factory=dict[str, str])
    """The full text of results that were shown shortened, by call key."""
    notes: set[str] = field(default_factory=set[str])
    errors: dict[str, str] = field(default_factory=dict[str, str])
    """Why agent runs failed, by path."""
    waiting: dict[str, ApprovalRequested] = field(default_factory=dict[str, ApprovalRequested])
    """Questions that wait for a person, by call key."""
    epoch: int = 1
    events: int = 0

    @property
    def cost(self) -> float:
        """USD of all calls whose price is known; the same in whatever order they ended."""
        return math.fsum(agent.cost for agent in self.agents.values())

    def was_over(self, place: str, agent: str, turn: int) -> bool:
        """Return whether a call or an agent run below `agent`, by key or path, was over before its `turn`.

        What goes on during a turn an agent cannot rely on: how much of it there is depends on the clock.
        """
        owner, _, rest = place.rpartition("/turn-")
        if owner == agent:
            return int(rest.partition("/")[0]) < turn
        below = (owner or place).removeprefix(f"{agent}/").partition("/")[0]
        child = self.agents.get(f"{agent}/{below}")
        return child is not None and child.asked_in < turn

    def apply(self, event: Event) -> None:
        """Take one event into account."""
        self.events += 1
        _APPLY[type(event)](self, event)  # pyright: ignore[reportArgumentType]


def fold(recorded: Iterable[Recorded]) -> RunState:
    """Return what the events add up to; what a resume declared void does not count."""
    state = RunState()
    for item in effective(list(recorded)):
        state.apply(item.event)
    return state


def effective(recorded: Sequence[Recorded]) -> Iterator[Recorded]:
    """Yield the events that count: all but those that came of a stop from which the run was resumed."""
    void: set[int] = set()
    for item in recorded:
        if isinstance(item.event, RunResumed):
            void.update(item.event.void)
    return (item for item in recorded if item.sequence not in void)


def call_signature(tool: str, arguments: str, result: str) -> str:
    """Return what makes two failures of a call the same failure."""
    return f"{tool}\0{arguments}\0{result}"


def _run_started(state: RunState, event: RunStarted) -> None:
    state.started = event


def _run_finished(state: RunState, event: RunFinished) -> None:
    state.finished = event


def _agent_run_started(state: RunState, event: AgentRunStarted) -> None:
    asked_in = int(event.parent_call.rpartition("/turn-")[2].partition("/")[0] or 0)
    state.agents[event.agent] = AgentState(
        event.agent, event.name, event.model, event.depth, event.tools, asked_in=asked_in
    )


def _agent_run_finished(state: RunState, event: AgentRunFinished) -> None:
    agent = state.agents[event.agent]
    agent.report = event.report
    if event.error:
        state.errors[event.agent] = event.error
    agent.running.clear()
    agent.calling_model = False
    for key in [key for key, question in state.waiting.items() if question.agent == event.agent]:
        del state.waiting[key]


def _entry_appended(state: RunState, event: EntryAppended) -> None:
    agent = state.agents[event.agent]
    call = ""
    if event.message.role == "tool":
        # Results come in the order of the calls, so that their place says which call they answer.
        call = f"{event.agent}/turn-{agent.turns}/{agent.results}"
        agent.results += 1
    elif event.message.role == "assistant" and agent.replied is not None:
        agent.measure = agent.measure.with_reply(agent.replied, event.tokens)
        agent.replied = None
    agent.window.append(Entry(event.origin, event.message, event.tokens, event.entry, agent.turns, call))


def _entry_replaced(state: RunState, event: EntryReplaced) -> None:
    state.agents[event.agent].window.replace(event.entry, event.message, event.tokens)


def _window_compacted(state: RunState, event: WindowCompacted) -> None:
    agent = state.agents[event.agent]
    agent.window.compact(event.changes)
    agent.compacted_to = event.after


def _summary_started(state: RunState, event: SummaryStarted) -> None:
    state.agents[event.agent].calling_model = True


def _summary_finished(state: RunState, event: SummaryFinished) -> None:
    agent = state.agents[event.agent]
    agent.calling_model = False
    _charge(state, agent, event.usage, event.cost)


def _charge(state: RunState, agent: AgentState, usage: Usage, cost: float | None) -> None:
    agent.usage += usage
    state.usage += usage
    if cost is None:
        state.unpriced = True
    else:
        agent.cost += cost


def _approval_requested(state: RunState, event: ApprovalRequested) -> None:
    state.waiting[event.key] = event


def _approval_decided(state: RunState, event: ApprovalDecided) -> None:
    state.waiting.pop(event.key, None)


def _run_resumed(state: RunState, event: RunResumed) -> None:
    state.epoch = max(state.epoch, event.epoch)


def _turn_started(state: RunState, event: TurnStarted) -> None:
    agent = state.agents[event.agent]
    agent.turns = event.turn
    agent.results = 0


def _model_call_started(state: RunState, event: ModelCallStarted) -> None:
    agent = state.agents[event.agent]
    agent.calling_model = True
    agent.asked_tokens = event.input_tokens
    agent.window.was_sent()


def _model_call_finished(state: RunState, event: ModelCallFinished) -> None:
    agent = state.agents[event.agent]
    agent.calling_model = False
    _charge(state, agent, event.usage, event.cost)
    state.notes.update(event.notes)
    agent.conduct.replied(event)
    if event.error_type == "ContextOverflow":
        agent.refusals += 1
        agent.refused_in = event.turn
        agent.refused_tokens = min(agent.asked_tokens, agent.refused_tokens or agent.asked_tokens)
    elif not event.error_type:
        agent.refusals = 0
        if not event.usage.estimated and event.usage.input_tokens and agent.asked_tokens:
            agent.measure = agent.measure.after(event.usage.input_tokens, agent.asked_tokens)
            agent.replied = event.usage


def _model_call_lost(state: RunState, event: ModelCallLost) -> None:
    _charge(state, state.agents[event.agent], event.usage, event.cost)


def _model_fell_back(state: RunState, event: ModelFellBack) -> None:
    """Forget what was learned of the model; the other one counts in its own way, and its cache holds nothing."""
    agent = state.agents[event.agent]
    agent.model = event.to_model
    agent.asked_tokens, agent.measure, agent.replied, agent.compacted_to = 0, Measure(), None, 0
    agent.refused_tokens, agent.refusals = None, 0
    agent.conduct.overran = False
    state.notes.add(
        f"{event.agent} went on with {event.to_model} instead of {event.from_model}: {event.reason}"
    )


def _tool_call_started(state: RunState, event: ToolCallStarted) -> None:
    agent = state.agents[event.agent]
    agent.running[event.key] = (event.tool, event.arguments)
    agent.conduct.began(event)


def _tool_call_finished(state: RunState, event: ToolCallFinished) -> None:
    agent = state.agents[event.agent]
    _, arguments = agent.running.pop(event.key, ("", ""))
    agent.conduct.ended(event)
    state.waiting.pop(event.key, None)
    if event.whole is not None:
        state.whole_results[event.key] = event.whole
    if event.is_error:
        agent.failures[call_signature(event.tool, arguments, event.shown)] += 1
    elif event.external:
        text = event.shown if event.whole is None else event.whole
        state.readings[event.key] = Reading(event.tool, arguments, text)


def _plan_created(state: RunState, event: PlanCreated) -> None:
    agent = state.agents[event.agent]
    agent.plans.append(event)
    kept = {task: agent.task_status[task] for task in event.kept}
    agent.task_status = {task.id: kept.get(task.id, "waiting") for task in event.tasks}


def _plan_task_started(state: RunState, event: PlanTaskStarted) -> None:
    state.agents[event.agent].task_status[event.task] = "running"


def _plan_task_finished(state: RunState, event: PlanTaskFinished) -> None:
    state.agents[event.agent].task_status[event.task] = event.status


def _replan_requested(state: RunState, event: ReplanRequested) -> None:
    agent = state.agents[event.agent]
    agent.replans.append(event)
    agent.conduct.replanning = True


def _thinking_overran(state: RunState, event: ThinkingOverran) -> None:
    state.agents[event.agent].conduct.overran = True


def _nothing(state: RunState, event: Event) -> None:
    """Some events only tell; they change no state."""


_APPLY = {
    RunStarted: _run_started,
    RunResumed: _run_resumed,
    RunFinished: _run_finished,
    AgentRunStarted: _agent_run_started,
    AgentRunFinished: _agent_run_finished,
    EntryAppended: _entry_appended,
    EntryReplaced: _entry_replaced,
    WindowCompacted: _window_compacted,
    SummaryStarted: _summary_started,
    SummaryFinished: _summary_finished,
    TurnStarted: _turn_started,
    TurnFinished: _nothing,
    ThinkingDecided: _nothing,
    ThinkingOverran: _thinking_overran,
    ModelCallStarted: _model_call_started,
    ModelCallRetried: _nothing,
    ModelCallWaited: _nothing,
    ModelCallFinished: _model_call_finished,
    ModelCallLost: _model_call_lost,
    ModelFellBack: _model_fell_back,
    ApprovalRequested: _approval_requested,
    ApprovalDecided: _approval_decided,
    ToolCallStarted: _tool_call_started,
    ToolCallFinished: _tool_call_finished,
    ToolServerStarted: _nothing,
    ToolServerFailed: _nothing,
    PlanCreated: _plan_created,
    PlanTaskStarted: _plan_task_started,
    PlanTaskFinished: _plan_task_finished,
    PlanExecuted: _nothing,
    ReplanRequested: _replan_requested,
    DeliverableRejected: _nothing,
    CitationsVerified: _nothing,
    LimitWasReached: _nothing,
}

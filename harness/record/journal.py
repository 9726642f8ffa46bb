"""The record of one of our runs, read from its journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import orjson

from harness.context.counting import message_tokens
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    EntryAppended,
    EntryChange,
    EntryReplaced,
    ModelCallFinished,
    ModelCallLost,
    ModelCallRetried,
    ModelCallStarted,
    PlanCreated,
    PlanTaskStarted,
    Recorded,
    RunFinished,
    RunStarted,
    SummaryFinished,
    SummaryStarted,
    ToolCallFinished,
    ToolCallStarted,
    WindowCompacted,
)
from harness.loop.state import effective
from harness.messages import Reasoning, ToolResult
from harness.models.tokens import estimate
from harness.record.building import AgentBuilder, pieces_of
from harness.record.run import ALL_FACETS, AgentRecord, Aside, Call, Entry, Outcome, Piece, RunRecord, Turn
from harness.trace_ids import trace_id

_OUTCOMES: dict[str, Outcome] = {"done": "done", "failed": "failed"}


def record_of(recorded: Iterable[Recorded]) -> RunRecord:
    """Return the record of one run.

    What a resume declared void is left out. A run that was cut off is read as far as it goes.

    Raises:
        ValueError: There are no events.
    """
    events = list(recorded)
    if not events:
        raise ValueError("a run without events")
    reading = _Reading(RunRecord(events[0].run_id, "journal", ours=True))
    for item in effective(events):
        read = _READ.get(type(item.event))
        if read is not None:
            read(reading, item.event, item.at)
    reading.record.spans = len(events)
    reading.record.ended = events[-1].at
    return reading.finish()


@dataclass
class _Reading:
    """What is known while the events go by."""

    record: RunRecord
    builders: dict[str, AgentBuilder] = field(default_factory=dict[str, AgentBuilder])
    entries: dict[tuple[str, int], Entry] = field(default_factory=dict[tuple[str, int], Entry])
    """What stands in a window now, by agent and number in the journal."""
    calls: dict[str, Call] = field(default_factory=dict[str, Call])
    results: dict[tuple[str, str], Call] = field(default_factory=dict[tuple[str, str], Call])
    """The newest call of an id, by agent, whose result is awaited in its window."""
    tasks: dict[str, str] = field(default_factory=dict[str, str])
    """Paths of agent runs by the plan task they do, `PATH\\0TASK`."""
    plans: dict[str, PlanCreated] = field(default_factory=dict[str, PlanCreated])
    summaries: dict[str, SummaryStarted] = field(default_factory=dict[str, SummaryStarted])
    """The newest summary that was asked for, by agent."""

    def finish(self) -> RunRecord:
        for builder in self.builders.values():
            builder.finish()
        if not self.record.plans:
            self.record.carries -= {"plans"}
        if any(turn.cost is None and turn.reply is not None for turn in self.record.turns()):
            self.record.carries -= {"cost"}
        if not any(turn.reported for turn in self.record.turns()):
            self.record.carries -= {"usage", "cached"}
        return self.record

    def turn(self, agent: str) -> Turn | None:
        turns = self.builders[agent].record.turns
        return turns[-1] if turns else None


def _run_started(reading: _Reading, event: RunStarted, at: float) -> None:
    record = reading.record
    record.name, record.task = event.team_name, event.task.text
    record.team, record.team_path = event.team, event.team_path
    record.started = at
    record.trace_id = f"{trace_id(record.id, event.traceparent):032x}"
    record.carries = ALL_FACETS


def _run_finished(reading: _Reading, event: RunFinished, at: float) -> None:
    record = reading.record
    record.answer, record.error = event.output, event.error
    record.outcome = _OUTCOMES.get(event.stop_reason, "stopped")
    record.ended = at


def _agent_started(reading: _Reading, event: AgentRunStarted, at: float) -> None:
    parent = event.parent_call.rpartition("/turn-")[0]
    agent = AgentRecord(
        event.agent,
        event.name,
        parent=parent,
        parent_call=event.parent_call,
        model=event.model,
        provider=event.provider,
        context_window=event.context_window,
        tools=event.tools,
        effects=event.effects,
        task_id=event.task_id,
        brief=event.brief.objective if event.brief else "",
        started=at,
        span=f"agent {event.agent}",
    )
    plan = reading.plans.get(parent)
    if event.task_id and plan:
        needs = next((task.needs for task in plan.tasks if task.id == event.task_id), ())
        known = (reading.tasks.get(f"{parent}\0{need}") for need in needs)
        agent.after = tuple(path for path in known if path)
    reading.record.agents[event.agent] = agent
    reading.builders[event.agent] = AgentBuilder(agent)
    call = reading.calls.get(event.parent_call)
    if call is not None:
        call.children.append(event.agent)


def _agent_finished(reading: _Reading, event: AgentRunFinished, at: float) -> None:
    agent = reading.builders[event.agent].record
    agent.report, agent.status, agent.error = event.report.answer, event.report.status, event.error
    agent.ended = at


def _entry_appended(reading: _Reading, event: EntryAppended, at: float) -> None:
    builder = reading.builders[event.agent]
    entry = builder.append(event.origin, event.message, tokens=event.tokens, pieces=_pieces(event))
    entry.place = event.entry
    reading.entries[event.agent, event.entry] = entry
    if event.message.role == "assistant":
        builder.answers(entry)
    for part in event.message.parts:
        if isinstance(part, ToolResult):
            call = reading.results.pop((event.agent, part.call_id), None)
            if call is not None:
                call.entry, entry.call, entry.turn = entry, call.key, call.turn


def _entry_replaced(reading: _Reading, event: EntryReplaced, at: float) -> None:
    change = EntryChange(entry=event.entry, strategy=event.reason, message=event.message, tokens=event.tokens)
    _change(reading, event.agent, change)


def _window_compacted(reading: _Reading, event: WindowCompacted, at: float) -> None:
    for change in event.changes:
        _change(reading, event.agent, change)


def _change(reading: _Reading, agent: str, change: EntryChange) -> None:
    old = reading.entries[agent, change.entry]
    new = reading.builders[agent].replace(
        old, change.message, tokens=change.tokens, reason=change.strategy, origin=change.origin
    )
    if new is not None:
        reading.entries[agent, change.entry] = new


def _pieces(event: EntryAppended) -> tuple[Piece, ...] | None:
    """Return what an entry is made of where its origin alone does not say it."""
    if event.origin.startswith("report:"):
        return _report_pieces(event)
    if not any(isinstance(part, Reasoning) for part in event.message.parts):
        return None
    # Whether requests hold the thinking shows in our count of the entry.
    without, whole = (
        message_tokens(event.message, estimate, sends_reasoning=sends) for sends in (False, True)
    )
    sends_reasoning = abs(whole - event.tokens) < abs(without - event.tokens)
    return pieces_of(event.origin, event.message, sends_reasoning=sends_reasoning)


def _report_pieces(event: EntryAppended) -> tuple[Piece, ...] | None:
    """Divide the result of a plan among the sub-agents whose reports stand in it."""
    result = event.message.parts[0]
    if not event.origin.endswith("/*") or not isinstance(result, ToolResult):
        return None
    try:
        tasks = orjson.loads(result.text)["tasks"]
        return tuple(
            [
                Piece("report", str(task.get("handle", task["id"])).removeprefix("agent:"), len(str(task)))
                for task in tasks
            ]
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None


def _model_call_started(reading: _Reading, event: ModelCallStarted, at: float) -> None:
    last = reading.turn(event.agent)
    if last is not None and last.number == event.turn:
        return
    builder = reading.builders[event.agent]
    builder.begin_turn(
        Turn(
            event.agent,
            event.turn,
            model=event.model,
            provider=event.provider,
            counted=event.input_tokens,
            started=at,
            span=f"chat {event.agent}/turn-{event.turn}/1",
        )
    )


def _model_call_retried(reading: _Reading, event: ModelCallRetried, at: float) -> None:
    turn = reading.turn(event.agent)
    if turn is not None:
        turn.retries = event.attempt


def _model_call_finished(reading: _Reading, event: ModelCallFinished, at: float) -> None:
    turn = reading.turn(event.agent)
    if turn is None:
        return
    turn.ended, turn.stop_reason, turn.error = at, event.stop_reason, event.error
    turn.cost = event.cost
    if event.message is None:
        return
    usage = event.usage
    if not usage.estimated:
        turn.reported, turn.output = usage.input_tokens, usage.output_tokens
        turn.cached, turn.reasoning = usage.cached_tokens, usage.reasoning_tokens


def _model_call_lost(reading: _Reading, event: ModelCallLost, at: float) -> None:
    agent, turn, usage = reading.builders[event.agent].record, reading.turn(event.agent), event.usage
    lost = Aside(
        event.agent,
        "lost",
        event.turn,
        turn.model if turn is not None else agent.model,
        input=usage.input_tokens,
        output=usage.output_tokens,
        cost=event.cost,
    )
    agent.asides.append(lost)


def _summary_started(reading: _Reading, event: SummaryStarted, at: float) -> None:
    reading.summaries[event.agent] = event


def _summary_finished(reading: _Reading, event: SummaryFinished, at: float) -> None:
    started, usage = reading.summaries.get(event.agent), event.usage
    aside = Aside(
        event.agent,
        "summary",
        event.turn,
        event.model,
        input=usage.input_tokens,
        output=usage.output_tokens,
        cached=usage.cached_tokens,
        reported=not usage.estimated,
        cost=event.cost,
        turns=started.turns if started else (),
        error=event.error,
    )
    reading.builders[event.agent].record.asides.append(aside)


def _tool_call_started(reading: _Reading, event: ToolCallStarted, at: float) -> None:
    if event.key in reading.calls:
        reading.calls[event.key].arguments = event.arguments
        return
    turn = reading.turn(event.agent)
    if turn is None:
        return
    index = int(event.key.rpartition("/")[2])
    agent = reading.builders[event.agent].record
    effect = event.effect if event.tool in agent.effects else None
    call = Call(
        event.key,
        event.call_id,
        event.tool,
        event.arguments,
        event.agent,
        event.turn,
        index,
        effect=effect,
        started=at,
        span=f"tool {event.key}",
    )
    reading.calls[event.key] = reading.results[event.agent, event.call_id] = call
    turn.calls.append(call)
    turn.calls.sort(key=lambda one: one.index)


def _tool_call_finished(reading: _Reading, event: ToolCallFinished, at: float) -> None:
    call = reading.calls.get(event.key)
    if call is None:
        return
    call.result, call.whole = event.shown, event.whole
    call.is_error, call.error_type, call.ended = event.is_error, event.error_type, at


def _plan_created(reading: _Reading, event: PlanCreated, at: float) -> None:
    reading.record.plans.append(event)
    reading.plans[event.agent] = event


def _plan_task_started(reading: _Reading, event: PlanTaskStarted, at: float) -> None:
    reading.tasks[f"{event.agent}\0{event.task}"] = event.child


_READ: dict[type, Callable[..., None]] = {
    RunStarted: _run_started,
    RunFinished: _run_finished,
    AgentRunStarted: _agent_started,
    AgentRunFinished: _agent_finished,
    EntryAppended: _entry_appended,
    EntryReplaced: _entry_replaced,
    WindowCompacted: _window_compacted,
    ModelCallStarted: _model_call_started,
    ModelCallRetried: _model_call_retried,
    ModelCallFinished: _model_call_finished,
    ModelCallLost: _model_call_lost,
    SummaryStarted: _summary_started,
    SummaryFinished: _summary_finished,
    ToolCallStarted: _tool_call_started,
    ToolCallFinished: _tool_call_finished,
    PlanCreated: _plan_created,
    PlanTaskStarted: _plan_task_started,
}

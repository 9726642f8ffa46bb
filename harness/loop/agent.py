"""One agent run: it takes turns until it has handed in what it owes, or its budget ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from harness.context.counting import message_tokens
from harness.errors import EmptyResponse, LimitReached, ModelError, ModelRefused, ThinkingBudgetExhausted
from harness.events import (
    AgentRunFinished,
    DeliverableRejected,
    EntryAppended,
    EntryReplaced,
    Event,
    LimitWasReached,
    ModelFellBack,
    ReplanRequested,
    Report,
    WindowCompacted,
)
from harness.limits import Budget
from harness.loop.activity import Activity
from harness.loop.approvals import Approvals
from harness.loop.brief import dumps, view_report
from harness.loop.deliverable import MAX_REJECTIONS, Deliverable
from harness.loop.log import Notices, RunLog
from harness.loop.measure import Measure
from harness.loop.past import RecordEnds
from harness.loop.report_cap import CountTokens
from harness.loop.room import Room, window_of
from harness.loop.state import AgentState
from harness.loop.thinking import IDENTICAL_CALLS, IDLE_TURNS
from harness.loop.turn import take_turn
from harness.messages import Message, ToolResult, Usage, user
from harness.models.port import Model, Transcript, settings_of
from harness.permissions import Permissions
from harness.team import ThinkingSpec
from harness.tools.port import Tool
from harness.tools.results import MAX_RESULT_CHARACTERS, shorten

IDENTICAL_FAILURES = 3
"""A call that fails the same way this often is not tried a fourth time without a new plan."""

MOST_REASONS = 5
"""Of what an agent still owes, it is told this much at once."""


MOST_REPAIRS = 5
"""Turns in a row that only make calls which cannot be run, after which the model is not asked again."""

IDENTICAL_TURNS = 4
"""Turns in a row that make the same calls with the same results, after which another way is asked for."""

MOST_IDENTICAL_TURNS = 10
"""Turns in a row that make the same calls with the same results, after which the model is not asked again."""

_HOW_IT_FAILED: dict[type[ModelError], str] = {ModelRefused: "refused", EmptyResponse: "empty_response"}
"""What a report's stop reason begins with; `failed` for everything else."""


class StuckError(ModelError):
    """An agent repeats itself, or makes calls that cannot be run, and has no other way to go on."""


@dataclass
class AgentRun:
    """Everything one agent run works with; all that changes in it is in the run's log."""

    path: str
    lineage: tuple[str, ...]
    """Names of this agent and of all agents it works for, from the entry agent down."""
    model: Model
    tools: Mapping[str, Tool]
    transcript: Transcript
    definition_tokens: int
    """Tokens of the tool definitions, sent with every request."""
    budget: Budget
    deliverable: Deliverable
    permissions: Permissions
    approvals: Approvals
    activity: Activity
    log: RunLog
    notices: Notices
    count_tokens: CountTokens
    lent: Callable[[], AbstractAsyncContextManager[None]]
    """Lets others have its place among the agents at work while it waits for a person."""
    fallbacks: list[Model] = field(default_factory=list[Model])
    """The models it can still go on with, in order, if its own cannot be had."""
    stands_in: bool = False
    """Whether its model is not its own any more."""
    thinking: ThinkingSpec | None = None
    """How much it may think; None if nothing is said about it."""
    room: Room | None = None
    """How its window is kept small; None if it is not."""
    parent: AgentRun | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Within it the agent works; its budget's time ends it."""
    reminders: int = 0
    """How often it was told what its contracts still want of it."""

    @property
    def state(self) -> AgentState:
        """What this agent run has come to."""
        return self.log.state.agents[self.path]

    def emit(self, event: Event) -> None:
        """Record an event of this agent run."""
        self.log.emit(event)

    def append(self, origin: str, message: Message) -> None:
        """Add an entry to the window and to the transcript."""
        number = self.state.window.appended
        recorded = self.log.past.counts.entry(self.path, number, message)
        if recorded is not None:
            message = recorded.message
        tokens = recorded.tokens if recorded else self.tokens_of(message)
        self.emit(EntryAppended(agent=self.path, entry=number, origin=origin, message=message, tokens=tokens))
        self.transcript.append(message)

    def tokens_of(self, message: Message) -> int:
        """Return our count of what a message takes in a request."""
        sends_reasoning = self.transcript.sends_reasoning
        return message_tokens(message, self.count_tokens, sends_reasoning=sends_reasoning)

    def shortened(self, text: str, call: str) -> str | None:
        """Return head and tail of a tool result that is large; None if it is shown as it is."""
        limit = self.room.longest_result if self.room is not None else None
        return shorten(text, f"result:{call}", limit=limit or MAX_RESULT_CHARACTERS)

    def change(self, changes: Sequence[EntryReplaced | WindowCompacted]) -> None:
        """Change entries of the window, and write the transcript anew."""
        for change in changes:
            self.emit(change)
        self.transcript = self.transcript.reopened(entry.message for entry in self.state.window.entries)

    def fall_back(self, turn: int, error: ModelError) -> bool:
        """Go on with the next model that stands in for one that cannot be had; return whether there is any.

        Its window stays as it is. What the old model thought is dropped by the new one's transcript.
        """
        if not self.fallbacks:
            return False
        before, self.model, self.stands_in = self.model, self.fallbacks.pop(0), True
        recorded = self.log.past.fell_back(self.path, turn)
        self.emit(
            ModelFellBack(
                agent=self.path,
                turn=turn,
                from_model=before.name,
                to_model=self.model.name,
                provider=self.model.provider,
                reason=str(error),
                context_window=recorded.context_window if recorded else self.model.context_window,
                request=recorded.request if recorded else settings_of(self.model),
            )
        )
        self.transcript = self.model.open([tool.definition for tool in self.tools.values()])
        for entry in self.state.window.entries:
            self.transcript.append(entry.message)
        if self.room is not None:
            self.room = replace(self.room, window=window_of(self.room.spec, self.model))
        return True

    @asynccontextmanager
    async def outside(self) -> AsyncGenerator[None]:
        """Ask something of the world; where only the record may answer, never come to it."""
        if not self.log.past.live:
            await anyio.sleep_forever()
        self.begin_clock()
        with self.activity.outside():
            yield

    def begin_clock(self) -> None:
        """Let its time, and that of those it works for, count once all that is recorded has happened again."""
        if not self.log.past.has_happened:
            self.log.past.when_it_has_happened(self.path, self.begin_clock)
            return
        agent: AgentRun | None = self
        while agent is not None and agent.scope.deadline != agent.budget.deadline:
            agent.scope.deadline = agent.budget.deadline
            agent = agent.parent

    def cut_by(self) -> LimitReached | None:
        """Return the limit that is cutting it short, its own or of one it works for: of several the outermost."""
        limit: LimitReached | None = None
        agent: AgentRun | None = self
        while agent is not None:
            if agent.scope.cancel_called:
                limit = agent.budget.expired() or LimitReached("minutes", agent.path, 0)
            agent = agent.parent
        return limit

    def cut_short(self, limit: LimitWasReached) -> None:
        """End it and all that works for it where they are, as the record says happened when time was up."""
        self.budget.end(LimitReached(limit.limit, limit.scope, limit.allowed))
        self.scope.cancel()

    async def be_cut_short(self) -> None:
        """Wait at a place where the record says that time was up."""
        agent: AgentRun | None = self
        past = self.log.past
        while past.check != "everything" and agent is not None:
            limit = past.limit(agent.path)
            if limit is not None:
                agent.cut_short(limit)
                break
            agent = agent.parent
        await anyio.sleep_forever()

    def owes(self) -> str:
        """Return what its contracts still want of it before it may hand in; nothing once that was said often."""
        order = self.log.order
        if order is None or self.reminders >= MAX_REJECTIONS:
            return ""
        reasons = tuple(owed.text for owed in order.owed(self.path)[:MOST_REASONS])
        if not reasons:
            return ""
        self.reminders += 1
        self.emit(DeliverableRejected(agent=self.path, reasons=reasons))
        return "Not accepted yet: " + "; ".join(reasons)

    def request_tokens(self) -> int:
        """Return our count of the tokens the next request will hold."""
        return self.state.window.tokens + self.definition_tokens

    @property
    def measure(self) -> Measure:
        """How the provider's count goes with ours: as it was told of this agent run, or of one it works for."""
        agent: AgentRun | None = self
        while agent is not None:
            if agent.model.name == self.model.name and agent.state.measure.reported:
                return agent.state.measure if agent is self else Measure(news=agent.state.measure.news)
            agent = agent.parent
        return Measure()

    def expected_tokens(self) -> int:
        """Return what the provider will count of the next request, as far as it is known from those before."""
        return self.measure.theirs(self.request_tokens())

    def expected_usage(self) -> Usage:
        """Return what the next call is expected to use: all that its reply may have, where that is known.

        Where it is not, the reply is expected to have as much as the agent's replies had so far.
        """
        state = self.state
        most = settings_of(self.model).get("max_tokens")
        output = most if isinstance(most, int) else state.usage.output_tokens // max(1, state.usage.calls)
        cached = self.prefix_tokens() if state.usage.cached_tokens else 0
        return Usage(self.expected_tokens(), output, cached_tokens=cached)

    def prefix_tokens(self) -> int:
        """Return how many of them the last request began with as well; 0 before the first."""
        return self.state.window.repeated + self.definition_tokens if self.state.asked_tokens else 0


async def run_agent(agent: AgentRun) -> Report:
    """Take turns until the agent hands in its report or cannot go on.

    Keeps nothing that folding the emitted events would not rebuild. Never raises for what one agent
    did wrong: a model that fails or a budget that ends becomes the status of the report.
    """
    try:
        report, error = await _work(agent)
    except anyio.get_cancelled_exc_class():
        # A stop from outside leaves the agent run open, as a crash would, so that it can be resumed.
        limit = agent.parent.cut_by() if agent.parent else None
        if limit:
            _finish(agent, _unfinished(agent, stop_reason=_limit_reason(limit)), None)
        raise
    return _finish(agent, report, error)


def _finish(agent: AgentRun, report: Report, error: ModelError | None) -> Report:
    state = agent.state
    agent.budget.spend(Usage(), 0.0)  # What it set apart for a call that never ended comes back.
    report = replace(agent.deliverable.fit(report), usage=state.usage)
    recorded = agent.log.past.counts.report(agent.path)
    tokens = (
        recorded.report_tokens
        if recorded is not None and recorded.report == report
        else agent.count_tokens(dumps(view_report(report)))
    )
    agent.emit(
        AgentRunFinished(
            agent=agent.path,
            report=report,
            turns=state.turns,
            report_tokens=tokens,
            error=str(error or ""),
            error_type=type(error).__name__ if error else "",
        )
    )
    return report


async def _work(agent: AgentRun) -> tuple[Report, ModelError | None]:
    try:
        with agent.scope:
            return await _take_turns(agent), None
        limit = agent.cut_by()
        assert limit is not None
    except LimitReached as reached:
        limit = reached
    except ThinkingBudgetExhausted as error:
        return _unfinished(agent, stop_reason="budget_exhausted"), error
    except ModelError as error:
        how = _HOW_IT_FAILED.get(type(error), "failed")
        return _unfinished(agent, stop_reason=f"{how}: {str(error)[:300]}"), error
    agent.emit(LimitWasReached(agent=agent.path, limit=limit.limit, scope=limit.scope, allowed=limit.allowed))
    return _unfinished(agent, stop_reason=_limit_reason(limit)), None


async def _take_turns(agent: AgentRun) -> Report:
    past = agent.log.past
    past.cuts.watch(agent.path, agent.cut_short)
    if past.agent(agent.path) is None:
        agent.begin_clock()
    try:
        while agent.deliverable.accepted is None:
            reply = await take_turn(agent)
            if not reply.tool_calls:
                _settle(agent, reply)
            elif agent.deliverable.accepted is None:
                _break_loops(agent)
    except RecordEnds:
        await anyio.sleep_forever()
    assert agent.deliverable.accepted is not None
    return agent.deliverable.accepted


def _settle(agent: AgentRun, reply: Message) -> None:
    """Take a reply without tool calls as the result, or say what is missing.

    Raises:
        EmptyResponse: The model said nothing twice in a row.
    """
    entries = agent.state.window.entries
    if entries[-1].origin == "nudge":
        return  # The turn has already said what is wrong with the reply.
    if not reply.text.strip():
        if _is_stuck(agent):
            raise EmptyResponse(f"the model {agent.model.name} gave an empty reply twice")
        agent.append("nudge", user("Your reply was empty. Go on with your task, or hand in what you have."))
        return
    complaint = agent.owes() or agent.deliverable.offer_text(reply.text)
    if complaint:
        agent.append("nudge", user(complaint))


def _break_loops(agent: AgentRun) -> None:
    """Answer the third identical failure of a call, or the fourth turn that brings nothing new, once with a
    request for another way.

    Where thinking is decided turn by turn, so is the third identical call in a row, whatever came of it: more
    thought about the same step would not help.

    Raises:
        StuckError: There is nobody to make a new plan, or being asked for another way did not help.
    """
    state = agent.state
    conduct = state.conduct
    if conduct.broken_turns >= MOST_REPAIRS:
        last = next(entry.message for entry in reversed(state.window.entries) if entry.message.role == "tool")
        text = "".join(part.text for part in last.parts if isinstance(part, ToolResult))
        raise StuckError(f"{MOST_REPAIRS} turns in a row made only calls that cannot be run: {text[:300]}")
    most = agent.budget.repeats or MOST_IDENTICAL_TURNS
    if conduct.loops >= most:
        raise StuckError(
            f"the same calls brought the same results {most} turns in a row; "
            "where that is meant, as with a tool that waits for something, raise limits.repeats"
        )
    asked = len(state.replans)
    for signature, times in sorted(state.failures.items()):
        if times < IDENTICAL_FAILURES:
            continue
        tool = signature.partition("\0")[0]
        reason = f"{tool} failed {IDENTICAL_FAILURES} times in the same way"
        if any(request.reason == reason for request in state.replans):
            continue
        if agent.deliverable.tool() is not None and len(agent.lineage) > 1:
            raise StuckError(f"{reason}: {signature.rpartition(chr(0))[2][:300]}")
        _ask_for_another_way(agent, reason)
    decides = agent.thinking is not None and agent.thinking.mode == "auto"
    if len(state.replans) > asked:
        return
    if decides and conduct.repeats == IDENTICAL_CALLS:
        _ask_for_another_way(agent, f"the same calls were made {IDENTICAL_CALLS} turns in a row")
    elif not decides and conduct.loops == IDENTICAL_TURNS and not conduct.failing_turns:
        _ask_for_another_way(
            agent, f"the same calls brought the same results {IDENTICAL_TURNS} turns in a row"
        )


def _ask_for_another_way(agent: AgentRun, reason: str) -> None:
    agent.emit(ReplanRequested(agent=agent.path, version=len(agent.state.plans), reason=reason))
    how = "Call `plan` with a revised plan" if "plan" in agent.tools else "Go about it in another way"
    agent.append("nudge", user(f"{reason}. {how}, or finish with what you have."))


def _limit_reason(limit: LimitReached) -> str:
    return f"limit: {limit.limit} of {limit.scope}"


def _unfinished(agent: AgentRun, *, stop_reason: str) -> Report:
    """Return what the agent has at the moment as its report."""
    answer = next(
        (entry.message.text for entry in reversed(agent.state.window.entries) if _is_answer(entry.message)),
        "",
    )
    return Report(status="partial" if answer else "failed", answer=answer, stop_reason=stop_reason)


def _is_stuck(agent: AgentRun) -> bool:
    """Whether an agent said nothing twice in a row; of one that thinks, whether it did so when told to act."""
    before = [
        entry.message for entry in agent.state.window.entries[-4:-1] if entry.message.role == "assistant"
    ]
    thinks = agent.thinking is not None and agent.thinking.mode != "off"
    told_to_act = agent.state.conduct.think_only_turns > IDLE_TURNS or not thinks
    return told_to_act and bool(before) and _is_empty(before[-1])


def _is_empty(message: Message) -> bool:
    return message.role == "assistant" and not message.text.strip() and not message.tool_calls


def _is_answer(message: Message) -> bool:
    return message.role == "assistant" and bool(message.text.strip()) and not message.tool_calls


def tokens_of_definitions(tools: Sequence[Tool], count: CountTokens) -> int:
    """Return our count of the tokens that tool definitions take in every request."""
    return sum(count(tool.definition.encoded.decode()) for tool in tools)

"""What stands in the journal of a run that is carried out again.

Resuming, replaying and forking are one thing: the same loop runs from the beginning, and whatever
it would ask of the world is answered from the record as long as the record has an answer. Answers
are found by place (agent path, turn, call key), so they do not depend on timing. Meanwhile every
event the loop produces is held against the record, agent by agent and call by call: what stands
there already is not written again, and what differs is a `Divergence`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from harness.errors import Divergence
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    ApprovalDecided,
    ApprovalRequested,
    CitationsVerified,
    EffectClass,
    EntryReplaced,
    Event,
    LimitWasReached,
    ModelCallFinished,
    ModelCallLost,
    ModelCallRetried,
    ModelCallStarted,
    ModelCallWaited,
    ModelFellBack,
    Recorded,
    RunFinished,
    RunResumed,
    RunStarted,
    SummaryFinished,
    ThinkingDecided,
    ToolCallFinished,
    ToolCallStarted,
    ToolServerFailed,
    ToolServerStarted,
    TurnStarted,
)
from harness.limits import NOTHING, Spent
from harness.loop.cuts import Cuts, made_by_cut, upwards
from harness.loop.lanes import Lane, lane_of
from harness.loop.recorded_calls import RecordedCalls
from harness.loop.recorded_compactions import RecordedCompactions
from harness.loop.recorded_counts import RecordedCounts
from harness.messages import ToolDefinition

Check = Literal["everything", "requests", "nothing"]
"""What must be as it is recorded: every event (resume, replay), every model request, or nothing (fork)."""

NO_BRIEFS: Mapping[str, str] = {}


Interlude = ModelCallRetried | ModelCallWaited | ModelCallLost
"""What may happen between a request and its reply."""


class Diverged(Divergence):
    """Where a run first does something else than its record says."""

    def __init__(self, agent: str, turn: int, *, recorded: Recorded | None, event: Event | None) -> None:
        self.agent = agent
        self.turn = turn
        self.recorded = recorded
        """What the record holds at this place; None if it ends before."""
        self.event = event
        """What the loop did; None if it ended before."""
        place = f"{agent}/turn-{turn}" if turn else agent or "the run"
        did = event.type if event else "nothing more"
        holds = recorded.event.type if recorded else "nothing more"
        what = f"{did} is not as recorded" if did == holds else f"{did} where the record has {holds}"
        if isinstance(event, ModelCallStarted) and did == holds:
            what = "the request is not the recorded one"
        super().__init__(f"{place}: {what}")


class RecordEnds(Divergence):
    """The record says nothing of what would come next at this place: come to rest here."""


class Past:
    """The record of a run, as the loop that runs again sees it.

    Args:
        recorded: The events that count, in order; none for a run that begins.
        live: Whether what the record does not answer is asked of the world.
        check: What must happen again as it is recorded.
        edits: Changes of windows, each taking effect before the turn named with it.
        briefs: What sub-agents are told instead of their briefs, by path.
        reuse: Events whose tool results answer later calls that equal theirs.
    """

    def __init__(
        self,
        recorded: Sequence[Recorded] = (),
        *,
        live: bool = True,
        check: Check = "everything",
        edits: Sequence[tuple[int, EntryReplaced]] = (),
        briefs: Mapping[str, str] = NO_BRIEFS,
        reuse: Iterable[Recorded] = (),
    ) -> None:
        self.live = live
        self.check: Check = check
        self.started: RunStarted | None = None
        self.environment: list[Event] = []
        """What was seen of the world and not caused by the loop: servers that started, resumes."""
        self.divergences: list[Diverged] = []
        self.finished: RunFinished | None = None
        """The last event of the run, if it came to an end."""
        self.matched = 0
        """Events that happened again as recorded."""
        self.requests = 0
        """Model requests that were the same again."""
        self._lanes: dict[Lane, deque[Recorded]] = defaultdict(deque)
        self._team: Mapping[str, Any] = {}
        self._agents: dict[str, AgentRunStarted] = {}
        self._ended: set[str] = set()
        self._turns: dict[str, int] = {}
        self._reached: dict[str, int] = {}
        self._requests: dict[tuple[str, int], Recorded] = {}
        self._made: set[int] = set()
        self._differing: set[str] = set()
        self._replies: dict[tuple[str, int], ModelCallFinished] = {}
        self._interludes: dict[tuple[str, int], list[Interlude]] = defaultdict(list)
        self._thoughts: dict[tuple[str, int], ThinkingDecided] = {}
        self._fallbacks: dict[tuple[str, int], ModelFellBack] = {}
        self._limits: dict[str, LimitWasReached] = {}
        self._spent: dict[str, Spent] = defaultdict(Spent)
        self._spent_before: dict[tuple[str, int], dict[str, Spent]] = {}
        self._edits = list(edits)
        self._briefs = dict(briefs)
        self.calls = RecordedCalls(reuse)
        self.compactions = RecordedCompactions()
        self.counts = RecordedCounts(reports=check == "everything")
        for item in recorded:
            self._remember(item)
        self._measure(recorded)
        self.cuts = Cuts(recorded if check == "everything" else ())
        # How a run was ended from outside is not for its agents to do again.
        self._ahead = sum(map(len, self._lanes.values())) - self.was_stopped
        self._at_end: dict[str, Callable[[], object]] = {}

    # --- what the loop asks ---

    def agent(self, path: str) -> AgentRunStarted | None:
        """Return how the agent run at `path` began."""
        return self._agents.get(path)

    def effects(self, path: str) -> Mapping[str, EffectClass]:
        """Return the effect classes of the tools of the agent run at `path`, as far as they are known."""
        began = self._agents.get(path)
        return began.effects if began and began.effects else self.calls.effects(path)

    def granted(self, name: str) -> Sequence[str]:
        """Return the patterns of the tools that the recorded team gave the agent `name`."""
        agents: Mapping[str, Any] = self._team.get("agents", {})
        return agents.get(name, {}).get("tools", ())

    def tools_of_servers(self) -> list[ToolDefinition]:
        """Return every tool of a server that some agent run had, as the record has it."""
        named = {
            tool.name: tool for began in self._agents.values() for tool in began.tools if "." in tool.name
        }
        return list(named.values())

    def has_ended(self, path: str) -> bool:
        """Return whether the agent run at `path` came to its end."""
        return path in self._ended

    def turn_begun(self, path: str, turn: int) -> bool:
        """Return whether the turn was begun, and so admitted by all budgets."""
        return turn <= self._turns.get(path, 0)

    def limit(self, path: str) -> LimitWasReached | None:
        """Return the limit that ended the agent run at `path`."""
        return self._limits.get(path)

    def call_begun(self, path: str, turn: int) -> bool:
        """Return whether the model was asked in this turn."""
        return (path, turn) in self._requests

    def interludes(self, path: str, turn: int) -> Sequence[Interlude]:
        """Return what happened between asking the model and its reply, if anything did."""
        return self._interludes.get((path, turn), ())

    def thought(self, path: str, turn: int) -> ThinkingDecided | None:
        """Return how much thinking was asked for in a turn."""
        return self._thoughts.get((path, turn)) if self.check != "requests" else None

    def fell_back(self, path: str, turn: int) -> ModelFellBack | None:
        """Return how the agent run went on with another model after a turn."""
        return self._fallbacks.get((path, turn)) if self.check == "everything" else None

    def reply(self, path: str, turn: int) -> ModelCallFinished | None:
        """Return how the model call of a turn ended."""
        return self._replies.get((path, turn))

    def spent(self, path: str) -> Spent:
        """Return what the agent run at `path` and all below it used up; the whole run's for no path."""
        return self._spent.get(path, NOTHING)

    def spent_before(self, path: str, turn: int) -> Mapping[str, Spent]:
        """Return what an agent run, those above it and the run (no path) had used up before a recorded turn."""
        return self._spent_before[path, turn]

    @property
    def briefs(self) -> Mapping[str, str]:
        """What sub-agents are told instead of their objectives, by path."""
        return self._briefs

    def edits(self, path: str, turn: int) -> list[EntryReplaced]:
        """Return the changes of a window that take effect before a turn."""
        return [event for at, event in self._edits if event.agent == path and at == turn]

    def brief(self, path: str) -> str | None:
        """Return what a fork tells a sub-agent instead of its brief."""
        return self._briefs.get(path)

    # --- what the loop does again ---

    def holds(self, event: Event) -> bool:
        """Return whether `event` stands in the record at this place, and pass over it there.

        Raises:
            Diverged: Something else stands there.
        """
        if not self._lanes:
            return False
        if self.check != "everything":
            if isinstance(event, ModelCallStarted):
                self._check_request(event)
            return False
        lane = self._lanes.get(lane_of(event))
        if not lane:
            return self._is_beyond(event)
        if lane[0].event != event:
            if self._was_stopped_before(event, lane[0].event):
                raise RecordEnds(f"{getattr(event, 'agent', '')} was cut short before {event.type}")
            raise Diverged(*self._where(event), recorded=lane[0], event=event)
        self._pass(lane.popleft())
        return True

    @property
    def was_stopped(self) -> bool:
        """Whether the run was ended from outside, and not by its entry agent."""
        if self.finished is None or self.finished.stop_reason in ("done", "limit", "budget_exhausted"):
            return False
        return self.finished.stop_reason != "failed" or not self._entry_ended

    @property
    def has_happened(self) -> bool:
        """Whether everything in the record has happened again, but for what ended the run from outside."""
        return self.check != "everything" or not self._ahead

    def when_it_has_happened(self, name: str, call: Callable[[], object]) -> None:
        """Call something, one thing for each name, as soon as everything has happened again."""
        if self.has_happened:
            call()
        else:
            self._at_end[name] = call

    def _pass(self, item: Recorded) -> None:
        self.matched += 1
        if isinstance(item.event, ModelCallStarted):
            self.requests += 1
            self._reached[item.event.agent] = item.event.turn
        if self.cuts:
            self.cuts.passed(item)
        self._ahead -= 1
        if not self._ahead:
            for call in self._at_end.values():
                call()

    def _was_stopped_before(self, event: Event, recorded: Event) -> bool:
        if isinstance(recorded, RunFinished) and isinstance(event, RunFinished):
            return self.was_stopped and event.stop_reason != recorded.stop_reason
        return made_by_cut(recorded) and not made_by_cut(event)

    def _is_beyond(self, event: Event) -> bool:
        """Return False if the event is new.

        Raises:
            Diverged: There should be no such event.
            RecordEnds: Nobody knows.
        """
        cut = self.cuts.above(getattr(event, "agent", ""))
        if not cut and self.live:
            return False
        if not cut and self._is_over(event):
            raise Diverged(*self._where(event), recorded=None, event=event)
        raise RecordEnds(f"the record does not go on to {event.type}")

    def leftover(self) -> list[Recorded]:
        """Return the recorded events that did not happen again, in order: all of them, or requests only."""
        if self.check == "everything":
            left = [item for lane in self._lanes.values() for item in lane]
        else:
            left = [item for item in self._requests.values() if item.sequence not in self._made]
        return sorted(left, key=lambda item: item.sequence)

    def skip(self) -> list[Recorded]:
        """Pass over all recorded events that did not happen again, and return them in order."""
        left = self.leftover() if self.check == "everything" else []
        self._lanes.clear()
        return left

    def _check_request(self, event: ModelCallStarted) -> None:
        """Note the first request of an agent that differs; it goes on as if it had been answered the same.

        Raises:
            Diverged: The record, which is complete here, holds no such request.
        """
        if self.check != "requests":
            return
        recorded = self._requests.get((event.agent, event.turn))
        if recorded is None:
            if self._is_over(event):
                raise Diverged(event.agent, event.turn, recorded=None, event=event)
            return
        self._made.add(recorded.sequence)
        if _request(recorded.event) == _request(event):
            self.requests += 1
        elif event.agent not in self._differing:
            self._differing.add(event.agent)
            self.divergences.append(Diverged(event.agent, event.turn, recorded=recorded, event=event))

    def _where(self, event: Event) -> tuple[str, int]:
        """Return the agent run and the turn of it that an event belongs to."""
        path: str = getattr(event, "agent", "")
        return path, getattr(event, "turn", self._reached.get(path, 0))

    def _is_over(self, event: Event) -> bool:
        """Whether the record is complete where this event would go on."""
        if isinstance(event, RunFinished | CitationsVerified):
            return self.finished is not None
        return self._entry_ended or getattr(event, "agent", "") in self._ended

    @property
    def _entry_ended(self) -> bool:
        return self.started is not None and self.started.entry in self._ended

    # --- reading the record ---

    def _remember(self, item: Recorded) -> None:
        event = item.event
        self.counts.remember(event)
        self.compactions.remember(event)
        match event:
            case ToolServerStarted() | ToolServerFailed() | RunResumed():
                self.environment.append(event)
                if isinstance(event, RunResumed) and event.team is not None:
                    self._team = event.team
                return
            case RunStarted():
                self.started = event
                self._team = event.team
                if event.forked_from is not None:
                    self._briefs = {**event.forked_from.briefs, **self._briefs}
            case RunFinished():
                self.finished = event
            case ToolCallStarted() | ToolCallFinished() | ApprovalRequested() | ApprovalDecided():
                self.calls.remember(event)
            case (
                ModelCallStarted()
                | ThinkingDecided()
                | ModelCallRetried()
                | ModelCallWaited()
                | ModelCallLost()
                | ModelCallFinished()
                | ModelFellBack()
            ):
                self._remember_model_call(item)
            case _:
                self._remember_agent(event)
        self._lanes[lane_of(event)].append(item)

    def _remember_agent(self, event: Event) -> None:
        match event:
            case AgentRunStarted():
                self._agents[event.agent] = event
            case AgentRunFinished():
                self._ended.add(event.agent)
            case TurnStarted():
                self._turns[event.agent] = event.turn
            case LimitWasReached():
                self._limits[event.agent] = event
            case EntryReplaced():
                self._edits.append((self._turns.get(event.agent, 0) + 1, event))
            case _:
                pass

    def _remember_model_call(self, item: Recorded) -> None:
        event = item.event
        match event:
            case ModelCallStarted():
                self._requests[event.agent, event.turn] = item
            case ThinkingDecided():
                self._thoughts[event.agent, event.turn] = event
            case ModelCallRetried() | ModelCallWaited() | ModelCallLost():
                self._interludes[event.agent, event.turn].append(event)
            case ModelCallFinished():
                self._replies[event.agent, event.turn] = event
            case ModelFellBack():
                self._fallbacks[event.agent, event.turn] = event
            case _:
                pass

    def _measure(self, recorded: Iterable[Recorded]) -> None:
        """Add up what was used, for every agent run and all above it, and the time since it began."""
        clock, last = 0.0, 0.0
        began: dict[str, float] = {"": 0.0}
        for item in recorded:
            event = item.event
            if not isinstance(event, RunResumed | RunStarted):
                clock += max(0.0, item.at - last)
            last = item.at
            match event:
                case AgentRunStarted():
                    began[event.agent] = clock
                case ModelCallFinished() | ModelCallLost() | SummaryFinished():
                    for path in (*upwards(event.agent), ""):
                        self._spent[path].usage += event.usage
                        self._spent[path].cost += event.cost or 0.0
                case TurnStarted():
                    if self.check == "requests":
                        paths = (*upwards(event.agent), "")
                        before = {path: replace(self._spent[path]) for path in paths}
                        self._spent_before[event.agent, event.turn] = before
                    self._spent[event.agent].turns += 1
                    self._spent[""].turns += 1
                case _:
                    pass
        for path, since in began.items():
            self._spent[path].seconds = clock - since


def _request(event: Event) -> tuple[object, ...]:
    assert isinstance(event, ModelCallStarted)
    return event.digest, event.tool_choice, event.entries, event.model, event.provider

"""Progress on standard error: a live tree of agents on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time

import anyio
from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from harness.cli.ask import ask, somebody_is_there
from harness.cli.terminal import count, dollars, one_line, plain
from harness.events import (
    AgentRunFinished,
    AgentRunStarted,
    ApprovalDecided,
    ApprovalRequested,
    DeliverableRejected,
    Event,
    LimitWasReached,
    ModelCallFinished,
    ModelCallRetried,
    ModelFellBack,
    PlanCreated,
    ReplanRequested,
    RunResumed,
    ThinkingOverran,
    ToolCallFinished,
    ToolServerFailed,
    ToolServerStarted,
)
from harness.harness import Harness
from harness.loop.log import Happening, Progress
from harness.loop.state import AgentState, RunState
from harness.models.port import ThinkingDelta, Waiting
from harness.run import Run

REFRESH_SECONDS = 0.12
_LAST_THOUGHT = 60
"""Characters of an agent's thinking beside its name."""


async def show_progress(harness: Harness, run: Run) -> None:
    """Show what the run is doing until it ends, and ask at the terminal what it wants to know."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal and os.environ.get("TERM") != "dumb":
        await _live(harness, run, console)
    else:
        await _lines(run)


async def _lines(run: Run) -> None:
    def notice(agent: str, notice: Happening) -> None:
        if isinstance(notice, Waiting) and notice.queued:
            print(f"{agent}: {describe_wait(notice)}", file=sys.stderr, flush=True)

    run.notices.listen(notice)
    async for recorded in run.events(after=run.begins_at - 1):
        line = describe(recorded.event)
        if line:
            print(line, file=sys.stderr, flush=True)


def describe_wait(waiting: Waiting) -> str:
    """Return what a request waits for, and how long if that is known."""
    seconds = "" if waiting.seconds is None else f" {waiting.seconds:.0f} s"
    others = "" if waiting.queued < 2 else f", {waiting.queued} in the queue"
    return f"waits{seconds}{others}: {waiting.reason}"


def describe(event: Event) -> str:
    """Return one line about an event worth telling, or nothing."""
    match event:
        case AgentRunStarted(brief=None):
            return ""
        case AgentRunStarted(agent=agent, brief=brief) if brief is not None:
            return f"{agent}: {one_line(brief.objective, 90)}"
        case AgentRunFinished(agent=agent, report=report) if "/" in agent:
            return f"{agent}: {report.status}, {count(len(report.evidence), 'quote')}"
        case PlanCreated(agent=agent, version=version, tasks=tasks):
            return f"{agent}: plan {version} with {count(len(tasks), 'task')}: {', '.join(task.id for task in tasks)}"
        case ToolCallFinished(agent=agent, tool=tool, is_error=True, shown=shown):
            return f"{agent}: {tool} failed: {one_line(shown, 90)}"
        case ReplanRequested(agent=agent, reason=reason):
            return f"{agent}: asked to revise the plan: {one_line(reason, 90)}"
        case DeliverableRejected(agent=agent, reasons=reasons):
            return f"{agent}: sent back: {one_line('; '.join(reasons), 90)}"
        case LimitWasReached(agent=agent, limit=limit, scope=scope):
            return f"{agent}: the {limit} limit of {scope} is reached"
        case ModelCallRetried() | ModelFellBack():
            return _describe_fault(event)
        case ToolServerStarted(server=server, tools=tools, seconds=seconds) if seconds > 1:
            return f"server {server}: {count(len(tools), 'tool')} after {seconds:.1f} s"
        case ToolServerFailed(server=server, error=error):
            return f"server {server} failed: {one_line(error, 120)}"
        case _:
            return _describe_thinking(event) or _describe_people(event)


def _describe_thinking(event: Event) -> str:
    """Return one line about thinking that passed its budget, or nothing."""
    match event:
        case ModelCallFinished(agent=agent, cut=cut) if cut is not None:
            return f"{agent}: its thinking was ended after {count(cut.tokens, 'token')}"
        case ThinkingOverran(agent=agent, tokens=tokens, budget=budget):
            return f"{agent}: thought {count(tokens, 'token')} where {budget:,} were allowed"
        case _:
            return ""


def _describe_fault(event: ModelCallRetried | ModelFellBack) -> str:
    """Return one line about a request that failed, and what is done about it."""
    if isinstance(event, ModelCallRetried):
        done = f"model call failed, again in {event.wait_seconds:.1f} s"
    else:
        done = f"goes on with {event.to_model} instead of {event.from_model}"
    return f"{event.agent}: {done}: {one_line(event.reason, 90)}"


def _describe_people(event: Event) -> str:
    """Return one line about what concerns the person at the terminal, or nothing."""
    match event:
        case ApprovalRequested(agent=agent, tool=tool, kind=kind):
            what = {"permission": "may it call", "in_doubt": "did it call", "elicitation": "it is asked by"}[
                kind
            ]
            return f"{agent}: waits for you: {what} {tool}?"
        case ApprovalDecided(agent=agent, decision=decision, by=by):
            return f"{agent}: {decision.replace('_', ' ')}" + (f" by {plain(by)}" if by else "")
        case RunResumed(replayed=replayed, again=again, in_doubt=doubt):
            return (
                f"resumed: {count(replayed, 'call')} replayed, {len(again)} made again, {len(doubt)} in doubt"
            )
        case _:
            return ""


async def _live(harness: Harness, run: Run, console: Console) -> None:
    picture = _Picture(run.state, console)
    run.notices.listen(picture.notice)
    with Live(console=console, get_renderable=picture.render, auto_refresh=False) as live:
        async with anyio.create_task_group() as drawing:

            async def draw() -> None:
                while True:
                    if live.is_started:
                        live.refresh()
                    await anyio.sleep(REFRESH_SECONDS)

            drawing.start_soon(draw)
            async for recorded in run.events(after=run.begins_at - 1):
                if recorded.event in run.waiting and somebody_is_there():
                    assert isinstance(recorded.event, ApprovalRequested)
                    live.stop()
                    await ask(harness, run, recorded.event)
                    live.start()
            drawing.cancel_scope.cancel()
        live.refresh()


class _Picture:
    """Draws the agents of a run from its state."""

    def __init__(self, state: RunState, console: Console) -> None:
        self._state = state
        self._console = console
        self._began = time.monotonic()
        self._said: dict[str, str] = {}
        self._waits: dict[str, str] = {}
        """What the request of an agent waits for; empty once it no longer does."""
        self._thought: dict[str, str] = {}

    def notice(self, agent: str, notice: Happening) -> None:
        """Remember the newest progress of an agent's tool, what its request waits for, and the last it thought."""
        if isinstance(notice, Progress):
            share = f" {notice.done / notice.total:.0%}" if notice.total else ""
            self._said[agent] = f"{notice.tool}{share} {notice.message}"
        elif isinstance(notice, Waiting):
            self._waits[agent] = describe_wait(notice) if notice.queued else ""
        elif isinstance(notice, ThinkingDelta):
            self._thought[agent] = (self._thought.get(agent, "") + notice.text)[-_LAST_THOUGHT:]
        else:
            self._thought.pop(agent, None)

    def render(self) -> Tree:
        """Return the tree as it stands."""
        state = self._state
        seconds = time.monotonic() - self._began
        usage = state.usage
        tree = Tree(
            Text(
                f"{seconds:.1f} s · {count(len(state.agents), 'agent')} · {count(usage.total_tokens, 'token')} · "
                f"{dollars(None if state.unpriced else state.cost)}",
                style="bold",
            )
        )
        branches = {"": tree}
        for agent in self._shown(list(state.agents.values())):
            parent = agent.path.rpartition("/")[0]
            branches[agent.path] = branches.get(parent, tree).add(self._line(agent))
        return tree

    def _shown(self, agents: list[AgentState]) -> list[AgentState]:
        """Return as many agents as fit, those at work before those that are done."""
        room = max(4, self._console.height - 4)
        if len(agents) <= room:
            return agents
        busy = [agent for agent in agents if agent.report is None][:room]
        rest = (
            [agent for agent in agents if agent.report is not None][-(room - len(busy)) :]
            if room > len(busy)
            else []
        )
        chosen = {agent.path for agent in (*busy, *rest)}
        return [agent for agent in agents if agent.path in chosen]

    def _line(self, agent: AgentState) -> Text:
        mark, style = _mark(agent)
        doing = ""
        if agent.report is None:
            doing = (
                ": ".join(filter(None, ("thinking", self._thought.get(agent.path, ""))))
                if agent.calling_model
                else ", ".join(tool for tool, _ in agent.running.values())
            )
            doing = self._said.get(agent.path, doing) if agent.running else doing
            doing = self._waits.get(agent.path) or doing
        tokens = count(agent.usage.total_tokens, "token")
        name = agent.path.rpartition("/")[2]
        line = f"{mark} {name} · {count(agent.turns, 'turn')} · {tokens}" + (f" · {doing}" if doing else "")
        return Text(one_line(line, self._console.width - 8), style=style)


def _mark(agent: AgentState) -> tuple[str, str]:
    if agent.report is None:
        return "…", ""
    return {"done": ("✓", "green"), "partial": ("~", "yellow"), "failed": ("✗", "red")}[agent.report.status]

"""`harness show`: one run, computed from its events."""

from __future__ import annotations

import sys

from harness.cli.run_team import print_result
from harness.cli.store import open_store
from harness.cli.terminal import count, dollars, one_line, plain, when
from harness.cli.windows import print_windows, windows_view
from harness.events import ModelCallFinished, PlanCreated, Recorded, ThinkingDecided, ToolCallFinished
from harness.journal import resolve_run
from harness.loop.state import AgentState, RunState, fold
from harness.loop.thinking import SUMMARY_CHARACTERS
from harness.messages import Reasoning
from harness.run import RunResult
from harness.views import event_view, json_line


def show_run(reference: str, store: str | None, *, events: bool, windows: bool, as_json: bool) -> None:
    """Print one run."""
    journal = open_store(store)
    recorded = list(journal.read(resolve_run(journal, reference)))
    if as_json:
        for view in windows_view(recorded) if windows else map(event_view, recorded):
            print(json_line(view))
        return
    state = fold(recorded)
    _print_head(recorded, state)
    for agent in state.agents.values():
        _print_agent(agent, recorded)
    if windows:
        print()
        print_windows(recorded)
    if events:
        for item in recorded:
            place = getattr(item.event, "agent", "")
            print(f"{item.sequence:5d}  {when(item.at)}  {item.event.type:24s} {plain(place)}")
    print()
    if state.finished is not None:
        print_result(RunResult.of(state.finished))
    else:
        print("this run has not finished", file=sys.stderr)


def _print_head(recorded: list[Recorded], state: RunState) -> None:
    assert state.started is not None
    seconds = recorded[-1].at - recorded[0].at
    print(
        f"run {recorded[0].run_id} of {plain(state.started.team_name)}, {when(recorded[0].at)}, {seconds:.1f} s"
    )
    origin = state.started.forked_from
    if origin is not None:
        changes = "".join(f" {change}" for change in origin.changes)
        print(f"fork of {origin.run_id} at {plain(origin.at)}{plain(changes)}")
    if state.started.session:
        print(f"session: {plain(state.started.session)}")
    print(f"task: {one_line(state.started.task.text, 300)}")
    for question in state.waiting.values():
        print(f"waits for you: {plain(question.tool)} in {plain(question.key)} ({question.kind})")
    cost = dollars(None if state.unpriced else state.cost)
    print(f"{count(len(state.agents), 'agent')}, {count(state.usage.total_tokens, 'token')}, {cost}\n")


def _print_agent(agent: AgentState, recorded: list[Recorded]) -> None:
    indent = "  " * agent.path.count("/")
    status = agent.report.status if agent.report else "unfinished"
    name = agent.path.rpartition("/")[2]
    print(
        f"{indent}{name} ({plain(agent.model)}): {status}, {count(agent.turns, 'turn')}, "
        f"{count(agent.usage.total_tokens, 'token')}, window {agent.window.tokens:,}"
    )
    asked: ThinkingDecided | None = None
    for item in recorded:
        event = item.event
        if isinstance(event, ThinkingDecided) and event.agent == agent.path:
            asked = event
        elif isinstance(event, ModelCallFinished) and event.agent == agent.path and asked is not None:
            for line in _thinking(asked, event):
                print(f"{indent}  {line}")
        elif isinstance(event, ToolCallFinished) and event.agent == agent.path:
            outcome = (
                f"failed: {one_line(event.shown, 70)}"
                if event.is_error
                else f"{len(event.shown):,} characters"
            )
            print(f"{indent}  {event.turn}. {event.tool}: {outcome}")
        elif isinstance(event, PlanCreated) and event.agent == agent.path:
            kept = f" (kept: {', '.join(event.kept)})" if event.kept else ""
            print(f"{indent}  plan {event.version}{kept}")
            for task in event.tasks:
                needs = f" after {', '.join(task.needs)}" if task.needs else ""
                print(f"{indent}    {task.id}: {task.agent}{needs}: {one_line(task.brief.objective, 80)}")


def _thinking(asked: ThinkingDecided, finished: ModelCallFinished) -> list[str]:
    """Return what a person is shown of the thinking in one reply."""
    allowed = "" if asked.budget is None else f" of {asked.budget:,}"
    words = f"{asked.mode}, {count(finished.usage.reasoning_tokens, 'token')}{allowed}, {asked.enforcement}"
    ended = (
        "; ended by the harness" if finished.cut or finished.error_type == "ThinkingBudgetExhausted" else ""
    )
    lines = [f"{asked.turn}. thinking {words}: {one_line(asked.reason, 90)}{ended}"]
    parts = finished.message.parts if finished.message is not None else ()
    thought = "\n".join(part.text for part in parts if isinstance(part, Reasoning))
    if thought and asked.visible == "summary":
        lines.append(f"   {one_line(thought, SUMMARY_CHARACTERS)}")
    elif thought and asked.visible == "full":
        lines += [f"   {line}" for line in plain(thought).split("\n")]
    return lines

"""What a run has come to, as JSON."""

from __future__ import annotations

from harness.events import RunFinished
from harness.journal.port import RunSummary
from harness.loop.state import RunState, fold
from harness.serve.reception import Reception
from harness.views import citation_view, question_view, usage_view


def summary_status(summary: RunSummary, *, live: bool) -> dict[str, object]:
    """Return one line of a list of runs."""
    finished = summary.finished
    return {
        "run_id": summary.run_id,
        "status": _status(finished, live=live),
        "team": summary.started.team_name,
        "entry": summary.started.entry,
        "session": summary.started.session,
        "task": summary.started.task.text,
        "started_at": summary.started_at,
        "finished_at": summary.finished_at,
        "tokens": finished.usage.total_tokens if finished else None,
        "cost": finished.cost if finished else None,
    }


async def run_status(reception: Reception, run_id: str) -> dict[str, object]:
    """Return everything worth knowing about a run that exists."""
    run = reception.harness.live.get(run_id)
    if run is not None:
        return _whole(run_id, run.state, live=True)
    return _whole(run_id, fold(await reception.recorded(run_id)), live=False)


def _whole(run_id: str, state: RunState, *, live: bool) -> dict[str, object]:
    started, finished = state.started, None if live else state.finished
    return {
        "run_id": run_id,
        "status": _status(finished, live=live),
        "team": started.team_name if started else "",
        "entry": started.entry if started else "",
        "session": started.session if started else "",
        "task": started.task.text if started else "",
        "output": finished.output if finished else None,
        "citations": [citation_view(citation) for citation in finished.citations] if finished else [],
        "dropped": list(finished.dropped) if finished else [],
        "notes": list(finished.notes) if finished else [],
        "error": finished.error if finished else "",
        "waiting": [question_view(question) for question in state.waiting.values()],
        "usage": usage_view(state.usage),
        "cost": None if state.unpriced else state.cost,
        "agents": [
            {
                "agent": agent.path,
                "status": agent.report.status if agent.report else "working",
                "turns": agent.turns,
            }
            for agent in state.agents.values()
        ],
        "events": state.events,
    }


def _status(finished: RunFinished | None, *, live: bool) -> str:
    if live:
        return "running"
    return finished.stop_reason if finished else "unfinished"

"""What our own traces say beyond the conventions, under `harness.*`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from harness.foreign.agents import Acting
from harness.foreign.messages import parsed
from harness.foreign.seen import Seen
from harness.foreign.span import Attributes
from harness.messages import Message
from harness.record import AgentRecord, Outcome, RunRecord, Turn

ORIGINS = "harness.window.origins"
TOKENS = "harness.window.origin_tokens"
ENTRIES = "harness.window.entries"

_OUTCOMES: dict[str, Outcome] = {"done": "done", "failed": "failed"}


def own_entries(span: Seen) -> list[tuple[str, int, Message | None]] | None:
    """Return origin, tokens and message (None without content) of what is new in a request of ours.

    None if it is not ours, or its content does not fit what it says of it.
    """
    if span.own is None:
        return None
    origins, tokens = _list(span.own, ORIGINS), _list(span.own, TOKENS)
    if not origins or len(tokens) != len(origins):
        return None
    if not all(isinstance(origin, str) for origin in origins):
        return None
    counts = [token if isinstance(token, int) and token >= 0 else 0 for token in tokens]
    instructions, messages = list(span.instructions), list(span.inputs or ())
    systems = sum(1 for origin in origins if origin == "system")
    if not instructions and not messages:
        held: list[Message | None] = [None] * len(origins)
    else:
        rest = len(origins) - systems
        if len(messages) < rest or len(instructions) < systems:
            return None
        new_systems = instructions[len(instructions) - systems :]
        new = messages[len(messages) - rest :]
        held = [new_systems.pop(0) if origin == "system" else new.pop(0) for origin in origins]
    return list(zip(cast("list[str]", origins), counts, held, strict=True))


def own_turn(span: Seen, turn: Turn) -> None:
    """Add what a request of ours says about itself."""
    if span.own is None:
        return
    counted, retries = span.own.get("harness.window.tokens"), span.own.get("harness.model_call.retries")
    turn.counted = counted if isinstance(counted, int) else 0
    turn.retries = retries if isinstance(retries, int) else 0
    if span.own.get("harness.usage.estimated") is True:
        turn.reported = turn.output = turn.cached = turn.reasoning = None
    elif turn.reported is not None:
        turn.cached, turn.reasoning = turn.cached or 0, turn.reasoning or 0


def own_outcome(root: Seen, record: RunRecord) -> None:
    """Take how a run of ours ended, and its id, from the root span."""
    if root.own is None:
        return
    run, reason = root.own.get("harness.run.id"), root.own.get("harness.run.stop_reason")
    if isinstance(run, str) and run:
        record.id = run
    if isinstance(reason, str):
        record.outcome = _OUTCOMES.get(reason, "stopped")
    else:
        record.outcome = "unknown"


def own_status(span: Seen, agent: AgentRecord) -> None:
    """Take how an agent run of ours ended."""
    status = (span.own or {}).get("harness.report.status")
    if isinstance(status, str) and agent.status:
        agent.status = status


def own_briefs(agents: Iterable[Acting], record: RunRecord) -> None:
    """Say what sub-agents of ours were to do, and for which others they waited, as the call says that asked."""
    ours = [
        one for one in agents if one.asked_by is not None and (one.span.own or {}).get("harness.agent.path")
    ]
    by_task = {(_asked(one).id, _task(one)): one.path for one in ours}
    for acting in ours:
        agent, asked = record.agents[acting.path], _asked(acting)
        agent.task_id = _task(acting)
        told = _object(asked.arguments)
        planned = told.get("tasks")
        for one in cast("list[Any]", planned) if isinstance(planned, list) else []:
            if _object(one).get("id") == agent.task_id:
                told = _object(one)
        needs, objective = told.get("needs"), told.get("objective")
        if isinstance(objective, str):
            agent.brief = objective
        if isinstance(needs, list):
            known = [by_task.get((asked.id, str(need))) for need in cast("list[Any]", needs)]
            agent.after = tuple(path for path in known if path)


def _asked(acting: Acting) -> Seen:
    return acting.asked_by or acting.span


def _task(acting: Acting) -> str:
    task = (acting.span.own or {}).get("harness.plan.task")
    return task if isinstance(task, str) else ""


def _object(value: Any) -> dict[str, Any]:
    held = parsed(value)
    return cast("dict[str, Any]", held) if isinstance(held, dict) else {}


def own_effect(span: Seen) -> Any:
    """Return the effect class that a call of ours declares."""
    effect = (span.own or {}).get("harness.tool.effect")
    return effect if effect in ("read", "idempotent", "keyed", "once") else None


def own_key(span: Seen) -> str:
    """Return the key of a call of ours."""
    key = (span.own or {}).get("harness.tool.call.key")
    return key if isinstance(key, str) else ""


def _list(own: Attributes, name: str) -> list[Any]:
    value = own.get(name)
    return cast("list[Any]", value) if isinstance(value, list | tuple) else []

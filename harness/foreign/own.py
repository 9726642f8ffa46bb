"""What our own traces say beyond the conventions, under `harness.*`."""

from __future__ import annotations

from typing import Any, cast

from harness.foreign.seen import Seen
from harness.messages import Message
from harness.record import Outcome, RunRecord, Turn

ORIGINS = "harness.window.origins"
TOKENS = "harness.window.origin_tokens"
ENTRIES = "harness.window.entries"

_OUTCOMES: dict[str, Outcome] = {"done": "done", "failed": "failed"}


def own_entries(span: Seen) -> list[tuple[str, int, Message | None]] | None:
    """Return origin, tokens and message (None without content) of what is new in a request of ours.

    None if it is not ours, or its content does not fit what it says of it.
    """
    origins, tokens = _list(span, ORIGINS), _list(span, TOKENS)
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


def own_effect(span: Seen) -> Any:
    """Return the effect class that a call of ours declares."""
    effect = (span.own or {}).get("harness.tool.effect")
    return effect if effect in ("read", "idempotent", "keyed", "once") else None


def own_key(span: Seen) -> str:
    """Return the key of a call of ours."""
    key = (span.own or {}).get("harness.tool.call.key")
    return key if isinstance(key, str) else ""


def _list(span: Seen, name: str) -> list[Any]:
    value = (span.own or {}).get(name)
    return cast("list[Any]", value) if isinstance(value, list | tuple) else []

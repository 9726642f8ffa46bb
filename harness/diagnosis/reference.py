"""Where a run did something else than the actions that its benchmark says would have been right.

Only what changes something counts: readings may differ on the way to the same end. Texts that are written for
people may be worded in any way. A run of which no reference is known departs from nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from harness.diagnosis.findings import Quote
from harness.record import Call, RunRecord
from harness.record.effects import access_by_name, access_of

_PROSE_WORDS = 5
_QUOTED = 240
_SHOWN = 120

Action = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Departure:
    """The first place where a run left its reference."""

    agent: str
    turn: int
    why: str
    evidence: tuple[Quote, ...]
    call: str = ""
    """The call that the reference does not hold; empty if one is missing."""


def departure(record: RunRecord) -> Departure | None:
    """Return the first change that is not the reference's, or else the first of the reference's that never came."""
    if record.reference is None:
        return None
    wanted = [action for action in record.reference if access_by_name(action[0]) != "read"]
    done = [
        (agent.path, call)
        for agent in record.agents.values()
        for call in agent.calls()
        if access_of(call) != "read" and not call.is_error
    ]
    for path, call in done:
        match = next((action for action in wanted if _is(call, action)), None)
        if match is None:
            return _other(path, call, [action for action in wanted if action[0] == call.tool])
        wanted.remove(match)
    return _missing(record, done, wanted[0]) if wanted else None


def _other(path: str, call: Call, alike: list[Action]) -> Departure:
    did = Quote(call.key, f"{call.tool} {call.arguments}"[:_QUOTED])
    if not alike:
        why = f"{call.tool} is none of the changes that the task's reference has"
        return Departure(path, call.turn, why, (did,), call.key)
    given = _arguments(call)
    nearest = min(alike, key=lambda action: len(_differing(given, action[1])))
    differing = sorted(_differing(given, nearest[1]))
    wanted = ", ".join(f"{name} {_short(nearest[1].get(name))}" for name in differing)
    why = f"{call.tool} was called with other arguments than the task's reference has: {wanted}"
    return Departure(path, call.turn, why, (did,), call.key)


def _missing(record: RunRecord, done: list[tuple[str, Call]], action: Action) -> Departure:
    agent = record.agents[done[-1][0]] if done else next(iter(record.agents.values()))
    turns = [turn for turn in agent.turns if not done or turn.number > done[-1][1].turn] or agent.turns[-1:]
    turn = turns[0] if done else turns[-1]
    replies = [one.reply for one in turns if one.reply is not None]
    evidence = tuple(Quote(reply.id, reply.text[:_QUOTED]) for reply in replies[-1:])
    why = f"{action[0]} {_short(action[1])} of the task's reference was never called"
    return Departure(agent.path, turn.number, why, evidence)


def _is(call: Call, action: Action) -> bool:
    return call.tool == action[0] and not _differing(_arguments(call), action[1])


def _differing(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> set[str]:
    """Return the names of arguments that differ; how prose is worded makes no difference."""
    names = {*given, *wanted}
    return {
        name
        for name in names
        if given.get(name) != wanted.get(name)
        and not (_is_prose(given.get(name)) and _is_prose(wanted.get(name)))
    }


def _is_prose(value: Any) -> bool:
    return isinstance(value, str) and len(value.split()) >= _PROSE_WORDS


def _arguments(call: Call) -> Mapping[str, Any]:
    try:
        held: Any = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", held) if isinstance(held, dict) else {}


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

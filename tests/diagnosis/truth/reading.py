"""From a record back to a script, so that defects can be put into runs that nobody wrote for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import orjson

from harness.messages import Message, Reasoning, Text
from harness.record import ALL_FACETS, AgentRecord, Entry, RunRecord
from harness.record import Call as RecordedCall
from harness.record import Turn as RecordedTurn

from .script import Agent, Call, Drop, Extra, Script, Turn


def script_of(record: RunRecord, *, family: str) -> Script:
    """Return the script that a record could have been made from; calls are marked by their keys."""
    return Script(
        family,
        record.task,
        tuple(_agent(agent) for agent in record.agents.values()),
        answer=str(record.answer or ""),
        outcome=record.outcome,
        error=record.error,
        team=record.team,
        lacks=frozenset(ALL_FACETS - record.carries),
    )


def _agent(record: AgentRecord) -> Agent:
    marks: dict[int, str] = {}
    """By the number of the entry; what takes the place of another has its mark."""
    first = [entry for entry in record.entries if not entry.turn and entry.first == 1]
    for role, word in (("system", "system"), ("user", "task")):
        found = next((entry for entry in first if entry.message.role == role), None)
        if found is not None:
            marks[found.number] = f"{record.path}:{word}"
    told = {marks[entry.number].rpartition(":")[2]: entry.text for entry in first if entry.number in marks}
    turns = tuple(_turn(record, turn, marks) for turn in record.turns)
    return Agent(
        record.path,
        told.get("system", ""),
        told.get("task", record.brief),
        tuple(record.tools or ()),
        turns,
        report=record.report or "",
        status=record.status or "done",
        parent_call=record.parent_call,
        after=record.after,
        context_window=record.context_window,
        effects=record.effects,
    )


def _turn(record: AgentRecord, turn: RecordedTurn, marks: dict[int, str]) -> Turn:
    drops = tuple(_drops(turn, marks))
    before: list[Extra] = []
    for entry in turn.new:
        is_other = entry.number not in marks and not entry.call and entry.message.role != "assistant"
        if is_other and not entry.origin.startswith(("tool:", "report:")):
            marks[entry.number] = entry.id
            before.append(Extra(entry.id, entry.origin, entry.message))
    message = turn.reply.message if turn.reply else Message("assistant", ())
    if turn.reply:
        marks[turn.reply.number] = turn.id
    for call in turn.calls:
        if call.entry is not None:
            marks[call.entry.number] = call.key
    return Turn(
        turn.id,
        "\n".join(part.text for part in message.parts if isinstance(part, Text)),
        "\n".join(part.text for part in message.parts if isinstance(part, Reasoning)),
        tuple(_call(record, call) for call in turn.calls),
        tuple(before),
        drops,
    )


def _drops(turn: RecordedTurn, marks: dict[int, str]) -> Iterator[Drop]:
    for entry in turn.gone:
        mark = marks.get(entry.number)
        if mark is not None:
            new: Entry | None = entry.replaced_by
            if new is not None:
                marks[new.number] = mark
            yield Drop(mark, new.message if new else None, entry.gone)


def _call(record: AgentRecord, call: RecordedCall) -> Call:
    try:
        arguments: Any = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        arguments = None
    seconds = call.ended - call.started if call.ended and call.started else 0.8
    return Call(
        call.key,
        call.tool,
        cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {},
        call.result or "",
        call.is_error,
        call.children[0] if call.children else "",
        seconds,
    )

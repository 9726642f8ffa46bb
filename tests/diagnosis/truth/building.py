"""From a script to a record, as an importer would make it, with figures as a provider would report them.

Usage comes from a tokenizer that nobody but this file knows: it disagrees with our estimate by a factor and,
text by text, by some noise. Prefixes are cached in blocks of 128 tokens, tools and models take their time.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field

import orjson

from harness.messages import Message, Reasoning, Text, ToolCall, ToolResult
from harness.record import ALL_FACETS, AgentBuilder, AgentRecord, Entry, RunRecord, place_calls
from harness.record import Call as RecordedCall
from harness.record import Turn as RecordedTurn
from harness.record.run import part_text

from .script import Agent, Call, Label, Script, Turn

_PIECE = re.compile(r"[A-Za-z]{1,7}|\d{1,3}|[^\w\s]|\s{2,}")
_BLOCK = 128
_BEGAN = 1_790_000_000.0


def hidden_tokens(text: str) -> int:
    """Return what the provider counts for a text."""
    noise = 0.96 + (zlib.crc32(text.encode("utf-8", "replace")) % 80) / 1000
    return round(len(_PIECE.findall(text)) * 1.12 * noise)


def hidden_message(message: Message) -> int:
    """Return what the provider counts for a message."""
    total = 5
    for part in message.parts:
        total += hidden_tokens(part_text(part))
        if isinstance(part, ToolCall):
            total += hidden_tokens(part.name) + 6
        elif isinstance(part, ToolResult):
            total += 3
    return total


@dataclass
class Built:
    """A record and where the marks of its script are in it."""

    record: RunRecord
    calls: dict[str, str] = field(default_factory=dict)
    """Keys of calls by mark."""
    entries: dict[str, set[str]] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)

    def place(self, label: Label) -> Place:
        """Return where in the record a label points to."""
        return Place(
            agents=frozenset({label.agent, *label.others}),
            whole=not label.marks,
            calls=frozenset(self.calls[mark] for mark in label.marks if mark in self.calls),
            entries=frozenset(entry for mark in label.marks for entry in self.entries.get(mark, ())),
            turns=frozenset(self.turns[mark] for mark in label.marks if mark in self.turns),
        )


@dataclass(frozen=True)
class Place:
    """A place in a record."""

    agents: frozenset[str]
    whole: bool
    calls: frozenset[str]
    entries: frozenset[str]
    turns: frozenset[int]


def build(script: Script) -> Built:
    """Return the record of a script."""
    record = RunRecord(
        f"run-{script.family}",
        "truth",
        name=script.family,
        task=script.task,
        answer=script.answer or None,
        outcome=script.outcome,  # pyright: ignore[reportArgumentType]
        error=script.error,
        team=script.team,
        carries=ALL_FACETS - {"plans"} - script.lacks,  # pyright: ignore[reportArgumentType]
        started=_BEGAN,
    )
    built = Built(record)
    building = _Building(script, built)
    ended = _BEGAN
    for agent in script.agents:
        if not agent.parent_call:
            ended = building.agent(agent, ended, None)
    record.ended = ended
    record.spans = sum(1 + len(one.turns) + len(list(one.calls())) for one in record.agents.values())
    _forget(record)
    return built


def _forget(record: RunRecord) -> None:
    """Leave out what the source of the script does not carry."""
    for agent in record.agents.values():
        if record.lacks("tool_definitions"):
            agent.tools = None
        for turn in agent.turns:
            if record.lacks("usage"):
                turn.reported = turn.output = turn.reasoning = None
            if record.lacks("cached"):
                turn.cached = None
            if record.lacks("cost"):
                turn.cost = None
            if record.lacks("times"):
                turn.started = turn.ended = None


@dataclass
class _Building:
    script: Script
    built: Built
    children: dict[str, list[Agent]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    """What the provider counts for each entry, by its id."""

    def __post_init__(self) -> None:
        for agent in self.script.agents:
            self.children.setdefault(agent.parent_call, []).append(agent)

    def agent(self, agent: Agent, at: float, parent_call: RecordedCall | None) -> float:
        """Write one agent run that begins at a time, and return when it ends."""
        record = AgentRecord(
            agent.path,
            agent.name,
            parent=agent.parent,
            parent_call=parent_call.key if parent_call else "",
            after=agent.after,
            model="model-1",
            provider="acme",
            context_window=agent.context_window,
            tools=agent.tools,
            effects=agent.effects,
            brief=agent.task if agent.parent else "",
            started=at,
            span=f"agent {agent.path}",
        )
        self.built.record.agents[agent.path] = record
        builder = AgentBuilder(record)
        entries: dict[str, Entry] = {}
        self._enter(
            builder, entries, f"{agent.path}:system", "system", Message("system", (Text(agent.instructions),))
        )
        first = Message("user", (Text(agent.task),))
        self._enter(builder, entries, f"{agent.path}:task", "brief" if agent.parent else "task", first)
        definitions = sum(hidden_tokens(tool.encoded.decode()) + 8 for tool in agent.tools)
        for turn in agent.turns:
            at = self._turn(agent, turn, builder, entries, definitions, at)
        builder.finish()
        place_calls(record)
        record.report = agent.report or None
        record.status, record.ended = agent.status, at
        return at

    def _enter(
        self, builder: AgentBuilder, entries: dict[str, Entry], mark: str, origin: str, message: Message
    ) -> Entry:
        entry = builder.append(origin, message)
        entries[mark] = entry
        self.built.entries.setdefault(mark, set()).add(entry.id)
        return entry

    def _turn(
        self,
        agent: Agent,
        turn: Turn,
        builder: AgentBuilder,
        entries: dict[str, Entry],
        definitions: int,
        at: float,
    ) -> float:
        for drop in turn.drops:
            self._drop(builder, entries, drop.mark, drop.message, drop.reason)
        for extra in turn.before:
            self._enter(builder, entries, extra.mark, extra.origin, extra.message)
        recorded = builder.begin_turn(
            RecordedTurn(agent.path, 0, model="model-1", provider="acme", started=at)
        )
        self.built.turns[turn.mark] = recorded.number
        message = reply_of(turn)
        window = builder._held
        self._usage(recorded, window, definitions, message)
        at += 0.6 + (recorded.output or 0) / 80
        recorded.ended = at
        entry = builder.reply(message)
        entries[turn.mark] = entry
        self.built.entries.setdefault(turn.mark, set()).add(entry.id)
        latest = at
        for index, call in enumerate(turn.calls):
            latest = max(latest, self._call(agent, call, index, builder, entries, at))
        for drop in turn.clears:
            self._drop(builder, entries, drop.mark, drop.message, drop.reason)
        return latest

    def _drop(
        self,
        builder: AgentBuilder,
        entries: dict[str, Entry],
        mark: str,
        message: Message | None,
        reason: str,
    ) -> None:
        old = entries.pop(mark, None)
        if old is None:  # another change of the window took it out before
            return
        tokens = 4 + sum(len(part_text(part)) // 4 for part in message.parts) if message else 0
        builder.replace(old, message, tokens=tokens, reason=reason)
        if old.replaced_by is not None:
            entries[mark] = old.replaced_by
            self.built.entries[mark].add(old.replaced_by.id)

    def _usage(self, turn: RecordedTurn, window: list[Entry], definitions: int, reply: Message) -> None:
        for entry in turn.new:
            self.sizes[entry.id] = hidden_message(entry.message)
        sizes = [self.sizes[entry.id] for entry in window]
        turn.reported = 9 + definitions + sum(sizes)
        turn.output = hidden_message(reply)
        thought = sum(hidden_tokens(part.text) for part in reply.parts if isinstance(part, Reasoning))
        turn.reasoning = thought
        same = 0
        new = {id(entry) for entry in turn.new}
        for entry, size in zip(window, sizes, strict=True):
            if id(entry) in new:
                break
            same += size
        whole = turn.number > 1 and (9 + definitions + same) // _BLOCK * _BLOCK
        broken = [entry.place for entry in turn.gone]
        if broken and whole:
            kept = sum(size for entry, size in zip(window, sizes, strict=True) if entry.place < min(broken))
            whole = min(whole, (9 + definitions + kept) // _BLOCK * _BLOCK)
        turn.cached = int(whole)
        turn.cost = ((turn.reported - turn.cached) * 2.5 + turn.cached * 0.25 + turn.output * 10) / 1e6
        turn.counted = turn.reported

    def _call(
        self,
        agent: Agent,
        call: Call,
        index: int,
        builder: AgentBuilder,
        entries: dict[str, Entry],
        at: float,
    ) -> float:
        turn = builder.record.turns[-1]
        key = f"{turn.id}/{index}"
        arguments = orjson.dumps(dict(call.arguments)).decode()
        recorded = RecordedCall(
            key, call.id, call.tool, arguments, agent.path, turn.number, index, started=at
        )
        recorded.result, recorded.is_error = call.result, call.is_error
        recorded.error_type = "tool" if call.is_error else ""
        recorded.effect = agent.effects.get(call.tool)
        recorded.span = f"tool {key}"
        turn.calls.append(recorded)
        self.built.calls[call.id] = key
        ended = at + call.seconds
        for child in self.children.get(call.id, ()):
            recorded.children.append(child.path)
            ended = max(ended, self.agent(child, at, recorded))
        recorded.ended = ended
        origin = f"report:{call.child}" if call.child else f"tool:{call.tool}"
        message = Message("tool", (ToolResult(call.id, call.result, call.is_error),))
        self._enter(builder, entries, call.id, origin, message)
        return ended


def reply_of(turn: Turn) -> Message:
    """Return the reply of a turn as a message."""
    parts: list[Reasoning | Text | ToolCall] = []
    if turn.thinking:
        parts.append(Reasoning(turn.thinking))
    if turn.text:
        parts.append(Text(turn.text))
    parts += [
        ToolCall(call.id, call.tool, orjson.dumps(dict(call.arguments)).decode()) for call in turn.calls
    ]
    return Message("assistant", tuple(parts))

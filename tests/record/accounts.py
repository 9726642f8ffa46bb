"""What must hold of every ledger, held against the events themselves; and models that report what they were sent."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

import harness
from harness import FunctionToolset, MemoryJournal, Message, Recorded, Usage
from harness.events import ModelCallFinished, ModelCallStarted
from harness.journal import Journal
from harness.loop.state import RunState, effective, fold
from harness.messages import Reasoning, ToolCall, ToolDefinition
from harness.models.port import CallOptions, Model, ModelResponse, Observe, Price, Transcript
from harness.models.scripted import Reply, ScriptedModel
from harness.models.transcripts import MessageTranscript
from harness.record import Entry, Ledger, RunRecord, keep_ledger, record_of
from tests.loop.stage import HEAD

Window = list[tuple[str, Message]]
"""Origin and message of every entry, in order."""

Held = dict[tuple[str, int], list[Entry]]
"""The entries of every request, in order, by agent and turn."""


def windows_of(recorded: Sequence[Recorded]) -> dict[tuple[str, int], Window]:
    """Return what the loop's own state held when each request was made, by agent and turn."""
    state = RunState()
    windows: dict[tuple[str, int], Window] = {}
    for item in effective(recorded):
        state.apply(item.event)
        if isinstance(item.event, ModelCallStarted):
            entries = state.agents[item.event.agent].window.entries
            windows[item.event.agent, item.event.turn] = [(one.origin, one.message) for one in entries]
    return windows


def windows_in(record: RunRecord) -> dict[tuple[str, int], Window]:
    """Return the same from a record."""
    return {place: [(one.origin, one.message) for one in held] for place, held in held_in(record).items()}


def held_in(record: RunRecord) -> Held:
    """Return the entries of every request of a record, by agent and turn."""
    return {
        (path, turn.number): agent.window(turn.number)
        for path, agent in record.agents.items()
        for turn in agent.turns
    }


def standing_in(record: RunRecord) -> dict[str, Window]:
    """Return what stands in every window in the end, whether it was sent or not."""
    return {
        path: [
            (one.origin, one.message)
            for one in sorted(agent.entries, key=lambda entry: entry.place)
            if not one.gone
        ]
        for path, agent in record.agents.items()
    }


def usage_of(recorded: Sequence[Recorded]) -> dict[tuple[str, int], Usage]:
    """Return what each request that was answered used, by agent and turn."""
    return {
        (item.event.agent, item.event.turn): item.event.usage
        for item in effective(recorded)
        if isinstance(item.event, ModelCallFinished) and item.event.message is not None
    }


def assert_accounts(recorded: Sequence[Recorded]) -> Ledger:
    """Check the ledger of a run against its events and return it."""
    record = record_of(recorded)
    ledger = keep_ledger(record)
    held = held_in(record)
    in_record = {place: [(one.origin, one.message) for one in entries] for place, entries in held.items()}
    assert in_record == windows_of(recorded)
    assert standing_in(record) == {
        path: [(one.origin, one.message) for one in agent.window.entries]
        for path, agent in fold(recorded).agents.items()
    }
    _assert_every_turn_adds_up(ledger, usage_of(recorded), held)
    _assert_entries_are_counted_once(ledger, held)
    _assert_costs_and_caches_add_up(ledger, fold(recorded), held)
    return ledger


def _assert_every_turn_adds_up(ledger: Ledger, usage: dict[tuple[str, int], Usage], windows: Held) -> None:
    reporting = {agent for (agent, _), used in usage.items() if not used.estimated}
    for path, lines in ledger.turns.items():
        sent = in_requests(ledger, path)
        for line in lines:
            held = sum(entry.size for entry in windows[path, line.turn.number])
            assert line.definitions == sum(one.size for one in ledger.definitions[path])
            assert line.entries == held == sent[line.turn.number]
            assert line.total == line.definitions + line.entries + line.residual
            used = usage.get((path, line.turn.number))
            if used is None or used.estimated:
                assert line.residual == 0
            # What one agent's provider reports is told on to those that work for it, for estimates.
            if used is not None and (not used.estimated or not reporting):
                assert line.total == used.input_tokens


def in_requests(ledger: Ledger, path: str) -> dict[int, int]:
    """Return the tokens of all pieces of entries in each request of an agent run."""
    steps: dict[int, int] = defaultdict(int)
    for line in ledger.lines[path]:
        assert line.size >= 0
        if line.entry.first:
            steps[line.entry.first] += line.size
            steps[line.entry.last + 1] -= line.size
    held, tokens = 0, dict[int, int]()
    for turn in range(1, len(ledger.turns[path]) + 1):
        held += steps[turn]
        tokens[turn] = held
    return tokens


def _assert_entries_are_counted_once(ledger: Ledger, windows: Held) -> None:
    for path, agent in ledger.record.agents.items():
        assert len({entry.id for entry in agent.entries}) == len(agent.entries)
        times: Counter[int] = Counter()
        for turn in agent.turns:
            held = windows[path, turn.number]
            assert len(held) == len({id(entry) for entry in held})
            times.update(entry.number for entry in held)
        sizes: Counter[int] = Counter()
        for line in ledger.lines[path]:
            sizes[line.entry.number] += line.size
            assert line.token_turns == line.size * times[line.entry.number]
        for entry in agent.entries:
            assert entry.sent == times[entry.number]
            assert sizes[entry.number] == entry.size
        tools = [definition.tool for definition in ledger.definitions[path]]
        assert sorted(tools) == sorted(tool.name for tool in agent.tools or ())
        assert all(definition.sent == len(agent.turns) for definition in ledger.definitions[path])


def _assert_costs_and_caches_add_up(ledger: Ledger, state: RunState, windows: Held) -> None:
    assert ledger.cost == (None if state.unpriced else pytest.approx(state.cost))
    for path, agent in ledger.record.agents.items():
        parts = [*ledger.lines[path], *ledger.definitions[path]]
        for part in parts:
            assert 0 <= part.cached <= part.token_turns
        turns = ledger.turns[path]
        assert [part.cached for part in parts] == _cached(ledger, path, windows)
        if not agent.turns or any(part.cost is None for part in parts):
            continue
        sent = math.fsum(part.cost for part in parts if part.cost is not None)
        rest = math.fsum(line.rate * (line.residual + (line.turn.output or 0)) for line in turns)
        paid = math.fsum(line.turn.cost or 0.0 for line in turns)
        assert sent + rest == pytest.approx(paid)


def _cached(ledger: Ledger, path: str, windows: Held) -> list[int]:
    """Return the cached token-turns of every piece and definition, taken from the front of every request."""
    lines, definitions = ledger.lines[path], ledger.definitions[path]
    pieces: dict[int, list[int]] = defaultdict(list)
    for index, line in enumerate(lines):
        pieces[line.entry.number].append(index)
    sizes = [line.size for line in (*lines, *definitions)]
    cached = [0] * len(sizes)
    for turn in ledger.record.agents[path].turns:
        if not turn.cached:
            continue
        held = windows[path, turn.number]
        order = [*range(len(lines), len(sizes)), *(index for entry in held for index in pieces[entry.number])]
        left = turn.cached
        for index in order:
            part = min(left, sizes[index])
            cached[index] += part
            left -= part
    return cached


class Reporting(ScriptedModel):
    """A scripted model that counts what it is sent in its own way, and says so.

    A token for three letters, five for each message, three for each part, and 19 for a template nobody sees; it
    sends thinking back, and its cache holds what the last request began with, in blocks of 64.

    Args:
        reports: Whether it reports the usage of its request of a number, from 1.
        unseen: Tokens that its server adds to that request, and nobody knows of.
    """

    context_window = 200_000
    price = Price(1.0, 4.0, 0.1)

    def __init__(
        self,
        *replies: Reply,
        name: str = "reporting",
        reports: Callable[[int], bool] = lambda number: True,
        unseen: Callable[[int], int] = lambda number: 0,
    ) -> None:
        super().__init__(*replies, name=name)
        self._reports = reports
        self._unseen = unseen

    def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
        """Return a transcript whose thinking is sent back."""
        transcript = super().open(tools)
        transcript.sends_reasoning = True
        return transcript

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Return the next reply and what it took."""
        assert isinstance(transcript, MessageTranscript)
        sent = tuple(transcript.messages)
        number = 1 + sum(message.role == "assistant" for message in sent)
        response = await super().respond(transcript, options, observe)
        if not self._reports(number):
            return response
        last: tuple[Message, ...] = getattr(transcript, "last_sent", ())
        transcript.last_sent = sent  # pyright: ignore[reportAttributeAccessIssue]
        common = 0
        while common < min(len(last), len(sent)) and last[common] is sent[common]:
            common += 1
        tools = 19 + self._unseen(number) + sum(len(tool.encoded) // 3 for tool in transcript.tools)
        sizes = [_true_size(message) for message in sent]
        cached = (tools + sum(sizes[:common])) // 64 * 64 if common else 0
        usage = Usage(tools + sum(sizes), _true_size(response.message), cached, calls=1)
        return replace(response, usage=usage)


def _true_size(message: Message) -> int:
    letters = sum(
        len(part.name + part.arguments) if isinstance(part, ToolCall) else len(getattr(part, "text", ""))
        for part in message.parts
    )
    return 5 + 3 * len(message.parts) + letters // 3


def thinks(text: str, reply: Message) -> Message:
    """Return a reply with thinking before it."""
    return Message("assistant", (Reasoning(text), *reply.parts))


@asynccontextmanager
async def open_team(
    folder: Path,
    agents: str,
    *,
    tools: Sequence[Callable[..., Any]],
    store: Journal | None = None,
    overrides: Sequence[str] = (),
    **models: Model,
) -> AsyncGenerator[harness.Harness]:
    """Open a team of `HEAD` and these agents, with `tools` as `desk.*`."""
    file = folder / "team.yaml"
    file.write_text(HEAD + agents)
    with anyio.fail_after(120):
        async with harness.open(
            file,
            store=store or MemoryJournal(),
            models=models,
            toolsets=[FunctionToolset("desk", *tools, effect="read")],
            overrides=overrides,
        ) as opened:
            yield opened


async def run_team(
    folder: Path,
    agents: str,
    *,
    tools: Sequence[Callable[..., Any]],
    overrides: Sequence[str] = (),
    **models: Model,
) -> list[Recorded]:
    """Run such a team and return what was recorded."""
    async with open_team(folder, agents, tools=tools, overrides=overrides, **models) as opened:
        run = await opened.start("Where is X?")
        return [item async for item in run.events()]

"""How windows are kept: thinking that stays, prefixes that change, sizes, and identifiers lost in a summary."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from harness.messages import Message, Text, ToolResult, user
from harness.record import keep_ledger

from ..building import build
from ..prose import Mint, sentence_of
from ..script import Agent, Drop, Extra, Script, Size, Turn
from .kit import Marks, Stage, by_size, defect, disguise

_VALUE = re.compile(r"[\w.@:/-]*\d[\w.@:/-]*\w")


# --- thinking-residue ---


@defect(turns=8)
def thinking_residue(at: Stage, size: Size) -> Marks:
    """Long thinking of turns before the user spoke again, still sent."""
    count, tokens = by_size(size, 2, 3, 5), by_size(size, 400, 900, 2500)
    marks: list[str] = []
    for position in range(count):
        thought = f"Let me think this through. {at.mint.invented(tokens)}"
        at.script = at.script.change_turn(
            at.path, position, lambda turn, thought=thought: replace(turn, thinking=thought)
        )
        marks.append(at.agent.turns[position].mark)
    word = Extra(at.mint.mark("user"), "user", user("Good, please go on."))
    at.script = at.script.change_turn(at.path, count, lambda turn: replace(turn, before=(*turn.before, word)))
    return marks


@disguise()
def thinking_at_the_end(at: Stage) -> None:
    """Long thinking in the last turn, which no request holds."""
    thought = at.mint.invented(900)
    last = len(at.agent.turns) - 1
    at.script = at.script.change_turn(at.path, last, lambda turn: replace(turn, thinking=thought))


# --- prefix-break ---


@defect(turns=8)
def prefix_break(at: Stage, size: Size) -> Marks:
    """The instructions change, turn by turn, because they hold the time."""
    count = by_size(size, 2, 4, 12)
    turns = list(at.agent.turns)
    positions = sorted(
        at.mint.sample(range(max(2, len(turns) // 3), len(turns)), min(count, len(turns) // 2))
    )
    mark = f"{at.path}:system"
    marks = [mark]
    for position in positions:
        text = f"{at.agent.instructions}\nThe time is {at.mint.time()}."
        drop = Drop(mark, Message("system", (Text(text),)), "instructions changed")
        turns[position] = replace(turns[position], drops=(*turns[position].drops, drop))
        marks.append(turns[position].mark)
    at.script = at.script.with_turns(at.path, turns)
    return marks


@disguise()
def cleared_at_the_end(at: Stage) -> None:
    """The newest result is shortened before it was ever sent: the prefix stays."""
    spot = at.spot()
    calls = at.agent.turns[spot - 1].calls
    if not calls or calls[-1].child:
        return
    newest = calls[-1]
    short = Message("tool", (ToolResult(newest.id, newest.result + " (all of it)"),))
    drop = Drop(newest.id, short, "shown in full")
    at.script = at.script.change_turn(
        at.path, spot - 1, lambda turn: replace(turn, clears=(*turn.clears, drop))
    )


# --- resend-factor, window-pressure ---


@defect()
def resend_factor(at: Stage, size: Size) -> Marks:
    """A large beginning is sent again for hundreds of tiny turns."""
    base = at.mint.prose(2500)
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: at.key()}, base)
    key = at.key()
    for step in range(by_size(size, 120, 180, 260)):
        done = json.dumps({"job": key, "step": step, "at": at.mint.number(6)})
        pen.does("jobs.get_progress", {"job": key}, done)
    spot = at.spot(0.1, 0.3)
    at.put(spot, pen.turns)
    at.say(spot + 1, f"It says: {sentence_of(base)}")
    return ()


@defect(turns=6)
def window_pressure(at: Stage, size: Size) -> Marks:
    """The window comes close to what the model can hold."""
    fill = {"small": 0.93, "medium": 0.96, "large": 0.99}[size]
    largest = _largest(at.script, at.path)
    at.script = at.script.with_agent(replace(at.agent, context_window=int(largest / fill)))
    return ()


def half_full(script: Script, mint: Mint) -> Script | None:
    """A window that is filled to the half."""
    for agent in script.agents:
        size = max(1000, _largest(script, agent.path) * 2)
        script = script.with_agent(replace(agent, context_window=size))
    return script


def _largest(script: Script, path: str) -> int:
    """Return the tokens of an agent's largest request."""
    return max((line.total for line in keep_ledger(build(script).record).turns[path]), default=0)


# --- lost-identifier ---


@defect(turns=7)
def lost_identifier(at: Stage, size: Size) -> Marks:
    """A summary leaves out an identifier that a later call needs."""
    key = at.unseen()
    return _summarised(at, by_size(size, 2, 5, 9), key, without=(key,))


@disguise(turns=7)
def kept_identifier(at: Stage) -> None:
    """A summary that keeps what a later call needs."""
    _summarised(at, 4, at.unseen(), without=())


def _summarised(at: Stage, far: int, key: str, *, without: tuple[str, ...]) -> Marks:
    partner = at.unseen()
    pen = at.pen()
    found = pen.does(at.theme.search, {"query": "the open one"}, f"open: {key}; closed: {partner}")
    at.put(1, pen.turns)
    at.say(2, f"Of the two, {key} is open.")
    cut = min(len(at.agent.turns) - 3, 4 + far // 2)
    agent = at.agent
    summary = Extra(at.mint.mark("summary"), "summary", user(_summary(agent, cut, without)))
    marks = _marks(agent.turns[:cut])
    drops = tuple(Drop(mark, None, "summarised") for mark in marks)
    at.script = at.script.change_turn(
        at.path,
        cut,
        lambda turn: replace(turn, drops=drops, before=(summary, *turn.before)),
    )
    needing = at.pen()
    text = at.mint.invented(60)
    used = needing.does(at.theme.read, {at.theme.key: key}, text, text="Now to the open one.")
    later = at.after(cut + 1, far)
    at.put(later, needing.turns)
    at.say(later + 1, f"It says: {sentence_of(text)}")
    return {summary.mark, used.id, found.id}


def _summary(agent: Agent, cut: int, without: tuple[str, ...]) -> str:
    """Return a summary that names every value of the first turns but some."""
    values: dict[str, None] = {}
    for turn in agent.turns[:cut]:
        texts = [turn.text, *(extra.message.text for extra in turn.before)]
        for call in turn.calls:
            texts += [call.result, json.dumps(dict(call.arguments))]
        for text in texts:
            values.update(dict.fromkeys(_VALUE.findall(text)))
    kept = [value for value in values if not any(one in value for one in without)]
    return "What happened so far, in short. Values met: " + ", ".join(kept)


def _marks(turns: tuple[Turn, ...]) -> list[str]:
    marks: list[str] = []
    for turn in turns:
        marks += [extra.mark for extra in turn.before]
        marks.append(turn.mark)
        marks += [call.id for call in turn.calls]
    return marks

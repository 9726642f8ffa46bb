"""How windows are kept: thinking that stays, prefixes that change, sizes, and identifiers lost in a summary."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from harness.messages import Message, Text, ToolResult, user

from ..building import build
from ..prose import Mint, sentence_of
from ..script import Agent, Drop, Extra, Injected, Label, Script, Size, Turn
from .kit import by_size, stage

_VALUE = re.compile(r"[\w.@:/-]*\d[\w.@:/-]*\w")


# --- thinking-residue ---


def thinking_residue(script: Script, mint: Mint, size: Size) -> Injected | None:
    """Long thinking of turns before the user spoke again, still sent."""
    at = stage(script, mint, turns=8)
    if at is None:
        return None
    count, tokens = by_size(size, 2, 3, 5), by_size(size, 400, 900, 2500)
    marks: list[str] = []
    for position in range(count):
        thought = f"Let me think this through. {mint.invented(tokens)}"
        at.script = at.script.change_turn(
            at.path, position, lambda turn, thought=thought: replace(turn, thinking=thought)
        )
        marks.append(at.agent.turns[position].mark)
    word = Extra(mint.mark("user"), "user", user("Good, please go on."))
    at.script = at.script.change_turn(at.path, count, lambda turn: replace(turn, before=(*turn.before, word)))
    return Injected(at.script, (Label("thinking-residue", at.path, frozenset(marks)),))


def thinking_at_the_end(script: Script, mint: Mint) -> Script | None:
    """Long thinking in the last turn, which no request holds."""
    at = stage(script, mint)
    if at is None:
        return None
    thought = mint.invented(900)
    last = len(at.agent.turns) - 1
    return script.change_turn(at.path, last, lambda turn: replace(turn, thinking=thought))


# --- prefix-break ---


def prefix_break(script: Script, mint: Mint, size: Size) -> Injected | None:
    """The instructions change, turn by turn, because they hold the time."""
    at = stage(script, mint, turns=8)
    if at is None:
        return None
    count = by_size(size, 2, 4, 12)
    turns = list(at.agent.turns)
    positions = sorted(mint.sample(range(max(2, len(turns) // 3), len(turns)), min(count, len(turns) // 2)))
    mark = f"{at.path}:system"
    marks = [mark]
    for position in positions:
        text = f"{at.agent.instructions}\nThe time is {mint.time()}."
        drop = Drop(mark, Message("system", (Text(text),)), "instructions changed")
        turns[position] = replace(turns[position], drops=(*turns[position].drops, drop))
        marks.append(turns[position].mark)
    changed = at.script.with_turns(at.path, turns)
    return Injected(changed, (Label("prefix-break", at.path, frozenset(marks)),))


def cleared_at_the_end(script: Script, mint: Mint) -> Script | None:
    """The newest result is shortened before it was ever sent: the prefix stays."""
    at = stage(script, mint)
    if at is None:
        return None
    spot = at.spot()
    newest = at.agent.turns[spot - 1].calls[-1]
    if newest.child:
        return None
    short = Message("tool", (ToolResult(newest.id, newest.result + " (all of it)"),))
    drop = Drop(newest.id, short, "shown in full")
    return script.change_turn(at.path, spot - 1, lambda turn: replace(turn, clears=(*turn.clears, drop)))


# --- resend-factor, window-pressure ---


def resend_factor(script: Script, mint: Mint, size: Size) -> Injected | None:
    """A large beginning is sent again for hundreds of tiny turns."""
    at = stage(script, mint)
    if at is None:
        return None
    base = mint.prose(2500)
    pen = at.pen()
    pen.does(at.theme.read, {at.theme.key: at.key()}, base)
    key = at.key()
    for step in range(by_size(size, 120, 180, 260)):
        done = json.dumps({"job": key, "step": step, "at": mint.number(6)})
        pen.does("jobs.get_progress", {"job": key}, done)
    spot = at.spot(0.1, 0.3)
    at.put(spot, pen.turns)
    at.say(spot + 1, f"It says: {sentence_of(base)}")
    return Injected(at.finish(), (Label("resend-factor", at.path),))


def window_pressure(script: Script, mint: Mint, size: Size) -> Injected | None:
    """The window comes close to what the model can hold."""
    at = stage(script, mint, turns=6)
    if at is None:
        return None
    fill = {"small": 0.93, "medium": 0.96, "large": 0.99}[size]
    largest = max(turn.reported or 0 for turn in build(script).record.agents[at.path].turns)
    changed = replace(at.agent, context_window=int(largest / fill))
    return Injected(script.with_agent(changed), (Label("window-pressure", at.path),))


def half_full(script: Script, mint: Mint) -> Script | None:
    """A window that is filled to the half."""
    record = build(script).record
    for agent in script.agents:
        largest = max((turn.reported or 0 for turn in record.agents[agent.path].turns), default=0)
        script = script.with_agent(replace(agent, context_window=max(1000, largest * 2)))
    return script


# --- lost-identifier ---


def lost_identifier(script: Script, mint: Mint, size: Size) -> Injected | None:
    """A summary leaves out an identifier that a later call needs."""
    return _summarised(script, mint, by_size(size, 2, 5, 9), lost=True)


def kept_identifier(script: Script, mint: Mint) -> Script | None:
    """A summary that keeps what a later call needs."""
    injected = _summarised(script, mint, 4, lost=False)
    return injected.script if injected else None


def _summarised(script: Script, mint: Mint, far: int, *, lost: bool) -> Injected | None:
    at = stage(script, mint, turns=7)
    if at is None:
        return None
    key, partner = at.unseen(), at.unseen()
    pen = at.pen()
    found = pen.does(at.theme.search, {"query": "the open one"}, f"open: {key}; closed: {partner}")
    at.put(1, pen.turns)
    at.say(2, f"Of the two, {key} is open.")
    cut = min(len(at.agent.turns) - 3, 4 + far // 2)
    agent = at.agent
    summary = Extra(mint.mark("summary"), "summary", user(_summary(agent, cut, () if not lost else (key,))))
    marks = _marks(agent.turns[:cut])
    drops = tuple(Drop(mark, None, "summarised") for mark in marks)
    at.script = at.script.change_turn(
        at.path,
        cut,
        lambda turn: replace(turn, drops=drops, before=(summary, *turn.before)),
    )
    needing = at.pen()
    text = mint.invented(60)
    used = needing.does(at.theme.read, {at.theme.key: key}, text, text="Now to the open one.")
    later = at.after(cut + 1, far)
    at.put(later, needing.turns)
    at.say(later + 1, f"It says: {sentence_of(text)}")
    label = Label("lost-identifier", at.path, frozenset({summary.mark, used.id, found.id}))
    return Injected(at.finish(), (label,))


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

"""Between agents: what leaks, reports that are too long, briefs that overlap."""

from __future__ import annotations

import re
from dataclasses import replace

from harness.messages import user

from ..building import build
from ..prose import Mint, sentence_of
from ..script import Agent, Call, Extra, Injected, Label, Script, Size
from .kit import THEMES, Stage, by_size


def _siblings(script: Script, mint: Mint) -> tuple[Agent, Agent] | None:
    """Return two sub-agents with enough turns, the one that begins first in front."""
    able = [agent for agent in script.agents if agent.parent and len(agent.turns) >= 5]
    if len(able) < 2:
        return None
    first, second = sorted(mint.sample(range(len(able)), 2))
    return able[first], able[second]


# --- leakage ---


def leakage(script: Script, mint: Mint, size: Size) -> Injected | None:
    """What one sub-agent read stands in another one's window, word for word or rewritten."""
    pair = _siblings(script, mint)
    if pair is None:
        return None
    theme = mint.choice(THEMES)
    source, target = pair
    text = mint.invented(by_size(size, 150, 400, 1200))
    at = Stage(script, mint, source.path, theme)
    pen = at.pen()
    read = pen.does(at.theme.read, {at.theme.key: at.key()}, text)
    spot = at.spot(0.1, 0.3)
    at.put(spot, pen.turns)
    at.say(spot + 1, f"It says: {sentence_of(text)}")
    leaked = text if mint.random() < 0.5 else _rewritten(text, mint)
    extra = Extra(mint.mark("leak"), "user", user(f"For your work: {leaked}"))
    changed = at.finish()
    later = _turns_after(changed, read, target)
    if not later:
        return None
    changed = changed.change_turn(
        target.path, mint.choice(later), lambda turn: replace(turn, before=(*turn.before, extra))
    )
    label = Label("leakage", target.path, frozenset({extra.mark, read.id}), frozenset({source.path}))
    return Injected(changed, (label,))


def _turns_after(script: Script, call: Call, agent: Agent) -> list[int]:
    """Return the positions of turns, but the first and the last, that begin when a call of another agent is over."""
    built = build(script)
    over = built.record.calls[built.calls[call.id]].ended or 0.0
    turns = built.record.agents[agent.path].turns
    return [at for at in range(1, len(turns) - 1) if (turns[at].started or 0.0) >= over]


def _rewritten(text: str, mint: Mint) -> str:
    """Return the sentences in another order and without their small words."""
    sentences = re.sub(r"\b(The|the|by|in) ", "", text).split(". ")
    mint.shuffle(sentences)
    return "; ".join(sentences)


def same_document(script: Script, mint: Mint) -> Script | None:
    """Two sub-agents read the same document, each with its own call."""
    pair = _siblings(script, mint)
    if pair is None:
        return None
    theme = mint.choice(THEMES)
    text = mint.invented(200)
    key = mint.code_of("DOC")
    for agent in pair:
        at = Stage(script, mint, agent.path, theme)
        at.tell(f"{key} says more about it.")
        pen = at.pen()
        pen.does(at.theme.read, {at.theme.key: key}, text)
        spot = at.spot()
        at.put(spot, pen.turns)
        at.say(spot + 1, f"It says: {sentence_of(text)}")
        script = at.finish()
    return script


def told_in_the_brief(script: Script, mint: Mint) -> Script | None:
    """A brief that hands on, word for word, what the parent knows."""
    children = _children(script)
    if not children:
        return None
    child = mint.choice(children)
    return script.tell(child.path, f"Keep in mind {mint.code_of('NOTE')}: {mint.invented(60)}")


# --- report-bloat ---


def report_bloat(script: Script, mint: Mint, size: Size) -> Injected | None:
    """A report of which the parent uses a few words."""
    # The last report is followed by the answer only, and a long one that is used is not to become a part of this.
    children = [agent for agent in _children(script)[:-1] if len(agent.report) < 2500]
    if not children:
        return None
    child = mint.choice(children)
    script = _reporting(script, child, mint.invented(by_size(size, 2500, 6000, 15000)))
    label = Label("report-bloat", child.parent, frozenset({child.parent_call}), frozenset({child.path}))
    return Injected(script, (label,))


def long_report_used(script: Script, mint: Mint) -> Script | None:
    """A long report that the parent quotes in full."""
    children = _children(script)
    if not children:
        return None
    child = mint.choice(children)
    more = mint.invented(1200)
    script = _reporting(script, child, more)
    last = len(script.agent(child.parent).turns) - 1
    return script.change_turn(child.parent, last, lambda turn: replace(turn, text=f"{turn.text}\n\n{more}"))


def _children(script: Script) -> list[Agent]:
    return [agent for agent in script.agents if agent.parent_call]


def _reporting(script: Script, child: Agent, more: str) -> Script:
    """Return the script with a longer report of an agent."""
    report = f"{child.report}\n\n{more}"
    turns = (*child.turns[:-1], replace(child.turns[-1], text=report))
    script = script.with_agent(replace(child, turns=turns, report=report))
    return script.change_call(child.parent, child.parent_call, result=report)


# --- overlapping-briefs ---


def overlapping_briefs(script: Script, mint: Mint, size: Size) -> Injected | None:
    """Two sub-agents that work side by side get the same task, in the same or in other words."""
    parent = script.agents[0]
    for turn in parent.turns:
        calls = [call for call in turn.calls if call.child]
        if len(calls) >= 2:
            one, other = mint.sample(calls, 2)
            break
    else:
        return None
    things = ", ".join(f"{mint.invented(14).split(',')[0]} ({mint.code_of('LOT', 4)})" for _ in range(5))
    brief = f"Compare these and report what differs between them: {things}. Name the sources."
    second = brief
    if size != "large":
        parts = things.split(", ")
        mint.shuffle(parts)
        if size == "small":
            parts[-1] = f"{mint.invented(14).split(',')[0]} ({mint.code_of('LOT', 4)})"
        second = f"Report for each of the following how it differs: {', '.join(parts)}. With sources, please."
    for call, text in ((one, brief), (other, second)):
        script = script.change_call(parent.path, call.id, arguments={**call.arguments, "objective": text})
        script = script.with_agent(replace(script.agent(call.child), task=text))
    label = Label(
        "overlapping-briefs", parent.path, frozenset({one.id, other.id}), frozenset({one.child, other.child})
    )
    return Injected(script, (label,))


def same_form(script: Script, mint: Mint) -> Script | None:
    """Briefs of one form about different things."""
    parent = script.agents[0]
    calls = [call for call in parent.calls() if call.child]
    if len(calls) < 2:
        return None
    for call in calls:
        asked = str(call.arguments["objective"])
        text = f"{asked} Hand in what you found as a list, with the source of every item, and nothing else."
        script = script.change_call(parent.path, call.id, arguments={**call.arguments, "objective": text})
        script = script.with_agent(replace(script.agent(call.child), task=text))
    return script

"""Random runs of random teams: played to their end, or stopped, left, answered, resumed and forked.

Everything follows from a seed but for what the clock decides. Scenes are played in memory, where a
crash can be had at any event, and what they recorded is then written to a store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import anyio

import harness
from harness import MemoryJournal, Message, Recorded
from harness.events import ApprovalRequested, RunFinished, TurnStarted
from harness.loop.state import effective
from harness.messages import Image, user
from harness.replay import Changes
from harness.team import Team, restore_team
from tests.replay.improvising import FORM, Chance, Desk, Improviser

DEADLINE = 30
"""Seconds after which a scene is taken to hang."""

DATA = {"type": "object", "properties": {"line": {"type": "integer"}}, "required": ["line"]}

EVIDENCE = [
    {"source": "notes.md", "locator": "notes.md:1", "quote": "a page of text"},
    {"source": "notes.md", "locator": "notes.md:1", "quote": "nobody ever wrote this"},
]


@dataclass
class Scene:
    """A team, what happens in it, and what has happened so far."""

    seed: int
    chance: Chance
    team: dict[str, Any]
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    now: float = 1e9
    context_window: int | None = None

    def clock(self) -> float:
        """Seconds since 1970; each look takes a thousandth."""
        self.now += 0.001
        return self.now

    def parsed(self) -> Team:
        """Return the team as it is now."""
        return restore_team(self.team, base=Path("/"), environment={}, servers=["desk"])

    def recorded(self, run_id: str) -> list[Recorded]:
        """Return what the run has recorded."""
        return list(self.journal.read(run_id))


def scene(seed: int) -> Scene:
    """Make up a team and what may happen in it."""
    random = Random(seed)
    chance = Chance(random)
    chance.model_faults = random.choice((0.0, 0.0, 0.03, 0.15))
    chance.retries = random.choice((0.0, 0.1, 0.5))
    chance.patience = random.randint(2, 5)
    if random.random() < 0.1:
        chance.crowd, chance.patience = random.randint(8, 50), 2
    if random.random() < 0.06:
        chance.seconds = 0.004
    window = random.choice((None, None, None, 1500))
    team = _team(random, crowd=chance.crowd)
    if seed % 2:
        team["models"]["default"]["fallback"] = ["other"]
        team["models"]["other"] = team["models"]["default"] | {"fallback": []}
    return Scene(seed, chance, team, context_window=window)


def _team(random: Random, *, crowd: int) -> dict[str, Any]:
    agents: dict[str, dict[str, Any]] = {
        "lead": {"delegates": random.sample(["middle", "scout", "digger"], random.randint(1, 3))},
        "middle": {"delegates": random.choice((["scout"], ["digger", "scout"]))},
        "scout": {},
        "digger": {},
    }
    for name, agent in agents.items():
        agent["instructions"] = f"You are {name}."
        agent["description"] = random.choice(("", f"Is {name}."))
        agent["tools"] = random.choice((["desk"], ["desk"], ["desk.look", "desk.pay"], []))
        if random.random() < 0.3:
            agent["limits"] = _limits(random, tight=4)
        if random.random() < 0.3:
            agent["report"] = random.choice(({"max_tokens": 40}, {"schema": DATA}, {"max_tokens": 400}))
    agents["lead"]["output"] = random.choice(
        ({}, {}, {}, {"citations": "required"}, {"schema": DATA}, {"schema": DATA, "citations": "required"})
    )
    limits = _limits(random, tight=30) if random.random() < 0.3 else {}
    return {
        "harness": 1,
        "name": "scene",
        "entry": "lead",
        "models": {"default": {"api": "scripted", "script": [{"say": "Nothing to add."}]}},
        "agents": agents,
        "limits": {"parallel": 50 if crowd else random.choice((1, 2, 8)), **limits},
        "permissions": [rule for rule in RULES if random.random() < 0.3],
    }


RULES: Sequence[Mapping[str, Any]] = (
    {"tool": "desk.look", "allow": "no", "when": {"pages": {"above": 1_500}}},
    {"tool": "desk.pay", "allow": "ask", "reason": "It costs."},
    {"tool": "desk.note", "allow": "ask", "expires": "1h"},
    {"tool": "desk.*", "agent": "digger", "allow": "no"},
    {"tool": "desk.*", "allow": "ask", "effect": ["keyed"]},
)


def _limits(random: Random, *, tight: int) -> dict[str, Any]:
    return random.choice(
        (
            {"turns": random.randint(1, tight)},
            {"tokens": random.randint(500, 3_000 * tight)},
            {"minutes": random.choice((0.0001, 0.001))},
            {"depth": random.randint(1, 2)},
            {"parallel": random.randint(1, 3)},
        )
    )


async def play(seed: int) -> Scene:
    """Play one scene and return it; its journal holds one run, or two if one was forked."""
    it = scene(seed)
    random = it.chance.random
    with anyio.fail_after(DEADLINE):
        run_id = await _first_act(it)
        for _ in range(random.choice((0, 1, 2, 4))):
            finished = it.recorded(run_id)[-1].event
            if isinstance(finished, RunFinished) and finished.stop_reason == "done":
                break
            await _next_act(it, run_id)
        if random.random() < 0.15:
            await _fork(it, run_id)
    return it


def _opened(it: Scene) -> Any:
    endings = {
        "report": {"status": "done", "answer": "It is so.", "evidence": EVIDENCE, "data": {"line": 4}},
        "answer": {
            "line": 4,
            "data": {"line": 4},
            "claims": [
                {"text": "It is so.", "citations": EVIDENCE},
                {"text": "Or not.", "citations": EVIDENCE[1:]},
            ],
        },
    }
    model = Improviser(it.chance, endings=endings, context_window=it.context_window)
    return harness.open(
        it.parsed(),
        store=it.journal,
        models={"default": model, "other": replace(model, name="stand-in")},
        toolsets=[Desk(it.chance)],
        clock=it.clock,
    )


async def _first_act(it: Scene) -> str:
    images = [Image("aGFsbG8=")] if it.chance.happens(0.1) else []
    async with _opened(it) as opened:
        run = await opened.start(_task(it), *images)
        await _watch(it, opened, run)
    if it.chance.happens(0.2):
        it.journal = _crashed(it, run.id)
    return run.id


def _task(it: Scene) -> Message | str:
    return user(it.chance.text(5)) if it.chance.happens(0.2) else "Where is X?"


async def _next_act(it: Scene, run_id: str) -> None:
    """Carry the run on, having answered some of its questions, with another team at times."""
    if it.chance.happens(0.3):
        it.now += 7200
    if it.chance.happens(0.3):
        _change(it.team, it.chance.random)
    async with _opened(it) as opened:
        open_ones = _open_questions(it, run_id)
        if open_ones and it.chance.happens(0.8):
            run = await _answer(it, opened, run_id, open_ones[0])
        else:
            run = await opened.resume(run_id)
        await _watch(it, opened, run)


def _change(team: dict[str, Any], random: Random) -> None:
    """Change the team in a way that its past allows."""
    kept = {name: value for name, value in team["limits"].items() if name in ("parallel", "depth")}
    team["limits"] = {**kept, "turns": random.choice((60, 100))}
    for agent in team["agents"].values():
        for name in ("turns", "tokens", "minutes"):
            agent.get("limits", {}).pop(name, None)
    rule = {"tool": "desk.again", "allow": "no"}
    if rule not in team["permissions"]:
        team["permissions"] = [*team["permissions"], rule]


async def _watch(it: Scene, opened: harness.Harness, run: harness.Run) -> None:
    """Follow a run, answer its questions or leave them, and stop it at some point or not."""
    random = it.chance.random
    stop_at = random.randint(2, 150) if random.random() < 0.4 else 0
    answers = random.random() < 0.5
    if answers:
        run.be_patient()
    seen = 0
    waiting = _open_questions(it, run.id) if answers else []
    async with anyio.create_task_group() as answering:
        for question in waiting:
            answering.start_soon(_answer_live, it, opened, run, question)
        with contextlib.suppress(ValueError):
            async for recorded in run.events():
                seen += 1
                if isinstance(recorded.event, ApprovalRequested) and answers:
                    answering.start_soon(_answer_live, it, opened, run, recorded.event)
                if seen == stop_at:
                    await run.cancel(reason=random.choice(("interrupted", "cancelled")))
        answering.cancel_scope.cancel()


def _open_questions(it: Scene, run_id: str) -> list[ApprovalRequested]:
    waiting = harness.fold(it.recorded(run_id)).waiting
    answered = {(answer.key, answer.number) for answer in it.journal.answers(run_id)}
    return [one for one in waiting.values() if (one.key, one.number) not in answered]


async def _answer_live(
    it: Scene, opened: harness.Harness, run: harness.Run, question: ApprovalRequested
) -> None:
    await it.chance.pause()
    if it.chance.happens(0.1):
        run.be_patient(patient=False)
    elif question in _open_questions(it, run.id) and not run.is_over:
        await _answer(it, opened, run.id, question)


async def _answer(
    it: Scene, opened: harness.Harness, run_id: str, question: ApprovalRequested
) -> harness.Run:
    said: dict[str, Any] = {"by": "somebody", "reason": it.chance.text(2)}
    match question.kind:
        case "in_doubt":
            said["happened"] = it.chance.happens(0.5)
        case "elicitation":
            said["allow"] = it.chance.happens(0.7)
            said["content"] = {"word": it.chance.text(1)} if question.form == FORM and said["allow"] else None
        case "permission":
            said["allow"] = it.chance.happens(0.7)
            if said["allow"] and it.chance.happens(0.3):
                said["arguments"] = it.chance.random.choice(('{"pages": 3}', '{"pages": "x"}'))
    return await opened.approve(run_id, question.key, **said)


def _crashed(it: Scene, run_id: str) -> MemoryJournal:
    """Return the journal as a crash at some event would have left it."""
    recorded = it.recorded(run_id)
    journal = MemoryJournal()
    journal.append(recorded[: it.chance.random.randint(1, len(recorded))])
    return journal


async def _fork(it: Scene, run_id: str) -> None:
    """Fork the run at one of its turns, with changes or without."""
    recorded = it.recorded(run_id)
    counted = list(effective(recorded))
    turns = [item.event for item in counted if isinstance(item.event, TurnStarted)]
    if not turns:
        return
    at = it.chance.random.choice(turns)
    changes = it.chance.random.choice(
        (
            Changes(),
            Changes(edit={"1": it.chance.text(3)}),
            Changes(drop=("1",)),
            Changes(brief=it.chance.text(4)),
            Changes(reuse_tools=True),
        )
    )
    async with _opened(it) as opened:
        run = await opened.fork(run_id, f"{at.agent}/turn-{at.turn}", changes=changes)
        await _watch(it, opened, run)

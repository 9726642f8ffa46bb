"""Making room in a window before a request, and asking a model to sum up what leaves it.

What the record says was done before a turn is done again as it stands there; a compaction is one
event, so a crash leaves all of it or none. Only what the record does not know is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from harness.context.draft import Draft, Turn
from harness.context.strategies import (
    clear_results,
    drop_superseded,
    drop_turns,
    fold_branches,
    offload,
    summarise,
)
from harness.errors import Divergence, LimitReached, StoreError
from harness.events import CompactionReason, EffectClass, SummaryFinished, SummaryStarted, WindowCompacted
from harness.loop.past import RecordEnds
from harness.loop.pricing import cost_of
from harness.loop.room import Room
from harness.messages import Message, Usage
from harness.models.port import CallOptions, Model
from harness.team import StrategySpec, SummariseSpec

if TYPE_CHECKING:
    from harness.loop.agent import AgentRun

_SHARE_OF_QUESTION = 0.75
"""How much of a model's window the turns may take that it is asked to sum up."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What a model is asked to sum up."""

    messages: Sequence[Message]
    turns: Sequence[Turn]
    max_tokens: int


async def make_room(agent: AgentRun, turn: int) -> None:
    """Compact the window if the next request would be fuller than the team file allows; O(1) if not."""
    past = agent.log.past
    recorded = past.compactions.before(agent.path, turn)
    if recorded and past.check != "requests":
        if await _do_again(agent, recorded):
            return
    elif past.turn_begun(agent.path, turn) and past.check != "requests":
        return
    reason = _reason(agent)
    if agent.room is None or reason is None:
        return
    limit = agent.room.limit(agent.state, agent.measure)
    assert limit is not None
    draft = _draft(agent, agent.room.goal(limit))
    for strategy in agent.room.spec.strategies:
        if draft.is_small_enough:
            break
        if strategy.summarise is not None:
            await _summarise(agent, agent.room, turn, draft, strategy.summarise)
        else:
            _apply(strategy, draft, agent.path)
    if agent.room.spec.strategies:
        offload.fit_newest(draft, limit - agent.definition_tokens)
    agent.change(
        [
            draft.event(
                agent=agent.path,
                turn=turn,
                reason=reason,
                limit=limit,
                definitions=agent.definition_tokens,
            )
        ]
    )


def may_try_again(agent: AgentRun, turn: int) -> bool:
    """Return whether the request of a turn, refused by the provider as too long, is made once more with more room."""
    state, room = agent.state, agent.room
    was_refused = state.refusals == 1 and state.refused_in == turn
    return was_refused and room is not None and bool(room.spec.strategies)


def _reason(agent: AgentRun) -> CompactionReason | None:
    room, state = agent.room, agent.state
    if room is None or not agent.budget.has_turn or agent.log.past.limit(agent.path) is not None:
        return None
    if state.refusals == 1:
        return "refused"
    return "threshold" if room.is_exceeded(state, agent.measure, agent.request_tokens()) else None


def _draft(agent: AgentRun, goal: int) -> Draft:
    recorded = agent.log.past.compactions
    effects: dict[str, EffectClass] = {
        name: tool.effect for name, tool in agent.tools.items() if tool.external
    }

    def count(entry: int, message: Message) -> int:
        known = recorded.tokens(agent.path, entry, message)
        return agent.tokens_of(message) if known is None else known

    return Draft(
        agent.state.window.entries,
        goal=max(0, goal - agent.definition_tokens),
        count=count,
        effects={**effects, **agent.log.past.effects(agent.path)},
        left=agent.state.window.left,
    )


def _apply(strategy: StrategySpec, draft: Draft, path: str) -> None:
    if strategy.drop_superseded is not None:
        drop_superseded.apply(draft)
    elif strategy.clear_results is not None:
        clear_results.apply(draft, keep=strategy.clear_results.keep)
    elif strategy.fold_branches is not None:
        fold_branches.apply(draft)
    elif strategy.offload is not None:
        offload.apply(draft, above=strategy.offload.above)
    elif strategy.drop_turns is not None:
        drop_turns.apply(draft, agent=path, keep=strategy.drop_turns.keep)


async def _do_again(
    agent: AgentRun, recorded: Sequence[SummaryStarted | SummaryFinished | WindowCompacted]
) -> bool:
    """Do what the record holds; return whether it holds all of it.

    A summary that was under way when its process died may have been paid for, so it is charged.
    """
    for event in recorded:
        if isinstance(event, WindowCompacted):
            agent.change([event])
            return True
        if isinstance(event, SummaryFinished) and event.error_type == "cancelled":
            await _cut_short_again(agent, event)
        agent.emit(event)
    last = recorded[-1]
    if isinstance(last, SummaryStarted):
        if not agent.log.past.live:
            raise RecordEnds("the record does not say how the summary ended")
        model = next(
            (one for one in _models(agent) if (one.name, one.provider) == (last.model, last.provider)), None
        )
        usage = Usage(last.input_tokens, calls=1, estimated=True)
        cost = cost_of(model, usage) if model is not None else None
        agent.budget.spend(usage, cost or 0.0)
        agent.emit(_finished(last, usage, cost, error="its process ended", error_type="lost"))
    return False


async def _cut_short_again(agent: AgentRun, event: SummaryFinished) -> None:
    try:
        await agent.be_cut_short()
    except anyio.get_cancelled_exc_class():
        agent.emit(event)
        raise


def _models(agent: AgentRun) -> list[Model]:
    return [agent.model, *(agent.room.summarisers.values() if agent.room else ())]


async def _summarise(agent: AgentRun, room: Room, turn: int, draft: Draft, spec: SummariseSpec) -> None:
    """Have the oldest turns summed up; leave the draft as it is where that does not work."""
    model = room.summarisers.get(spec.model or "", agent.model)
    window = model.context_window or room.window or agent.state.asked_tokens
    max_tokens = min(spec.max_tokens, window // 4)
    most = int(_SHARE_OF_QUESTION * window) - max_tokens
    turns = summarise.choose(draft, keep=spec.keep, most=most, count=agent.count_tokens)
    if not turns:
        return
    asked = summarise.question(draft, turns, max_tokens=max_tokens, most=most, count=agent.count_tokens)
    text = await _ask(agent, turn, model, _Question(asked, turns, max_tokens))
    if text:
        summarise.apply(draft, turns, text, agent=agent.path, model=model.name)


async def _ask(agent: AgentRun, turn: int, model: Model, question: _Question) -> str:
    """Return the summary; empty if there is none to be had."""
    past = agent.log.past
    known = past.compactions.summary(agent.path, turn)
    if known is not None:
        if past.check == "requests":
            for event in past.compactions.before(agent.path, turn):
                if not isinstance(event, WindowCompacted):
                    agent.emit(event)
        return known.text
    if not past.live:
        if past.check == "requests":
            return ""
        raise RecordEnds("the record holds no summary")
    started = SummaryStarted(
        agent=agent.path,
        turn=turn,
        attempt=1 + sum(isinstance(e, SummaryStarted) for e in past.compactions.before(agent.path, turn)),
        model=model.name,
        provider=model.provider,
        turns=tuple(dict.fromkeys(one.number for one in question.turns)),
        input_tokens=sum(agent.tokens_of(message) for message in question.messages),
        digest=_digest(question.messages),
    )
    try:
        agent.budget.reserve(started.input_tokens + question.max_tokens)
    except LimitReached:
        return ""
    agent.emit(started)
    finished = await _answer(agent, started, model, question)
    agent.emit(finished)
    return finished.text


async def _answer(
    agent: AgentRun, started: SummaryStarted, model: Model, question: _Question
) -> SummaryFinished:
    """Return what came of asking; whatever goes wrong is said in it."""
    transcript = model.open(())
    for message in question.messages:
        transcript.append(message)
    try:
        async with agent.outside():
            options = CallOptions(max_tokens=question.max_tokens)
            response = await model.respond(transcript, options, lambda notice: None)
    except (StoreError, Divergence):
        raise
    except anyio.get_cancelled_exc_class():
        agent.budget.spend(Usage(), 0.0)
        if agent.cut_by():
            agent.emit(_finished(started, Usage(), 0.0, error="cancelled", error_type="cancelled"))
        raise
    except Exception as error:
        agent.budget.spend(Usage(), 0.0)
        return _finished(started, Usage(), 0.0, error=str(error), error_type=type(error).__name__)
    text = response.message.text.strip()
    output = agent.count_tokens(text)
    usage = response.usage or Usage(started.input_tokens, output, calls=1, estimated=True)
    cost = cost_of(model, usage)
    agent.budget.spend(usage, cost or 0.0)
    if response.stop_reason == "refusal" or not text:
        what = "it refused" if response.stop_reason == "refusal" else "it said nothing"
        return _finished(started, usage, cost, error=what, error_type="ModelError")
    return _finished(started, usage, cost, text=text)


def _digest(question: Sequence[Message]) -> str:
    text = repr(list(question)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _finished(
    started: SummaryStarted,
    usage: Usage,
    cost: float | None,
    *,
    text: str = "",
    error: str = "",
    error_type: str = "",
) -> SummaryFinished:
    return SummaryFinished(
        agent=started.agent,
        turn=started.turn,
        attempt=started.attempt,
        text=text,
        usage=usage,
        cost=cost,
        model=started.model,
        error=error,
        error_type=error_type,
    )

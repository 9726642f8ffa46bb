"""One turn: ask the model once, run the tools it asked for, and put both into the window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from harness import errors
from harness.errors import (
    ContextOverflow,
    Divergence,
    LimitReached,
    ModelRefused,
    ModelUnavailable,
    QuotaUsedUp,
    ReplyCutOff,
    StoreError,
    ThinkingBudgetExhausted,
)
from harness.events import (
    ModelCallFinished,
    ModelCallLost,
    ModelCallRetried,
    ModelCallStarted,
    ModelCallWaited,
    TurnFinished,
    TurnStarted,
)
from harness.loop.calls import run_calls
from harness.loop.compaction import make_room, may_try_again
from harness.loop.pricing import cost_of
from harness.loop.thinking import Shown, check_thinking, note_overrun, think
from harness.messages import Message, Reasoning, StopReason, Usage, user
from harness.models.port import (
    CallOptions,
    Lost,
    ModelResponse,
    Notice,
    Retrying,
    TextDelta,
    ThinkingDelta,
    Waiting,
    assumptions_of,
)

if TYPE_CHECKING:
    from harness.loop.agent import AgentRun

MOST_CUT_OFFS = 3
"""Replies in a row that are cut off at the length limit, after which the model is not asked for a shorter one."""


async def take_turn(agent: AgentRun) -> Message:
    """Return the model's reply once everything it caused is in the window.

    Room is made in the window beforehand; a request that the provider refuses as too long is made again,
    once, as a turn of its own with more room. So is one whose model cannot be had, by a model that stands in.

    Raises:
        LimitReached: The budget allows no further turn; nothing was sent.
        ModelError: The model could not answer.
    """
    turn = agent.state.turns + 1
    changes = agent.log.past.edits(agent.path, turn)
    if changes:
        agent.change(changes)
    await make_room(agent, turn)
    _admit(agent, turn)
    agent.emit(TurnStarted(agent=agent.path, turn=turn))
    try:
        reply, stop_reason = await _ask(agent, turn, think(agent, turn))
    except ContextOverflow:
        if not may_try_again(agent, turn):
            raise
        agent.emit(TurnFinished(agent=agent.path, turn=turn))
        return await take_turn(agent)
    except (ModelUnavailable, QuotaUsedUp) as error:
        if not agent.fall_back(turn, error):
            raise
        agent.emit(TurnFinished(agent=agent.path, turn=turn))
        return await take_turn(agent)
    if stop_reason == "refusal":
        raise ModelRefused(f"the model {agent.model.name} refused: {reply.text[:300] or 'without a reason'}")
    agent.append("assistant", reply)
    if reply.tool_calls:
        await run_calls(agent, turn, reply.tool_calls, cut_off=stop_reason == "length")
    elif stop_reason == "length":
        if agent.state.conduct.cut_offs >= MOST_CUT_OFFS:
            raise ReplyCutOff(
                f"{MOST_CUT_OFFS} replies of {agent.model.name} in a row were cut off at the length limit; "
                "allow longer ones with max_tokens, or ask for less"
            )
        agent.append("nudge", user("Your reply was cut off at the length limit. Say it again, shorter."))
    agent.emit(TurnFinished(agent=agent.path, turn=turn))
    return reply


def _admit(agent: AgentRun, turn: int) -> None:
    """Let the budgets decide about the turn.

    What they decided about a recorded turn holds, as what it used up is theirs already; but those of a
    changed team decide anew.

    Raises:
        LimitReached: A budget, or the record, does not allow the turn.
    """
    past = agent.log.past
    if past.turn_begun(agent.path, turn):
        if past.check == "requests":
            expected = agent.expected_usage()
            agent.budget.admit_again(
                past.spent_before(agent.path, turn), expected.total_tokens, _cost(agent, expected)
            )
        return
    reached = past.limit(agent.path)
    if reached is not None and past.check != "nothing":
        raise LimitReached(reached.limit, reached.scope, reached.allowed)
    check_thinking(agent)
    if agent.budget.counts_tokens:
        expected = agent.expected_usage()
        agent.budget.begin_turn(expected.total_tokens, _cost(agent, expected))
    else:
        agent.budget.begin_turn()


def _cost(agent: AgentRun, usage: Usage) -> float:
    return cost_of(agent.model, usage) or 0.0


async def _ask(agent: AgentRun, turn: int, options: CallOptions) -> tuple[Message, StopReason]:
    """Send the transcript, or find in the record what came of that, and record it."""
    model = agent.model
    input_tokens = agent.request_tokens()
    expected = agent.expected_tokens()
    _check_room(agent, turn, input_tokens, expected)
    agent.emit(
        ModelCallStarted(
            agent=agent.path,
            turn=turn,
            model=model.name,
            provider=model.provider,
            entries=len(agent.state.window.entries),
            input_tokens=input_tokens,
            digest=agent.transcript.digest(),
            tool_choice=options.tool_choice,
            prefix_tokens=agent.prefix_tokens(),
        )
    )
    past = agent.log.past
    for event in past.interludes(agent.path, turn):
        agent.emit(event)
    finished = past.reply(agent.path, turn)
    if finished is None and past.live and past.call_begun(agent.path, turn) and past.check != "nothing":
        _charge_lost_call(agent, turn, expected)
    try:
        if finished is None:
            finished = await _call(agent, turn, expected, options)
        else:
            await _fail_as_recorded(agent, finished)
    except (StoreError, Divergence):
        raise
    except Exception as error:
        usage = finished.usage if finished is not None else _spent_in_vain(agent, error, expected)
        _record_failure(agent, turn, str(error), type(error).__name__, usage)
        raise
    except anyio.get_cancelled_exc_class():
        # A stop from outside leaves the call open, as a crash would: it is made again on resuming.
        if agent.cut_by():
            _record_failure(agent, turn, "cancelled", "cancelled", Usage())
        raise
    agent.emit(finished)
    assert finished.message is not None
    note_overrun(agent, turn, options.thinking, finished.usage.reasoning_tokens)
    assert finished.stop_reason != "error"
    return finished.message, finished.stop_reason


def _check_room(agent: AgentRun, turn: int, input_tokens: int, expected: int) -> None:
    """Refuse a request that does not fit, or did not fit when the record was made.

    One that is too large by one count only is sent: its provider knows.

    Raises:
        ContextOverflow: It is too large for the model's window.
    """
    past, model = agent.log.past, agent.model
    overflow = None if past.call_begun(agent.path, turn) else past.counts.overflow(agent.path, turn)
    most = agent.room.window if agent.room is not None else model.context_window
    refused = agent.state.refused_tokens if agent.room is not None else None
    holds = f"the window of {agent.path} holds about {expected:,} tokens"
    if overflow is None and most is not None and min(input_tokens, expected) > most:
        whose = "the team file allows" if most != model.context_window else f"{model.name} takes"
        overflow = f"{holds}; {whose} {most:,}"
    elif overflow is None and refused is not None and input_tokens >= refused:
        overflow = f"{holds}; {model.name} refused {refused:,}"
    if overflow is not None:
        raise ContextOverflow(overflow)


async def _fail_as_recorded(agent: AgentRun, finished: ModelCallFinished) -> None:
    """Do what the record says of a call that brought no reply; return if it brought one."""
    if finished.error_type == "cancelled":
        await agent.be_cut_short()
    elif finished.message is None:
        raise recorded_error(finished.error_type, finished.error)


async def _call(agent: AgentRun, turn: int, input_tokens: int, options: CallOptions) -> ModelCallFinished:
    """Ask the model; return what is to be recorded of its reply."""
    heard: list[str] = []

    def observe(notice: Notice) -> None:
        match notice:
            case Retrying():
                heard.clear()
                agent.emit(
                    ModelCallRetried(
                        agent=agent.path,
                        turn=turn,
                        attempt=notice.attempt,
                        wait_seconds=notice.wait_seconds,
                        reason=notice.reason,
                    )
                )
            case Lost():
                _charge_lost_call(agent, turn, input_tokens, "".join(heard))
            case Waiting():
                agent.notices.send(agent.path, notice)
                if not notice.queued:
                    agent.emit(
                        ModelCallWaited(
                            agent=agent.path,
                            turn=turn,
                            seconds=round(notice.seconds or 0.0, 3),
                            reason=notice.reason,
                        )
                    )
            case TextDelta() | ThinkingDelta():
                heard.append(notice.text)
                shown = shown_of(notice)
                if shown is not None:
                    agent.notices.send(agent.path, shown)

    shown_of = Shown("full" if options.thinking is None else options.thinking.visible)
    async with agent.outside():
        response = await agent.model.respond(agent.transcript, options, observe)
    usage = _usage(agent, response, input_tokens)
    cost = cost_of(agent.model, usage)
    agent.budget.spend(usage, cost or 0.0)
    return ModelCallFinished(
        agent=agent.path,
        turn=turn,
        message=response.message,
        stop_reason=response.stop_reason,
        usage=usage,
        cost=cost,
        model=response.model,
        response_id=response.response_id,
        notes=(*response.notes, *(assumptions_of(agent.model) if turn == 1 else ())),
        first_chunk_seconds=response.first_chunk_seconds,
        cut=response.cut,
    )


def _charge_lost_call(agent: AgentRun, turn: int, input_tokens: int, heard: str = "") -> None:
    """Count what a call may have cost whose reply died with its process, or on its way."""
    usage = Usage(input_tokens, agent.count_tokens(heard) if heard else 0, calls=1, estimated=True)
    cost = cost_of(agent.model, usage)
    agent.budget.charge(usage, cost or 0.0)
    agent.emit(ModelCallLost(agent=agent.path, turn=turn, usage=usage, cost=cost))


def recorded_error(kind: str, text: str) -> Exception:
    """Return the error that a record names: of the same class where it is ours, else of the same name."""
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, errors.HarnessError):
        error = known.__new__(known)
        Exception.__init__(error, text)
        return error
    return type(kind, (Exception,), {})(text)


def _spent_in_vain(agent: AgentRun, error: Exception, input_tokens: int) -> Usage:
    """Return what was thought and paid for without a reply."""
    usage = Usage()
    if isinstance(error, ThinkingBudgetExhausted):
        tokens, calls = error.tokens, error.requests
        usage = Usage(input_tokens * calls, tokens, reasoning_tokens=tokens, calls=calls, estimated=True)
    agent.budget.spend(usage, cost_of(agent.model, usage) or 0.0)
    return usage


def _record_failure(agent: AgentRun, turn: int, error: str, error_type: str, usage: Usage) -> None:
    agent.budget.spend(Usage(), 0.0)
    agent.emit(
        ModelCallFinished(
            agent=agent.path,
            turn=turn,
            message=None,
            stop_reason="error",
            usage=usage,
            cost=cost_of(agent.model, usage) if usage.calls else 0.0,
            model=agent.model.name,
            error=error,
            error_type=error_type,
        )
    )


def _usage(agent: AgentRun, response: ModelResponse, input_tokens: int) -> Usage:
    """Return what the provider reports; where that is nothing, our count, flagged.

    Of a provider that shows thinking and does not say how much of the output it was, only that is counted by
    us: its count of the input stays what everything else is measured by.
    """
    usage, message, count = response.usage, response.message, agent.count_tokens
    if usage is not None and usage.reasoning_tokens:
        return usage
    reasoning = sum(count(part.text) for part in message.parts if isinstance(part, Reasoning))
    if usage is not None:
        output = max(usage.output_tokens, reasoning)
        return replace(usage, output_tokens=output, reasoning_tokens=reasoning) if reasoning else usage
    output = sum(count(call.arguments) + count(call.name) for call in message.tool_calls) + count(
        message.text
    )
    usage = Usage(input_tokens, output + reasoning, reasoning_tokens=reasoning, calls=1, estimated=True)
    if response.cut is None:
        return usage
    cut = 0 if response.cut.then == "continued" else response.cut.tokens
    return usage + Usage(input_tokens, cut, reasoning_tokens=cut, calls=1, estimated=True)

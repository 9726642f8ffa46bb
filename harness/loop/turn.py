"""One turn: ask the model once, run the tools it asked for, and put both into the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from harness.errors import ContextOverflow, ModelError
from harness.events import ModelCallFinished, ModelCallRetried, ModelCallStarted, TurnFinished, TurnStarted
from harness.loop.calls import run_calls
from harness.messages import Message, Reasoning, Usage, user
from harness.models.port import CallOptions, ModelResponse, Retrying, TextDelta

if TYPE_CHECKING:
    from harness.loop.agent import AgentRun


async def take_turn(agent: AgentRun) -> Message:
    """Return the model's reply once everything it caused is in the window.

    Raises:
        LimitReached: The budget allows no further turn; nothing was sent.
        ModelError: The model could not answer.
    """
    agent.budget.begin_turn(agent.request_tokens())
    turn = agent.state.turns + 1
    agent.emit(TurnStarted(agent=agent.path, turn=turn))
    response = await _ask(agent, turn)
    if response.stop_reason == "refusal":
        raise ModelError(
            f"the model {agent.model.name} refused: {response.message.text[:300] or 'without a reason'}"
        )
    agent.append("assistant", response.message)
    reply = response.message
    if reply.tool_calls:
        await run_calls(agent, turn, reply.tool_calls, cut_off=response.stop_reason == "length")
    elif response.stop_reason == "length":
        agent.append("nudge", user("Your reply was cut off at the length limit. Say it again, shorter."))
    agent.emit(TurnFinished(agent=agent.path, turn=turn))
    return reply


async def _ask(agent: AgentRun, turn: int) -> ModelResponse:
    """Send the transcript and record what came back, whatever it was."""
    model = agent.model
    input_tokens = agent.request_tokens()
    if model.context_window is not None and input_tokens > model.context_window:
        raise ContextOverflow(
            f"the window of {agent.path} holds about {input_tokens:,} tokens; {model.name} takes {model.context_window:,}"
        )
    agent.emit(
        ModelCallStarted(
            agent=agent.path,
            turn=turn,
            model=model.name,
            provider=model.provider,
            entries=len(agent.state.window.entries),
            input_tokens=input_tokens,
            digest=agent.transcript.digest(),
        )
    )

    def observe(notice: TextDelta | Retrying) -> None:
        if isinstance(notice, Retrying):
            agent.emit(
                ModelCallRetried(
                    agent=agent.path,
                    turn=turn,
                    attempt=notice.attempt,
                    wait_seconds=notice.wait_seconds,
                    reason=notice.reason,
                )
            )
        else:
            agent.notices.send(agent.path, notice)

    try:
        response = await model.respond(agent.transcript, CallOptions(), observe)
    except Exception as error:
        _record_failure(agent, turn, str(error), type(error).__name__)
        raise
    except anyio.get_cancelled_exc_class():
        _record_failure(agent, turn, "cancelled", "cancelled")
        raise
    _record(agent, turn, response, input_tokens)
    return response


def _record(agent: AgentRun, turn: int, response: ModelResponse, input_tokens: int) -> None:
    usage = response.usage or _estimate(agent, response.message, input_tokens)
    price = agent.model.price
    cost = price.cost(usage) if price else (0.0 if agent.model.provider in ("offline", "scripted") else None)
    agent.budget.spend(usage, cost or 0.0)
    agent.emit(
        ModelCallFinished(
            agent=agent.path,
            turn=turn,
            message=response.message,
            stop_reason=response.stop_reason,
            usage=usage,
            cost=cost,
            model=response.model,
            response_id=response.response_id,
            notes=response.notes,
        )
    )


def _record_failure(agent: AgentRun, turn: int, error: str, error_type: str) -> None:
    agent.budget.spend(Usage(), 0.0)
    agent.emit(
        ModelCallFinished(
            agent=agent.path,
            turn=turn,
            message=None,
            stop_reason="error",
            usage=Usage(),
            cost=0.0,
            model=agent.model.name,
            error=error,
            error_type=error_type,
        )
    )


def _estimate(agent: AgentRun, message: Message, input_tokens: int) -> Usage:
    """Count what the provider did not report."""
    count = agent.count_tokens
    output = sum(count(call.arguments) + count(call.name) for call in message.tool_calls) + count(
        message.text
    )
    reasoning = sum(count(part.text) for part in message.parts if isinstance(part, Reasoning))
    return Usage(input_tokens, output + reasoning, reasoning_tokens=reasoning, calls=1, estimated=True)

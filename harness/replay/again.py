"""Carrying a run out again from its record: no model, no tool, no network, the same loop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NoReturn

from harness.errors import ModelUnavailable
from harness.events import (
    AgentRunStarted,
    ModelCallStarted,
    ModelFellBack,
    Recorded,
    RunStarted,
    TurnStarted,
)
from harness.journal import MemoryJournal
from harness.loop.cuts import upwards
from harness.loop.log import Notices, RunLog
from harness.loop.past import Check, Diverged, Past
from harness.loop.room import BY_NAME
from harness.loop.state import RunState, effective
from harness.loop.team_run import TeamRun
from harness.messages import ToolDefinition
from harness.models.port import CallOptions, Model, ModelResponse, Observe, Price, Transcript
from harness.models.tokens import token_counter
from harness.models.transcripts import MessageTranscript
from harness.team import Team
from harness.tools.port import Tool


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of carrying a run out again."""

    run_id: str
    events: int
    """Events that happened again as recorded."""
    turns: int
    requests: int
    """Model requests that were the same again."""
    recorded_requests: int
    ended: bool
    """Whether the run came to its end; False for the record of one that was cut off."""
    divergences: tuple[Diverged, ...]
    """Where agents left the record, the first one first; empty if everything was as recorded."""
    missing: tuple[Recorded, ...]
    """Recorded events that did not happen again."""
    seconds: float
    state: RunState

    @property
    def exact(self) -> bool:
        """Whether all that is recorded happened again, and nothing else."""
        return not self.divergences and not self.missing


async def carry_out_again(
    recorded: Sequence[Recorded],
    team: Team,
    models: Mapping[str, Model],
    *,
    check: Check = "everything",
    before: Mapping[str, Model] | None = None,
) -> Replay:
    """Carry the run out again with `team`, answering everything from the record.

    A run that was cut off or ended from outside is carried out up to there.

    Args:
        models: Models by agent name; only their wire form is used, nothing is asked of them.
        check: What must be as it is recorded. With `requests`, an agent goes on as if it had been
            answered the same, so that the first request of every agent that differs is found.
        before: The models of the recorded team, if `team` is another one.
    """
    began = time.perf_counter()
    counted = list(effective(recorded))
    started = counted[0].event
    assert isinstance(started, RunStarted)
    past = Past(counted, live=False, check=check)
    log = RunLog(recorded[0].run_id, MemoryJournal(), past=past)
    log.emit(started)
    run = TeamRun(
        team,
        as_recorded(counted, team, models, models if before is None else before),
        _no_tools,
        log,
        Notices(),
        token_counter(),
        started.entry,
        started.earlier,
    )
    finished = await run.execute_again(started.task)
    divergences = _first_of_each_agent(past.divergences)
    return Replay(
        run_id=recorded[0].run_id,
        events=past.matched,
        turns=sum(isinstance(item.event, TurnStarted) for item in counted),
        requests=past.requests,
        recorded_requests=sum(isinstance(item.event, ModelCallStarted) for item in counted),
        ended=finished is not None,
        divergences=divergences,
        missing=_missing(past, divergences),
        seconds=time.perf_counter() - began,
        state=log.state,
    )


def _first_of_each_agent(divergences: Sequence[Diverged]) -> tuple[Diverged, ...]:
    first: dict[str, Diverged] = {}
    for divergence in sorted(divergences, key=_place):
        first.setdefault(divergence.agent, divergence)
    return tuple(first.values())


def _place(divergence: Diverged) -> float:
    return divergence.recorded.sequence if divergence.recorded else float("inf")


def _missing(past: Past, divergences: Sequence[Diverged]) -> tuple[Recorded, ...]:
    """Return what did not happen again and does not come of a divergence; of requests the first of each agent."""
    if past.check == "everything":
        return () if divergences else tuple(past.leftover())
    first: dict[str, Recorded] = {}
    for item in past.leftover():
        first.setdefault(getattr(item.event, "agent", ""), item)
    known = {divergence.agent for divergence in divergences}
    # Where an agent went beyond the record, those it works for wait for it in vain.
    waiting = {path for one in past.divergences if one.recorded is None for path in upwards(one.agent)}
    return tuple(item for agent, item in first.items() if agent not in known | waiting)


def _no_tools(
    patterns: Sequence[str], *, agent: str, emit: object
) -> AbstractAsyncContextManager[list[Tool]]:
    raise AssertionError("a run that is carried out again opens no servers")


def as_recorded(
    counted: Sequence[Recorded], team: Team, models: Mapping[str, Model], before: Mapping[str, Model]
) -> dict[str, Model]:
    """Return the models, with stand-ins for those that the run did not get from its team file.

    Args:
        before: The models of that file.
    """
    used: dict[str, RecordedModel] = {}
    left: dict[str, list[str]] = {}
    for item in counted:
        match item.event:
            case AgentRunStarted(agent=path, name=name, model=model, provider=provider, context_window=most):
                used.setdefault(name, RecordedModel(model, provider, most))
                left[path] = team.spec.fallbacks_of(name) if name in team.spec.agents else []
            case ModelFellBack(agent=path, to_model=model, provider=provider, context_window=most):
                if left[path]:
                    name = f"{BY_NAME}{left[path].pop(0)}"
                    used.setdefault(name, RecordedModel(model, provider, most))
            case _:
                pass
    return {
        name: used[name] if name in used and not used[name].is_of(before.get(name)) else model
        for name, model in models.items()
    }


class RecordedModel:
    """Stands in for a model that only the program of the run knew."""

    price: Price | None = None

    def __init__(self, name: str, provider: str, context_window: int | None) -> None:
        self.name = name
        self.provider = provider
        self.context_window = context_window

    def is_of(self, model: Model | None) -> bool:
        """Return whether `model` is the one that is on record."""
        return model is not None and (model.name, model.provider) == (self.name, self.provider)

    def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
        """Return a transcript in the form of models that live in a process."""
        return MessageTranscript(tools)

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        """Refuse: there is nobody to answer."""
        return _away(self.name)

    async def close(self) -> None:
        """Do nothing; there is nothing to release."""


def _away(name: str) -> NoReturn:
    raise ModelUnavailable(f"{name} was handed in by a program; it cannot answer here")

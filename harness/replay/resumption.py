"""Where a run that stopped can be taken up again, and what that means for every call in it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.events import (
    ApprovalRequested,
    ModelCallFinished,
    ModelCallStarted,
    Recorded,
    RunFinished,
    RunResumed,
    RunStarted,
    SummaryFinished,
    SummaryStarted,
    ToolCallFinished,
    ToolCallStarted,
    TurnStarted,
)
from harness.loop.causality import Causality
from harness.loop.state import effective
from harness.team import Team, restore_team


@dataclass(frozen=True, slots=True)
class Resumption:
    """How a run goes on."""

    started: RunStarted
    kept: tuple[Recorded, ...]
    """The events that count, and are the past of the run."""
    event: RunResumed
    """What the journal is told of it."""
    next_sequence: int


def plan_resumption(recorded: Sequence[Recorded], team: Team, *, harness_version: str) -> Resumption:
    """Return how the run of which `recorded` is everything goes on with `team`.

    Raises:
        UsageError: There is nothing to carry on.
    """
    if not recorded or not isinstance(recorded[0].event, RunStarted):
        raise UsageError("there is no such run, or its beginning was lost")
    started = recorded[0].event
    counted = list(effective(recorded))
    finished = next((i.event for i in reversed(counted) if isinstance(i.event, RunFinished)), None)
    if finished is not None and finished.stop_reason == "done":
        raise UsageError(
            f"run {recorded[0].run_id} is done, there is nothing to carry on; "
            "`harness fork` makes a new run from any of its turns"
        )
    _check_fork_began(recorded[0].run_id, started, counted)
    void = Causality(counted).stop()
    kept = tuple(item for item in counted if item.sequence not in void)
    before = latest_team(recorded)
    changed = team.digest != before.team_digest
    event = RunResumed(
        epoch=1 + sum(isinstance(item.event, RunResumed) for item in recorded) + 1,
        void=tuple(sorted(void)),
        replayed=sum(map(_is_answered, kept)),
        again=tuple(_open_calls(kept, in_doubt=False)),
        in_doubt=tuple(_open_calls(kept, in_doubt=True)),
        team=team.source if changed else None,
        team_digest=team.digest if changed else "",
        variables=team.variables if changed else {},
        harness_version=harness_version,
    )
    return Resumption(started, kept, event, len(recorded))


def _check_fork_began(run_id: str, started: RunStarted, counted: Iterable[Recorded]) -> None:
    """Refuse a fork that was cut off while it was taking over what its parent had recorded."""
    origin = started.forked_from
    if origin is None:
        return
    path, _, turn = origin.at.rpartition("/turn-")
    for item in counted:
        if isinstance(item.event, TurnStarted) and (item.event.agent, str(item.event.turn)) == (path, turn):
            return
    raise UsageError(
        f"run {run_id} was cut off before it had taken over everything from {origin.run_id}: "
        f"fork that one again at {origin.at}"
    )


@dataclass(frozen=True, slots=True)
class TeamRecord:
    """A team as the journal holds it."""

    team: Mapping[str, Any]
    team_digest: str
    variables: Mapping[str, str]
    harness_version: str


def latest_team(recorded: Iterable[Recorded]) -> TeamRecord:
    """Return the team a run was last carried on with."""
    latest: TeamRecord | None = None
    for item in recorded:
        event = item.event
        if isinstance(event, RunStarted | RunResumed):
            team: Mapping[str, Any] | None = event.team
            if team is not None:
                latest = TeamRecord(team, event.team_digest, event.variables, event.harness_version)
    if latest is None:
        raise UsageError("there is no such run, or its beginning was lost")
    return latest


def recorded_team(
    recorded: Sequence[Recorded],
    *,
    overrides: Sequence[str] = (),
    servers: Collection[str] = (),
    to_run: bool,
) -> Team:
    """Return the team a run was last carried on with.

    Args:
        overrides: `a.b.c=value` settings over it.
        servers: Tool servers that the program handed in when the run was made.
        to_run: Whether it must be able to run here; otherwise what only servers and models need,
            such as keys, may be missing.

    Raises:
        TeamError: A variable it needs is not set, or an override does not fit.
    """
    started = recorded[0].event
    assert isinstance(started, RunStarted)
    latest = latest_team(recorded)
    path = Path(started.team_path) if started.team_path else Path.cwd()
    base = path if path.is_dir() else path.parent
    environment = {**latest.variables, **os.environ} if to_run else dict(latest.variables)
    return restore_team(
        latest.team,
        base=base,
        overrides=overrides,
        environment=environment,
        servers=servers,
        remembered=None if to_run else latest.variables,
    )


def _is_answered(item: Recorded) -> bool:
    event = item.event
    if isinstance(event, ModelCallFinished | SummaryFinished):
        return not event.error_type
    return isinstance(event, ToolCallFinished) and event.external


def _open_calls(kept: Iterable[Recorded], *, in_doubt: bool) -> list[str]:
    """Return the places of calls that began and have no result: those in doubt, or those made again."""
    begun: dict[str, bool] = {}
    for item in kept:
        event = item.event
        match event:
            case ModelCallStarted():
                begun[f"{event.agent}/turn-{event.turn}"] = False
            case ModelCallFinished():
                begun.pop(f"{event.agent}/turn-{event.turn}", None)
            case SummaryStarted():
                begun[f"{event.agent}/turn-{event.turn}/summary"] = False
            case SummaryFinished():
                begun.pop(f"{event.agent}/turn-{event.turn}/summary", None)
            case ToolCallStarted() if "." in event.tool:
                begun[event.key] = event.effect == "once"
            case ToolCallFinished():
                begun.pop(event.key, None)
            case ApprovalRequested(kind="elicitation", inline=False):
                begun.pop(event.key, None)
            case _:
                pass
    return [place for place, doubtful in begun.items() if doubtful is in_doubt]

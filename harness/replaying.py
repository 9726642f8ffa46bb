"""Replaying recorded runs, with everything that takes: the team, its models' wire forms, the record."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from harness.adapters import build_models, close_models
from harness.errors import StoreError, UsageError
from harness.events import Recorded
from harness.garbage import spare_the_collector
from harness.journal import open_journal, resolve_run
from harness.models.port import Model
from harness.replay import Replay, carry_out_again, recorded_team
from harness.replay.bundle import is_bundle, read_bundle
from harness.replay.divergence import Divergence, describe_divergence, describe_missing
from harness.replay.resumption import latest_team
from harness.team import Team, load_team, team_difference


@dataclass(frozen=True, slots=True)
class Replayed:
    """A run that was carried out again, and with what."""

    replay: Replay
    team: tuple[str, ...] = ()
    """What the team it was held against differs in from the recorded one, a line each."""
    recorded: Sequence[Recorded] = field(default=(), repr=False)
    """All events of the run."""

    @property
    def exact(self) -> bool:
        """Whether everything that had to happen again did."""
        return self.replay.exact

    @property
    def differences(self) -> list[Divergence]:
        """Where each agent first left the record, or did not do again what stands in it, in its order."""
        state = self.replay.state
        found = [describe_divergence(one, self.recorded, state) for one in self.replay.divergences]
        first: dict[str, Recorded] = {}
        for item in self.replay.missing:
            first.setdefault(getattr(item.event, "agent", ""), item)
        found += [describe_missing(item, state) for item in first.values()]
        return sorted(found, key=lambda one: math.inf if one.sequence is None else one.sequence)

    @property
    def text(self) -> str:
        """What was not as recorded, in a few lines; empty if everything was."""
        if self.exact:
            return ""
        lines = [f"run {self.replay.run_id} is not as recorded", *(f"team: {line}" for line in self.team)]
        return "\n".join([*lines, *(difference.text for difference in self.differences)])


def find_runs(reference: str, store: str | Path | None) -> list[list[Recorded]]:
    """Return the events of the runs that `reference` names: those of a bundle, or one of a store.

    Raises:
        UsageError: There is no such run or bundle.
    """
    if is_bundle(reference):
        return list(read_bundle(Path(reference)).values())
    if reference.endswith(".harness"):
        raise UsageError(f"there is no file {reference}")
    journal = open_journal(store, write=False)
    return [list(journal.read(resolve_run(journal, reference)))]


async def replay_run(
    recorded: Sequence[Recorded],
    *,
    against: str | Path | Team | None = None,
    models: Mapping[str, Model] | None = None,
) -> Replayed:
    """Carry a run out again from its record, without asking a model, a tool or the network.

    Args:
        recorded: All events of the run.
        against: A team file that may have changed: then every model request must be the same, and
            nothing else is compared. Variables that the run remembers keep their values, and those
            that only a live run needs may be missing.
        models: The models that the program handed in, by agent or by name in the team file.

    Raises:
        StoreError: The record has a gap.
        TeamError: The team file is wrong.
    """
    spare_the_collector()
    _check_whole(recorded)
    before = recorded_team(recorded, to_run=False)
    given = models or {}
    if against is None:
        async with _built(before, given) as built:
            return Replayed(await carry_out_again(recorded, before, built), recorded=recorded)
    team = against if isinstance(against, Team) else _changed_team(against, recorded, before)
    async with _built(team, given) as built, _built(before, given) as old:
        replay = await carry_out_again(recorded, team, built, check="requests", before=old)
    return Replayed(replay, tuple(team_difference(latest_team(recorded).team, team.source)), recorded)


@asynccontextmanager
async def _built(team: Team, given: Mapping[str, Model]) -> AsyncGenerator[Mapping[str, Model]]:
    models = build_models(team, given)
    try:
        yield models
    finally:
        await close_models(models, given)


def _changed_team(path: str | Path, recorded: Sequence[Recorded], before: Team) -> Team:
    """Return the team of a file; it may name tool servers that the program handed in when the run was made."""
    return load_team(path, servers=servers_named(before), remembered=latest_team(recorded).variables)


def servers_named(team: Team) -> set[str]:
    """Return the tool servers that a team's agents name, wherever these come from."""
    patterns = [pattern for agent in team.spec.agents.values() for pattern in agent.tools]
    return {pattern.partition(".")[0] for pattern in patterns}


def _check_whole(recorded: Sequence[Recorded]) -> None:
    for place, item in enumerate(recorded):
        if item.sequence != place:
            raise StoreError(f"the record of run {item.run_id} is damaged: event {place} is missing")


def replay_sync(
    reference: str | Path,
    *,
    store: str | Path | None = None,
    against: str | Path | Team | None = None,
    models: Mapping[str, Model] | None = None,
) -> list[Replayed]:
    """Replay the runs of a bundle, or one run of a store, from code that is not async."""

    async def main() -> list[Replayed]:
        runs = find_runs(str(reference), store)
        return [await replay_run(recorded, against=against, models=models) for recorded in runs]

    return anyio.run(main)

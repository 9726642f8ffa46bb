"""Replaying recorded runs, with everything that takes: the team, its models' wire forms, the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from harness.replay.resumption import latest_team
from harness.team import Team, load_team, team_difference


@dataclass(frozen=True, slots=True)
class Replayed:
    """A run that was carried out again, and with what."""

    replay: Replay
    team: tuple[str, ...] = ()
    """What the team it was held against differs in from the recorded one, a line each."""

    @property
    def exact(self) -> bool:
        """Whether everything that had to happen again did."""
        return self.replay.exact


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
            nothing else is compared.
        models: The models that the program handed in, by agent or by name in the team file.

    Raises:
        StoreError: The record has a gap.
        TeamError: The team file is wrong.
    """
    spare_the_collector()
    _check_whole(recorded)
    before = recorded_team(recorded, to_run=False)
    team = before
    if against is not None:
        team = against if isinstance(against, Team) else load_team(against)
    built = build_models(team.spec, models or {})
    try:
        replay = await carry_out_again(
            recorded, team, built, check="everything" if against is None else "requests"
        )
    finally:
        await close_models(built, models or {})
    changed = team_difference(latest_team(recorded).team, team.source) if against is not None else ()
    return Replayed(replay, tuple(changed))


def _check_whole(recorded: Sequence[Recorded]) -> None:
    for place, item in enumerate(recorded):
        if item.sequence != place:
            raise StoreError(f"the record of run {item.run_id} is damaged: event {place} is missing")


def replay_sync(
    reference: str | Path,
    *,
    store: str | Path | None = None,
    against: str | Path | None = None,
    models: Mapping[str, Model] | None = None,
) -> list[Replayed]:
    """Replay the runs of a bundle, or one run of a store, from code that is not async."""

    async def main() -> list[Replayed]:
        runs = find_runs(str(reference), store)
        return [await replay_run(recorded, against=against, models=models) for recorded in runs]

    return anyio.run(main)

"""Where journals are kept, and how people name the runs in them."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UsageError
from harness.journal.database import Durability
from harness.journal.directory import DirectoryJournal, DirectoryReader, segments
from harness.journal.memory import MemoryJournal
from harness.journal.port import Journal, RunSummary
from harness.journal.sqlite import SqliteJournal

DEFAULT_STORE = Path(".harness")
"""The directory store of a working directory."""

MEMORY = ":memory:"

_POSTGRES = ("postgresql:/", "postgres:/")
_FILE_SUFFIXES = (".db", ".sqlite")
_SHOWN_CANDIDATES = 8
_RECENT = re.compile(r"last(?:~(\d{1,9}))?")


def open_journal(
    location: str | Path | None = None, *, write: bool, durability: Durability = "durable"
) -> Journal:
    """Open the store at `location`, by default the directory `.harness`.

    `:memory:` is a `MemoryJournal`; `postgresql://…` is a database (needs the extra `postgres`); a
    path that ends in `.db` or `.sqlite` is one file; any other is a directory, in which every
    writing process has a file of its own. What is missing is made for writing.

    Raises:
        StoreError: It cannot be opened; the message says why and what to do.
        UsageError: There is nothing to read.
    """
    if str(location) == MEMORY:
        if not write:
            raise UsageError(f"no runs here yet: {MEMORY} keeps nothing when a process ends")
        return MemoryJournal()
    if str(location).startswith(_POSTGRES):
        return _open_postgres(str(location), write=write, durability=durability)
    path = DEFAULT_STORE if location is None else Path(location).expanduser()
    if path.suffix in _FILE_SUFFIXES or path.is_file():
        if write:
            return SqliteJournal(path, durability=durability)
        if path.exists():
            return SqliteJournal.open_reader(path)
    elif write:
        return DirectoryJournal(path, durability=durability)
    elif segments(path):
        return DirectoryReader(path)
    raise UsageError(f"no runs here yet: {path} does not exist; start one, or name another store")


def _open_postgres(url: str, *, write: bool, durability: Durability) -> Journal:
    if "://" not in url:
        raise UsageError("the address of a PostgreSQL store must be given as text: a Path folds its slashes")
    try:
        from harness.journal.postgres import Address, PostgresJournal, PostgresReader
    except ImportError as error:
        raise UsageError(
            "a PostgreSQL store needs psycopg: pip install 'harness-agents[postgres]'"
        ) from error
    if write:
        return PostgresJournal(url, durability=durability)
    reader = PostgresReader(Address(url))
    reader.check()
    return reader


def new_run_id() -> str:
    """Return an id that sorts by time (UTC, to the second) and is unique by 40 random bits."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(5)}"


def resolve_run(journal: Journal, reference: str) -> str:
    """Return the id of the run that `reference` names: an id, a unique prefix of one, `last`, or `last~N`.

    `last~1` is the one before the last.

    Raises:
        UsageError: No run or more than one is meant; the message lists candidates.
    """
    if reference and next(iter(journal.read(reference)), None) is not None:
        return reference
    runs = journal.runs()
    if not runs:
        raise UsageError("no runs here yet: start one, or name another store")
    if (recent := _RECENT.fullmatch(reference)) is not None:
        back = int(recent[1] or 0)
        if back < len(runs):
            return runs[back].run_id
        raise UsageError(f"there are only {len(runs)} runs here, so no {reference}")
    matching = [run for run in runs if reference and run.run_id.startswith(reference)]
    if len(matching) == 1:
        return matching[0].run_id
    if matching:
        raise UsageError(f"{reference!r} is the beginning of {len(matching)} runs:\n{_listed(matching)}")
    raise UsageError(f"no run is called {reference!r}; the latest are:\n{_listed(runs)}")


def _listed(runs: list[RunSummary]) -> str:
    lines = [f"  {run.run_id}  {run.started.team_name}" for run in runs[:_SHOWN_CANDIDATES]]
    if len(runs) > _SHOWN_CANDIDATES:
        lines.append(f"  … and {len(runs) - _SHOWN_CANDIDATES} more")
    return "\n".join(lines)

"""How a store of an older format becomes one of this format.

A format is the tables together with the vocabulary of events. Two rules keep every old store
usable without copying it:

- Events are never rewritten. A new field of an event has a default, which is what an older event
  is read with; an event that needs more than that is brought into shape by the codec when it is
  read.
- Tables change when a store is opened for writing: every step from its format to this one, and
  the number of the new format, in one transaction. Reading changes nothing, so what reads a table
  must work on the tables of every format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What leads from one format to the next."""

    to: int
    reason: str
    sqlite: tuple[str, ...] = ()
    """Statements that change the tables of a SQLite file."""
    postgres: tuple[str, ...] = ()
    """Statements that change the tables of a PostgreSQL schema."""


STEPS: tuple[Step, ...] = (
    Step(to=2, reason="Runs are resumed, forked and approved: new events, and fields that have defaults."),
)
"""All steps there have ever been, the oldest first; one for every format after 1."""


def steps_from(found: int, *, steps: Sequence[Step] = STEPS) -> list[Step]:
    """Return what is still to be done to a store in format `found`."""
    return [step for step in steps if step.to > found]

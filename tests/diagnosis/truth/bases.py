"""The clean runs that defects are put into.

Some are written (`families`). The same, carried out by the harness, are read from its journal, and once more
from the OTLP that it exports. Others are somebody else's: an airline's desk of tau-bench that served its
customers, small teams of five frameworks; and the deep-research example. The last two are too short to put
anything into and are only looked at.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import harness
from harness.diagnosis import examine
from harness.events import Recorded
from harness.foreign import read_records
from harness.opening import open_journal
from harness.record import RunRecord, record_of

from .families import FAMILIES
from .playing import exported, play
from .reading import script_of
from .script import Label, Script

_TESTS = Path(__file__).parents[2]
_TRACES = _TESTS / "foreign" / "traces"
_TEAM = _TESTS.parent / "examples" / "deep_research" / "team.yaml"
_CORPUS = Path(__file__).parent / "texts"
_QUESTIONS = (
    "What does a sub-agent get, and what goes back to its parent?",
    "How does a run go on that was stopped?",
    "Which rights does the licence give?",
)

_PLAYED = ("coding", "pipeline", "research", "incident")
"""The families in which nobody speaks in the middle of a run."""


@cache
def _events(family: str, seed: int) -> list[Recorded]:
    return play(FAMILIES[family](seed))


@cache
def _journaled(family: str, seed: int) -> RunRecord:
    return record_of(_events(family, seed))


@cache
def _exported(family: str, seed: int) -> RunRecord:
    return _through_otlp(_events(family, seed))


def _through_otlp(events: list[Recorded]) -> RunRecord:
    with tempfile.TemporaryDirectory() as folder:
        return exported(events, Path(folder) / "trace.jsonl")


@cache
def _airline() -> tuple[RunRecord, ...]:
    runs = read_records(_TRACES / "tau-bench" / "gpt-4o-airline.sample12.json")
    return tuple(run for run in runs if run.outcome == "done")


def _of_record(read: Callable[[int], RunRecord], family: str, seed: int) -> Script:
    """Return the script of a record; what its source says of it as it is counts as known if it is but an `info`."""
    record = read(seed)
    return script_of(record, family=family).knows(
        *(
            Label(
                found.detector,
                found.where.agent,
                frozenset(
                    (*found.where.calls, *(f"{found.where.agent}/turn-{at}" for at in found.where.turns))
                ),
            )
            for found in examine(record).findings
            if found.severity == "info"
        )
    )


def _served(seed: int) -> RunRecord:
    return _airline()[seed % len(_airline())]


_MADE: dict[str, Callable[[int], Script]] = {
    **FAMILIES,
    **{f"{one}, carried out": partial(_of_record, partial(_journaled, one), one) for one in _PLAYED[::2]},
    **{f"{one}, exported": partial(_of_record, partial(_exported, one), one) for one in _PLAYED[1::2]},
    "airline": partial(_of_record, _served, "airline"),
}
BASES = {name: cache(make) for name, make in _MADE.items()}


def untouched(seeds: int) -> Iterator[tuple[str, RunRecord]]:
    """Yield the runs that were not written, as they are; of those that were carried out so many of each family."""
    for family in _PLAYED:
        for seed in range(seeds):
            yield f"{family} {seed}, carried out", _journaled(family, seed)
            yield f"{family} {seed}, exported", _exported(family, seed)
    for number, run in enumerate(_airline()):
        yield f"airline {number}", run
    for file in sorted(_TRACES.glob("*.*")):
        for run in read_records(file):
            yield file.name, run
    with tempfile.TemporaryDirectory() as folder:
        for question in _QUESTIONS:
            corpus = f"mcpServers.corpus.args.root={_CORPUS}"
            result = harness.run_sync(_TEAM, question, store=Path(folder), overrides=[corpus])
            events = list(open_journal(Path(folder), write=False).read(result.run_id))
            yield f"deep research: {question}", record_of(events)
            yield f"deep research, exported: {question}", _through_otlp(events)

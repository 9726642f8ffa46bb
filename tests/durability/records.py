"""What a store says happened, and what must be true of it whatever became of its writers."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from diary import Diary

from harness import Recorded
from harness.events import RunFinished, RunStarted, ToolCallFinished, ToolCallStarted
from harness.journal import open_journal

Record = Mapping[str, Sequence[Recorded]]
"""The events of every run, by run id."""


def read_all(store: str | Path) -> Record:
    """Read every event of every run, and check that none has a gap or lacks its beginning."""
    journal = open_journal(store, write=False)
    record = {run.run_id: list(journal.read(run.run_id)) for run in journal.runs()}
    for events in record.values():
        assert [item.sequence for item in events] == list(range(len(events)))
        assert isinstance(events[0].event, RunStarted)
    return record


def read_copy(directory: Path, copy: Path) -> Record:
    """Copy a store that nobody writes, and read the copy, having checked that its files are sound.

    SQLite could not read it through the namespace of another process, nor on a full disk.
    """
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
    record = read_all(copy)
    check_files(copy)
    return record


def check_files(directory: Path) -> None:
    """Check that SQLite finds nothing wrong with any file of a store."""
    for path in directory.glob("*.db"):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path


def intents(record: Record) -> set[tuple[int, int]]:
    """Return the lines that calls were begun for, by writer and number."""
    return {
        _line(event.arguments)
        for event in _events(record)
        if isinstance(event, ToolCallStarted) and event.tool == "diary.write"
    }


def results(record: Record) -> set[tuple[int, int]]:
    """Return the lines that calls were begun for and came back."""
    begun = {
        (run_id, item.event.key): _line(item.event.arguments)
        for run_id, events in record.items()
        for item in events
        if isinstance(item.event, ToolCallStarted)
    }
    return {
        begun[run_id, item.event.key]
        for run_id, events in record.items()
        for item in events
        if isinstance(item.event, ToolCallFinished) and not item.event.is_error
    }


def in_doubt(record: Record) -> set[str]:
    """Return the calls that were begun and did not come back, as `RUN KEY`."""
    begun: set[str] = set()
    for run_id, events in record.items():
        for item in events:
            if isinstance(item.event, ToolCallStarted):
                begun.add(f"{run_id} {item.event.key}")
            elif isinstance(item.event, ToolCallFinished):
                begun.discard(f"{run_id} {item.event.key}")
    return begun


def doubtful_lines(record: Record) -> set[tuple[int, int]]:
    """Return the lines that calls were begun for and that did not come back, by writer and number."""
    return intents(record) - results(record)


def check_nothing_lost(record: Record, diary: Diary) -> None:
    """Check that all that any run was told is durable is there, and that the store claims nothing that is not so."""
    lines = diary.lines
    assert max(lines.values(), default=1) == 1
    assert set(lines) <= intents(record)
    assert results(record) <= set(lines)
    for _, run_id in diary.of("began"):
        assert run_id in record
    for _, run_id, stop_reason in diary.of("ended"):
        last = record[run_id][-1].event
        assert isinstance(last, RunFinished)
        assert last.stop_reason == stop_reason


def _events(record: Record) -> list[object]:
    return [item.event for events in record.values() for item in events]


def _line(arguments: str) -> tuple[int, int]:
    wanted = json.loads(arguments)
    return wanted["writer"], wanted["line"]

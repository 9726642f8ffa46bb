"""Journals that older versions wrote.

Each file in `golden/` was written by the version whose format it names and is never changed.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from journal_samples import a_run

from harness.errors import StoreError
from harness.events import (
    FORMAT,
    AgentRunFinished,
    EntryAppended,
    ModelCallFinished,
    RunFinished,
    RunStarted,
    ToolCallFinished,
)
from harness.journal import DirectoryJournal, Journal, SqliteJournal, open_journal
from harness.journal.database import bring_up_to_date
from harness.journal.migrations import STEPS, Step

pytestmark = pytest.mark.anyio

GOLDEN = sorted(Path(__file__).with_name("golden").glob("format-*.db"))

# What is in each golden file: runs, events, and a digest of what they say.
EXPECTED = {
    "format-1.db": (3, 270, "2782ab7b6ed2b299"),
    "format-2.db": (5, 474, "2feb7851d8ac649f"),
}


def summary(journal: Journal) -> tuple[int, int, str]:
    """Return what a journal holds, in terms that every format knows."""
    lines: list[object] = []
    events = 0
    runs = journal.runs()
    for run in sorted(run.run_id for run in runs):
        recorded = list(journal.read(run))
        assert [item.sequence for item in recorded] == list(range(len(recorded)))
        events += len(recorded)
        lines.append(sorted(Counter(item.event.type for item in recorded).items()))
        lines += [line for item in recorded if (line := said(item.event))]
    return len(runs), events, hashlib.sha256(repr(lines).encode()).hexdigest()[:16]


def said(event: object) -> tuple[object, ...] | None:
    match event:
        case RunStarted(team_name=name, task=task):
            return name, task.text
        case EntryAppended(agent=agent, origin=origin, message=message):
            return agent, origin, message.role, message.text, [call.arguments for call in message.tool_calls]
        case ModelCallFinished(agent=agent, stop_reason=reason, usage=usage, error=error):
            return agent, reason, usage.input_tokens, usage.output_tokens, error
        case ToolCallFinished(key=key, tool=tool, shown=shown, whole=whole, is_error=is_error):
            return key, tool, shown, whole, is_error
        case AgentRunFinished(agent=agent, report=report):
            return agent, report.status, report.answer, [evidence.quote for evidence in report.evidence]
        case RunFinished(stop_reason=reason, output=output, citations=citations, error=error):
            return reason, output, [citation.quote for citation in citations], error
        case _:
            return None


@pytest.fixture(params=GOLDEN, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copy(request.param, tmp_path / request.param.name))


def expected(golden: Path, found: tuple[int, int, str]) -> tuple[int, int, str]:
    assert golden.name in EXPECTED, f"a golden file is new; add to EXPECTED: {golden.name!r}: {found}"
    return EXPECTED[golden.name]


def format_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()[0]


def test_there_is_a_golden_file_of_every_older_format():
    assert {path.name for path in GOLDEN} >= {f"format-{number}.db" for number in range(1, FORMAT)}


def test_a_golden_file_is_read_as_it_is(golden: Path):
    before = golden.read_bytes()
    found = summary(open_journal(golden, write=False))

    assert found == expected(golden, found)
    assert golden.read_bytes() == before


async def test_a_golden_file_is_carried_on_in_the_format_of_today(golden: Path):
    journal = open_journal(golden, write=True)
    found = summary(journal)
    oldest = journal.runs()[-1].run_id
    length = len(list(journal.read(oldest)))
    journal.append(a_run(run_id="new", at=2e9))
    await journal.close()

    assert found == expected(golden, found)
    assert format_of(golden) == str(FORMAT)
    again = open_journal(golden, write=True)
    assert list(again.read("new")) == a_run(run_id="new", at=2e9)
    assert len(list(again.read(oldest))) == length
    await again.delete(["new"])
    assert summary(again) == found
    await again.close()


async def test_a_golden_file_may_lie_in_a_directory_store(golden: Path):
    store = golden.parent / "store"
    await DirectoryJournal(store).close()
    shutil.copy(golden, store / "journal-2.db")

    found = summary(open_journal(store, write=False))
    assert found == expected(golden, found)

    journal = open_journal(store, write=True)
    await journal.claim(journal.runs()[0].run_id)
    assert summary(journal) == found
    assert format_of(store / "journal-2.db") == str(FORMAT)
    await journal.close()


def test_there_is_a_step_to_every_format():
    assert [step.to for step in STEPS] == list(range(2, FORMAT + 1))


NEXT = Step(to=98, reason="A try.", sqlite=("ALTER TABLE events ADD COLUMN mood TEXT",))
LAST = Step(
    to=99,
    reason="Another.",
    sqlite=("UPDATE events SET mood = 'fine'", "CREATE TABLE moods (mood TEXT PRIMARY KEY)"),
)


def test_steps_change_the_tables_one_after_the_other(tmp_path: Path):
    shutil.copy(GOLDEN[0], tmp_path / "journal.db")
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as connection:
        bring_up_to_date(connection, steps=(*STEPS, NEXT, LAST))
        assert connection.execute("SELECT DISTINCT mood FROM events").fetchall() == [("fine",)]

    assert format_of(tmp_path / "journal.db") == "99"
    with pytest.raises(StoreError, match="written by a newer harness"):
        SqliteJournal(tmp_path / "journal.db")


def test_of_a_step_that_fails_nothing_is_left(tmp_path: Path):
    path = tmp_path / "journal.db"
    shutil.copy(GOLDEN[0], path)
    wrong = Step(to=100, reason="A mistake.", sqlite=("DROP TABLE content", "DROP TABLE nothing"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        before = list(connection.iterdump())
        with pytest.raises(sqlite3.OperationalError, match="nothing"):
            bring_up_to_date(connection, steps=(*STEPS, NEXT, LAST, wrong))
        assert list(connection.iterdump()) == before

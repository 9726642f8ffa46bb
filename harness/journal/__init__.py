"""The journal: where the events of runs go and come from."""

from harness.journal.codec import decode, encode
from harness.journal.directory import DirectoryJournal
from harness.journal.memory import MemoryJournal
from harness.journal.port import Answer, Journal, RunSummary
from harness.journal.sqlite import SqliteJournal
from harness.journal.store import new_run_id, open_journal, resolve_run

__all__ = [
    "Answer",
    "DirectoryJournal",
    "Journal",
    "MemoryJournal",
    "RunSummary",
    "SqliteJournal",
    "decode",
    "encode",
    "new_run_id",
    "open_journal",
    "resolve_run",
]

"""The full-text index of a folder: kept up to date by itself, searched by many threads at once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from toolservers.corpus.kinds import Kind
from toolservers.corpus.ranking import Hit, Rarity, best_passages
from toolservers.corpus.scan import Scope
from toolservers.corpus.store import SCHEMA_VERSION, Store, is_damaged, is_unwritable, open_store
from toolservers.corpus.update import Report, update
from toolservers.corpus.words import wanted

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index knows of a file."""

    path: str
    kind: Kind
    line_count: int
    passage_count: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The corpus in numbers, the largest first."""

    files: int
    passages: int
    folders: dict[str, int]
    """Files below each top-level folder; `.` stands for the root itself."""
    kinds: dict[str, int]


def in_silence(done: int, total: int) -> None:
    """A report that nobody hears."""


class Index:
    """The index of one scope.

    Only what changed since the last look is read again; a look happens at most every `refresh_seconds`.
    """

    def __init__(self, scope: Scope, *, cache: str | None = None, refresh_seconds: float = 2.0) -> None:
        """Opens nothing yet; `cache` is a file, `:memory:`, or None for a file of its own in the user's cache."""
        self.scope = scope
        self._file = cache_file(scope, cache)
        self._refresh_seconds = refresh_seconds
        self._store: Store | None = None
        self._updating = threading.RLock()
        self._looked_at = float("-inf")
        self._progress = (0, 0)
        self._rarity = Rarity()

    def search(self, query: str, *, limit: int, report: Report = in_silence) -> list[Hit]:
        """The passages that answer the query best; any text is a valid query."""
        self.refresh(report)
        sought = wanted(query)
        return self._answer(
            lambda tables: best_passages(tables, sought, rarity=self._rarity, limit=limit), report
        )

    def files(self, report: Report = in_silence) -> dict[str, Indexed]:
        """The files of the corpus by path, in order."""
        self.refresh(report)
        select = "SELECT path, kind, line_count, passage_count FROM files WHERE kind != '' ORDER BY path"
        rows = self._answer(lambda tables: tables.execute(select).fetchall(), report)
        return {row[0]: Indexed(*row) for row in rows}

    def file(self, path: str, report: Report = in_silence) -> Indexed | None:
        """What is known of one file; a file written just now is found as well."""
        for at_once in (False, True):
            self.refresh(report, at_once=at_once)
            select = "SELECT path, kind, line_count, passage_count FROM files WHERE kind != '' AND path = ?"
            if row := self._answer(
                lambda tables, sql=select: tables.execute(sql, (path,)).fetchone(), report
            ):
                return Indexed(*row)
        return None

    def title_at(self, path: str, line: int, report: Report = in_silence) -> str | None:
        """The title of the passage at a line, counted from 1, or of the next one."""
        select = (
            "SELECT passages.title FROM passages JOIN files ON files.id = passages.file "
            "WHERE files.path = ? AND passages.stop >= ? ORDER BY passages.start LIMIT 1"
        )
        row = self._answer(lambda tables: tables.execute(select, (path, line)).fetchone(), report)
        return row[0] if row else None

    def overview(self, report: Report = in_silence) -> Overview:
        """The corpus in numbers."""
        files = self.files(report).values()
        folders = Counter(file.path.split("/")[0] if "/" in file.path else "." for file in files)
        kinds = Counter(file.kind for file in files)
        passages = sum(file.passage_count for file in files)
        return Overview(len(files), passages, dict(folders.most_common()), dict(kinds.most_common()))

    def refresh(self, report: Report = in_silence, *, at_once: bool = False) -> None:
        """Looks at the folder and reads what changed, unless that was done a moment ago.

        Threads that come meanwhile wait for the one at work and are told of its progress.
        """
        asked_at = time.monotonic()
        if not at_once and asked_at - self._looked_at < self._refresh_seconds:
            return
        with self._turn(report):
            if self._looked_at < asked_at:
                began = time.monotonic()
                self._surviving(lambda store: self._update(store, report), report)
                self._looked_at = began

    def _update(self, store: Store, report: Report) -> None:
        def note(done: int, total: int) -> None:
            self._progress = (done, total)
            report(done, total)

        try:
            if update(store, self.scope, note):
                self._rarity.forget()
        finally:
            self._progress = (0, 0)

    def _answer(self, question: Callable[[sqlite3.Connection], _Answer], report: Report) -> _Answer:
        def ask(store: Store) -> _Answer:
            with store.reading() as tables:
                return question(tables)

        return self._surviving(ask, report)

    def _surviving(self, work: Callable[[Store], _Answer], report: Report) -> _Answer:
        """Does the work, a second time on a new store where the first turned out damaged or unwritable."""
        store = self._opened(report)
        try:
            return work(store)
        except sqlite3.DatabaseError as error:
            if store.file is None or not (is_damaged(error) or is_unwritable(error)):
                raise
            damaged = is_damaged(error)
        with self._turn(report):
            if self._store is store:
                if damaged:
                    store.discard()
                self._store = open_store(self._file if damaged else None)
                self._update(self._store, report)
            store = self._opened(report)
        return work(store)

    def _opened(self, report: Report) -> Store:
        if self._store is None:
            with self._turn(report):
                if self._store is None:
                    self._store = open_store(self._file)
        return self._store

    @contextmanager
    def _turn(self, report: Report) -> Generator[None, None, None]:
        """The only thread that changes tables for the time of the block; waiting threads go on reporting."""
        while not self._updating.acquire(timeout=0.2):
            report(*self._progress)
        try:
            yield
        finally:
            self._updating.release()


def cache_file(scope: Scope, cache: str | None) -> Path | None:
    """Where the index of this scope is kept; None stands for memory.

    Indexes differ by everything that decides what is in them, so that no two scopes share a file unasked.
    """
    if cache == ":memory:":
        return None
    if cache is not None:
        return Path(cache).expanduser()
    parts = (SCHEMA_VERSION, scope.root.folder, scope.include, scope.exclude, scope.max_file_bytes)
    name = hashlib.blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "harness-corpus" / f"{name}.db"

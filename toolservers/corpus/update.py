"""Bringing the tables of a store in line with the folder: only what changed is read again."""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

from toolservers.corpus.ingest import Ingested, batches, ingest
from toolservers.corpus.scan import Scope, Stamp
from toolservers.corpus.store import Store

Report: TypeAlias = Callable[[int, int], None]
"""Told how many of how many files are done, again and again during long work; stops the work by raising."""

_FORGET_PASSAGES = (
    "DELETE FROM passages WHERE file IN (SELECT id FROM files WHERE path IN (SELECT value FROM json_each(?)))"
)
_FORGET_FILES = "DELETE FROM files WHERE path IN (SELECT value FROM json_each(?))"
# Whole batches travel as one JSON value and are taken apart by SQLite: a statement for each row would hand the
# interpreter lock back and forth with the reading thread at every row, which costs more than the work itself.
_ADD_FILES = """
INSERT INTO files(path, size, mtime_ns, kind, line_count, passage_count)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]') FROM json_each(?)
"""
_ADD_PASSAGES = """
INSERT INTO passages(file, path, title, body, names, start, stop, digest)
SELECT files.id, files.path, json_extract(row.value, '$[1]'), json_extract(row.value, '$[2]'),
    json_extract(row.value, '$[3]'), json_extract(row.value, '$[4]'), json_extract(row.value, '$[5]'),
    json_extract(row.value, '$[6]')
FROM json_each(?) AS row CROSS JOIN files ON files.path = json_extract(row.value, '$[0]')
"""
_ADD_WORDS = """
INSERT INTO words(rowid, path, title, body, names)
SELECT id, path, title, body, names FROM passages WHERE id > ?
"""


def update(store: Store, scope: Scope, report: Report) -> bool:
    """Makes the store tell what the folder holds now, and says whether anything had changed.

    Commits batch by batch, so that stopping halfway keeps what was done and another process can share the work.

    Raises: sqlite3.Error, and whatever `report` raises.
    """
    found = scope.files()
    with store.reading() as tables:
        known = _stamps(tables)
    gone = [path for path in known if path not in found]
    changed = [(path, stamp) for path, stamp in found.items() if known.get(path) != stamp]
    if gone:
        with store.writing() as tables:
            _forget(tables, gone)
    done = 0
    if changed:
        report(done, len(changed))
    for batch in _ingested(scope, changed):
        with store.writing() as tables:
            _replace(tables, batch)
        done += len(batch)
        report(done, len(changed))
    return bool(gone or changed)


def _stamps(tables: sqlite3.Connection, paths: list[str] | None = None) -> dict[str, Stamp]:
    select = "SELECT path, size, mtime_ns FROM files"
    if paths is None:
        rows = tables.execute(select)
    else:
        rows = tables.execute(
            f"{select} WHERE path IN (SELECT value FROM json_each(?))", (json.dumps(paths),)
        )
    return {path: Stamp(size, mtime_ns) for path, size, mtime_ns in rows}


def _ingested(scope: Scope, files: list[tuple[str, Stamp]]) -> Iterator[list[Ingested]]:
    """Batches in order, the next ones read in another thread while the caller writes the last."""
    waiting = batches(files)
    first = next(waiting, None)
    if first is None:
        return
    second = next(waiting, None)
    if second is None:
        yield _ingest_batch(scope, first)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="corpus") as reader:
        ahead: deque[Future[list[Ingested]]] = deque()
        try:
            ahead.extend(reader.submit(_ingest_batch, scope, batch) for batch in (first, second))
            while ahead:
                yield ahead.popleft().result()
                if (batch := next(waiting, None)) is not None:
                    ahead.append(reader.submit(_ingest_batch, scope, batch))
        finally:
            for future in ahead:
                future.cancel()


def _ingest_batch(scope: Scope, batch: list[tuple[str, Stamp]]) -> list[Ingested]:
    return [ingest(scope, path, stamp) for path, stamp in batch]


def _replace(tables: sqlite3.Connection, batch: list[Ingested]) -> None:
    paths = [file.path for file in batch]
    known = _stamps(tables, paths)
    # Another process may have done some of them since the folder was listed.
    fresh = [file for file in batch if known.get(file.path) != file.stamp]
    if any(file.path in known for file in fresh):
        _forget(tables, [file.path for file in fresh])
    facts = [
        (file.path, file.stamp.size, file.stamp.mtime_ns, file.kind, file.line_count, file.passage_count)
        for file in fresh
    ]
    (last,) = tables.execute("SELECT coalesce(max(id), 0) FROM passages").fetchone()
    tables.execute(_ADD_FILES, (json.dumps(facts),))
    tables.execute(_ADD_PASSAGES, (f"[{','.join(file.rows for file in fresh if file.rows)}]",))
    tables.execute(_ADD_WORDS, (last,))


def _forget(tables: sqlite3.Connection, paths: list[str]) -> None:
    listed = json.dumps(paths)
    tables.execute(_FORGET_PASSAGES, (listed,))
    tables.execute(_FORGET_FILES, (listed,))

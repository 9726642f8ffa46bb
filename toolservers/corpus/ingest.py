"""Reading files into rows for the store: the part of indexing that needs no database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from toolservers.corpus.kinds import is_minified
from toolservers.corpus.passages import cut, lines_of, readable
from toolservers.corpus.scan import Scope, Stamp
from toolservers.paths import PathRefused

_BATCH_FILES = 256
_BATCH_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Ingested:
    """One file, read and cut."""

    path: str
    stamp: Stamp
    kind: str
    """Empty for a file that turned out to be unreadable, binary or minified: known, but not part of the corpus."""
    line_count: int = 0
    passage_count: int = 0
    rows: str = ""
    """The passages as JSON arrays joined by commas: (path, title, body, names, start, stop, digest)."""


def ingest(scope: Scope, path: str, stamp: Stamp) -> Ingested:
    """Reads one file; never fails, whatever the file holds or has become since it was listed."""
    kind = scope.kind_of(path)
    try:
        data, status = scope.root.read(path, limit=scope.max_file_bytes + 1, links=False)
    except (OSError, PathRefused):
        return Ingested(path, stamp, kind="")
    stamp = Stamp(status.st_size, status.st_mtime_ns)
    if kind is None or len(data) > scope.max_file_bytes or b"\0" in data:
        return Ingested(path, stamp, kind="")
    lines = lines_of(data)
    if is_minified(len(data), len(lines), kind):
        return Ingested(path, stamp, kind="")
    passages = cut(*readable(lines, path=path, kind=kind), path=path, kind=kind)
    rows = [(path, p.title, p.text, p.names, p.start, p.stop, p.digest) for p in passages]
    return Ingested(path, stamp, kind, len(lines), len(rows), json.dumps(rows, ensure_ascii=False)[1:-1])


def batches(files: Iterable[tuple[str, Stamp]]) -> Iterator[list[tuple[str, Stamp]]]:
    """The files in groups of a size that one transaction writes in well under a second."""
    batch: list[tuple[str, Stamp]] = []
    size = 0
    for path, stamp in files:
        batch.append((path, stamp))
        size += stamp.size
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

"""The traces of a file, one after the other, without holding the file.

Spans of one trace are anywhere in a file of JSON lines. A small file is read once and its traces are held;
of a large one the first pass only notes which lines hold which trace, and further passes read as many
traces at a time as fit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.foreign.otlp_json import Item
from harness.foreign.run_of_spans import run_of_spans
from harness.foreign.seen import Reader, Seen
from harness.foreign.span import LogRecord
from harness.record import RunRecord

AT_ONCE = 96_000_000
"""Bytes of file whose spans are held at a time, if they do not belong to one trace."""

Documents = Callable[[], Iterator[tuple[str, Any]]]
Items = Callable[[Any, str], Iterator[Item]]


def runs(path: Path, documents: Documents, items: Items, *, size: int) -> Iterator[RunRecord]:
    """Yield the run of every trace, in the order of their first spans.

    Args:
        documents: Begins to read the file again, from its first document.
        items: Yields the spans and log records of a document.
        size: Bytes of the file, decompressed where known.
    """
    if size <= AT_ONCE:
        yield from _read(path, documents(), items, None)
        return
    for group in _groups(documents(), items, size):
        yield from _read(path, documents(), items, group)


def _read(
    path: Path, documents: Iterable[tuple[str, Any]], items: Items, wanted: frozenset[str] | None
) -> Iterator[RunRecord]:
    readers: dict[str, Reader] = {}
    spans: dict[str, list[Seen]] = defaultdict(list)
    logs: dict[str, list[LogRecord]] = defaultdict(list)
    for place, document in documents:
        for item in items(document, place):
            if wanted is not None and item.trace not in wanted:
                continue
            if isinstance(item, LogRecord):
                logs[item.trace].append(item)
                continue
            reader = readers.get(item.trace)
            if reader is None:
                reader = readers[item.trace] = Reader()
            spans[item.trace].append(reader.read(item))
    for trace in list(spans):
        reader, seen = readers.pop(trace), spans.pop(trace)
        by_id = {span.id: span for span in seen} if logs.get(trace) else {}
        for log in logs.pop(trace, ()):
            if log.span in by_id:
                reader.add(by_id[log.span], log.event)
        yield run_of_spans(trace, seen, reader.interned, file=path.name)


def _groups(documents: Iterable[tuple[str, Any]], items: Items, size: int) -> Iterator[frozenset[str]]:
    """Return traces in groups that can be held at once."""
    counts: dict[str, int] = defaultdict(int)
    for place, document in documents:
        for item in items(document, place):
            counts[item.trace] += 1
    each = size / max(1, sum(counts.values()))
    group: set[str] = set()
    held = 0.0
    for trace, count in counts.items():
        if group and held + count * each > AT_ONCE:
            yield frozenset(group)
            group, held = set(), 0.0
        group.add(trace)
        held += count * each
    if group:
        yield frozenset(group)

"""The traces of a file, one after the other, without holding the file.

Spans of one trace are anywhere in a file of JSON lines. A small file, and one of a single trace, is read once;
of a large one with many traces a pass counts the spans of each, and further passes read as many traces at
a time as fit.
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

MANY = 50_000
"""Spans of several traces that are held before a large file is read by groups of traces."""

Documents = Callable[[], Iterator[tuple[str, Any]]]
Items = Callable[[Any, str], Iterator[Item]]


def runs(path: Path, documents: Documents, items: Items, *, size: int) -> Iterator[RunRecord]:
    """Yield the run of every trace with a model call, a tool call or an agent in it, by their first spans.

    Args:
        documents: Begins to read the file again, from its first document.
        items: Yields the spans and log records of a document.
        size: Bytes of the file, decompressed where known.
    """
    held = _hold(documents(), items, None, most=float("inf") if size <= AT_ONCE else MANY)
    if held is not None:
        yield from _records(path, *held)
        return
    for group in _groups(documents(), items, size):
        held = _hold(documents(), items, group)
        if held is not None:
            yield from _records(path, *held)


def _hold(
    documents: Iterable[tuple[str, Any]],
    items: Items,
    wanted: frozenset[str] | None,
    *,
    most: float = float("inf"),
) -> tuple[dict[str, list[Seen]], dict[str, Reader], dict[str, list[LogRecord]]] | None:
    """Return what the spans of all traces, or of those `wanted`, say.

    None as soon as spans of several traces are more than `most`.
    """
    readers: dict[str, Reader] = {}
    spans: dict[str, list[Seen]] = defaultdict(list)
    logs: dict[str, list[LogRecord]] = defaultdict(list)
    count = 0
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
            count += 1
        if count > most and len(spans) > 1:
            return None
    return spans, readers, logs


def _records(
    path: Path,
    spans: dict[str, list[Seen]],
    readers: dict[str, Reader],
    logs: dict[str, list[LogRecord]],
) -> Iterator[RunRecord]:
    only = len(spans) == 1
    for trace in list(spans):
        reader, seen = readers.pop(trace), spans.pop(trace)
        by_id = {span.id: span for span in seen} if logs.get(trace) else {}
        for log in logs.pop(trace, ()):
            if log.span in by_id:
                reader.add(by_id[log.span], log.event)
        record = run_of_spans(trace, seen, reader.interned, file=path.name)
        record.trace_id = trace
        if record.agents or only:
            yield record


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
            group.clear()
            held = 0.0
        group.add(trace)
        held += count * each
    if group:
        yield frozenset(group)

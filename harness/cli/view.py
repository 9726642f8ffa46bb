"""`harness view`: one page over a run or a trace, or over two of them side by side."""

from __future__ import annotations

import re
import sys
import webbrowser
from pathlib import Path

from harness.cli.store import open_store
from harness.diagnosis import Diagnosis, examine
from harness.errors import UsageError
from harness.journal import resolve_run
from harness.record import RunRecord, record_of
from harness.viewer import page

_UNSAFE = re.compile(r"[^\w.-]+")


def view_run(
    reference: str, other: str | None, store: str | None, *, output: str | None, in_browser: bool
) -> None:
    """Write the page and print its path; `-` writes the page to standard output."""
    first = _diagnose(reference, store)
    second = _diagnose(other, store) if other is not None else None
    document = page(first, other=second).encode()
    if output == "-":
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
        return
    ids = [one.record.id for one in (first, second) if one is not None]
    target = Path(output) if output else Path(f"harness-view-{_file_name('-'.join(ids))}.html")
    try:
        target.write_bytes(document)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
    print(target)
    if in_browser:
        webbrowser.open(target.resolve().as_uri())


def _diagnose(reference: str, store: str | None) -> Diagnosis:
    return examine(_read(reference, store))


def _read(reference: str, store: str | None) -> RunRecord:
    """Return a record: a path that exists is a trace, anything else names a run."""
    path = Path(reference)
    if path.is_file():
        from harness.foreign import read_records

        records = list(read_records(path))
        if not records:
            raise UsageError(f"{reference}: holds no run")
        if len(records) > 1:
            print(
                f"note: {reference} holds {len(records):,} runs; this is the first, {records[0].id}",
                file=sys.stderr,
            )
        return records[0]
    journal = open_store(store)
    return record_of(journal.read(resolve_run(journal, reference)))


def _file_name(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")[:100] or "run"

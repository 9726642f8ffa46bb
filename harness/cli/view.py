"""`harness view`: one page over a run or a trace, or over two of them side by side."""

from __future__ import annotations

import re
import sys
import webbrowser
from pathlib import Path

from harness.cli.store import store_name
from harness.cli.terminal import plain
from harness.diagnosing import read_runs
from harness.diagnosis import Diagnosis, examine
from harness.errors import UsageError
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
    """Return the diagnosis of a run; of a file that holds several, of the first."""
    runs = read_runs(reference, store=store_name(store))
    first = next(runs, None)
    if first is None:
        raise UsageError(f"{reference} holds no run")
    if next(runs, None) is not None:
        print(
            plain(f"note: {reference} holds more than one run; this is the first, {first.id}"),
            file=sys.stderr,
        )
    return examine(first)


def _file_name(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")[:100] or "run"

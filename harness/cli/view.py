"""`harness view`: one page over a run or a trace, or over two of them side by side."""

from __future__ import annotations

import re
import sys
import webbrowser
from itertools import islice
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
    if not target.parent.is_dir():
        raise UsageError(f"{target}: there is no folder {target.parent}")
    try:
        target.write_bytes(document)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
    print(target)
    if in_browser:
        webbrowser.open(target.resolve().as_uri())


def _diagnose(reference: str, store: str | None) -> Diagnosis:
    """Return the diagnosis of a run; of a file that holds several, of the first or of the one that is named."""
    name, number = _numbered(reference)
    runs = read_runs(name, store=store_name(store))
    chosen = next(islice(runs, (number or 1) - 1, None), None)
    if chosen is None:
        raise UsageError(f"{name} holds no run" + (f" {number}" if number else ""))
    if number is None and next(runs, None) is not None:
        note = f"{name} holds more than one run; this is the first, {chosen.id}; name others as {name}#2"
        print(plain(f"note: {note}"), file=sys.stderr)
    return examine(chosen)


def _numbered(reference: str) -> tuple[str, int | None]:
    """Return the file and the number of the run in `FILE#2`; anything else as it is, without a number."""
    name, _, number = reference.rpartition("#")
    if number.isdecimal() and int(number) and Path(name).is_file() and not Path(reference).exists():
        return name, int(number)
    return reference, None


def _file_name(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")[:100] or "run"

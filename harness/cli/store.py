"""What a store holds, and what leaves and enters it: `harness runs`, `prune`, `export` and `import`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from harness.cli.terminal import count, one_line, table, when
from harness.errors import UsageError
from harness.journal import Journal, RunSummary, open_journal, resolve_run
from harness.opening import DEFAULT_STORE
from harness.team.quantities import byte_count, duration
from harness.views import json_line


@dataclass(frozen=True)
class Filter:
    """Which runs are meant."""

    status: tuple[str, ...] = ()
    team: str | None = None
    session: str | None = None
    text: str | None = None
    """Stands in the task or the answer, in whatever case."""
    newer: str | None = None
    older: str | None = None
    """Ages, as in `7d`."""

    def fits(self, summary: RunSummary, now: float) -> bool:
        """Return whether a run is meant."""
        age = now - summary.started_at
        return (
            (not self.status or status_of(summary) in self.status)
            and self.team in (None, summary.started.team_name)
            and self.session in (None, summary.started.session)
            and (self.newer is None or age <= _read(duration, self.newer))
            and (self.older is None or age >= _read(duration, self.older))
            and (self.text is None or self.text.lower() in _text_of(summary).lower())
        )


def open_store(store: str | None, *, write: bool = False) -> Journal:
    """Open the store that the options and the environment name."""
    return open_journal(store_name(store), write=write)


def store_name(store: str | None) -> str:
    """Return the store that the options and the environment name."""
    return store or os.environ.get("HARNESS_STORE") or DEFAULT_STORE


def status_of(summary: RunSummary) -> str:
    """Return how a run ended, or that it has not."""
    return summary.finished.stop_reason if summary.finished else "unfinished"


def list_runs(store: str | None, which: Filter, *, limit: int, as_json: bool) -> None:
    """Print the newest runs of a store that fit."""
    summaries = _chosen(open_store(store).runs(), which)[:limit]
    if as_json:
        for summary in summaries:
            print(json_line(_summary_view(summary)))
        return
    if not summaries:
        print("no such runs here", file=sys.stderr)
        return
    rows = [
        (
            summary.run_id,
            when(summary.started_at),
            status_of(summary),
            summary.started.team_name + _mark(summary),
            count(summary.finished.usage.total_tokens, "token") if summary.finished else "",
            one_line(summary.started.task.text, 60),
        )
        for summary in summaries
    ]
    print(table(rows, ("RUN", "STARTED", "ENDED", "TEAM", "TOKENS", "TASK")))


def prune_store(store: str | None, which: Filter, *, keep: int, max_size: str | None, dry_run: bool) -> None:
    """Forget runs that fit, oldest first, and say what that freed."""
    journal = open_store(store, write=True)

    async def main() -> None:
        try:
            doomed = _doomed(journal.runs(), which, keep=keep)
            if max_size is not None:
                doomed = _beyond(doomed, _size_of(store), int(_read(byte_count, max_size)))
            for summary in doomed:
                print(f"{summary.run_id}  {status_of(summary):11s} {one_line(summary.started.task.text, 60)}")
            freed = 0 if dry_run else await journal.delete([summary.run_id for summary in doomed])
            verb = "would go" if dry_run else f"gone, {freed:,} bytes freed"
            print(f"{count(len(doomed), 'run')} {verb}", file=sys.stderr)
        finally:
            await journal.close()

    anyio.run(main)


def export_runs(references: Sequence[str], store: str | None, target: Path) -> None:
    """Write runs into one file."""
    from harness.replay.bundle import write_bundle

    journal = open_store(store)
    run_ids = [resolve_run(journal, reference) for reference in references]
    write_bundle(journal, run_ids, target)
    print(f"wrote {target}: {count(len(run_ids), 'run')}, {target.stat().st_size:,} bytes", file=sys.stderr)


def import_runs(source: Path, store: str | None) -> None:
    """Take the runs of a file into a store."""
    from harness.replay.bundle import import_bundle

    journal = open_store(store, write=True)

    async def main() -> None:
        try:
            for run_id in await import_bundle(journal, source):
                print(run_id)
        finally:
            await journal.close()

    anyio.run(main)


def _read(quantity: Callable[[Any], Any], text: str) -> float:
    try:
        return float(quantity(text))
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}") from error


def _chosen(summaries: Iterable[RunSummary], which: Filter) -> list[RunSummary]:
    now = time.time()
    return [summary for summary in summaries if which.fits(summary, now)]


def _doomed(summaries: Sequence[RunSummary], which: Filter, *, keep: int) -> list[RunSummary]:
    """Return what may go, the oldest first: not the newest `keep` runs, and nothing that still goes on."""
    ended = _chosen(summaries[keep:], which)
    still = ("unfinished", "suspended")
    asked_for = set(which.status)
    return [
        summary
        for summary in reversed(ended)
        if status_of(summary) not in still or status_of(summary) in asked_for
    ]


def _beyond(doomed: Sequence[RunSummary], size: int, max_size: int) -> list[RunSummary]:
    if size <= max_size:
        return []
    share = size / max(1, len(doomed))
    return list(doomed[: int((size - max_size) / share) + 1])


def _size_of(store: str | None) -> int:
    path = Path(store_name(store))
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    if path.is_file():
        return path.stat().st_size
    raise UsageError("only stores on disk have a size to keep under")


def _text_of(summary: RunSummary) -> str:
    output = summary.finished.output if summary.finished else ""
    return f"{summary.run_id}\n{summary.started.task.text}\n{output}"


def _mark(summary: RunSummary) -> str:
    origin = summary.started.forked_from
    return f" (fork of {origin.run_id})" if origin else ""


def _summary_view(summary: RunSummary) -> dict[str, object]:
    finished = summary.finished
    origin = summary.started.forked_from
    return {
        "run_id": summary.run_id,
        "started_at": summary.started_at,
        "finished_at": summary.finished_at,
        "team": summary.started.team_name,
        "session": summary.started.session,
        "task": summary.started.task.text,
        "stop_reason": finished.stop_reason if finished else None,
        "waiting": list(finished.waiting) if finished else [],
        "tokens": finished.usage.total_tokens if finished else None,
        "cost": finished.cost if finished else None,
        "forked_from": {"run_id": origin.run_id, "at": origin.at} if origin else None,
    }

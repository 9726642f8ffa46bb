"""`harness run`: the answer to standard output, progress to standard error."""

from __future__ import annotations

import base64
import mimetypes
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio

from harness.cli.ask import somebody_is_there
from harness.cli.progress import show_progress
from harness.cli.terminal import count, dollars, plain
from harness.errors import StoreError, UsageError, innermost
from harness.harness import Harness
from harness.messages import Image
from harness.opening import open_harness
from harness.run import Run, RunResult
from harness.team import load_team
from harness.views import event_view, json_line

EXIT_CODES = {
    "done": 0,
    "failed": 3,
    "limit": 4,
    "budget_exhausted": 4,
    "suspended": 5,
    "cancelled": 3,
    "interrupted": 130,
}


@dataclass(frozen=True)
class RunRequest:
    """What was asked for on the command line."""

    team: str
    task: str | None
    overrides: tuple[str, ...]
    store: str | None
    as_json: bool
    images: tuple[Path, ...]
    trace: Path | None
    quiet: bool
    session: str = ""


def run_team(request: RunRequest) -> int:
    """Run the team, print what it came to, and return the exit code."""
    team = load_team(request.team, overrides=request.overrides)
    task = request.task if request.task not in (None, "-") else _read_task()
    images = tuple(map(_read_image, request.images))

    async def main() -> RunResult:
        async with open_harness(team, store=request.store, trace=request.trace) as harness:
            run = await harness.start(task, *images, session=request.session)
            return await carry(harness, run, as_json=request.as_json, quiet=request.quiet)

    return tell(anyio.run(main), as_json=request.as_json)


async def carry(harness: Harness, run: Run, *, as_json: bool, quiet: bool) -> RunResult:
    """Show what a run does until it ends or is suspended; ask who is there, if anybody is.

    Raises:
        StoreError: The journal could not be written; the message says how to go on.
    """
    try:
        async with anyio.create_task_group() as around:
            around.start_soon(_interrupt, run)
            if as_json:
                await _print_events(run)
            elif not quiet:
                if somebody_is_there():
                    run.be_patient()
                await show_progress(harness, run)
            await run.result()
            around.cancel_scope.cancel()
    except Exception as raised:
        error = innermost(raised)
        if type(error) is StoreError:
            raise StoreError(f"{error}\nto go on: harness resume {run.id}") from raised
        raise
    return await run.result()


def tell(result: RunResult, *, as_json: bool) -> int:
    """Print what a run came to, unless its events have said so; return the exit code."""
    if not as_json:
        print_result(result)
    return EXIT_CODES[result.stop_reason]


async def _interrupt(run: Run) -> None:
    """Stop the run at the first Ctrl-C; the second one ends the process."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            print("stopping; press Ctrl-C again to leave at once", file=sys.stderr)
            break
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        await run.cancel(reason="interrupted")


async def _print_events(run: Run) -> None:
    async for recorded in run.events(after=run.begins_at - 1):
        print(json_line(event_view(recorded)), flush=True)


def print_result(result: RunResult) -> None:
    """Print the answer with its sources, and how the run ended."""
    if isinstance(result.output, str):
        if result.output or result.stop_reason == "done":
            print(plain(result.output))
    else:
        print(json_line(result.output))
    if result.citations:
        print("\nSources")
    for number, citation in enumerate(result.citations, 1):
        print(f"[{number}] {plain(citation.locator or citation.source)}")
        for line in plain(citation.quote).split("\n"):
            print(f"    > {line}")
    sys.stdout.flush()
    for entry in result.dropped:
        print(
            f"left out: {plain(str(entry['claim']))[:200]}\n  because {plain(str(entry['reason']))}",
            file=sys.stderr,
        )
    for note in result.notes:
        print(f"note: {plain(note)}", file=sys.stderr)
    if result.error:
        print(f"error: {plain(result.error)}", file=sys.stderr)
    for key in result.waiting:
        print(f"waits for you: harness approve {result.run_id} {plain(key)}", file=sys.stderr)
    usage = result.usage
    if result.stop_reason in ("interrupted", "limit", "budget_exhausted", "failed"):
        print(f"to go on: harness resume {result.run_id}", file=sys.stderr)
    print(
        f"run {result.run_id}: {result.stop_reason}, {count(usage.calls, 'model call')}, "
        f"{'about ' if usage.estimated else ''}{count(usage.total_tokens, 'token')}, {dollars(result.cost)} "
        f"(harness show {result.run_id})",
        file=sys.stderr,
    )


def _read_task() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("no task given: write it after the team file, or pipe it to standard input")
    return sys.stdin.read()


def _read_image(path: Path) -> Image:
    kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith("image/"):
        raise UsageError(f"{path}: not an image by its name; use a .png, .jpg, .gif or .webp file")
    try:
        return Image(base64.b64encode(path.read_bytes()).decode(), kind)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error

"""Whole runs in one file, to be replayed, compared or looked at elsewhere.

A bundle is gzip-compressed JSON lines: a head, each content once with its hash, the events of every
run in order, and a checksum over all lines before it. The same runs give the same bytes. It holds
no path of the machine it was written on, and no value of a variable that the models did not see.

    {"harness_bundle": 1, "format": 2, "harness": "0.1.0", "runs": ["20261124-…"]}
    {"hash": "…", "content": "…"}
    {"run": 0, "sequence": 0, "at": 1795…, "type": "run.started", "event": "…"}
    {"sha256": "…"}

Whoever wrote a bundle is not trusted: reading one makes values of known classes and nothing else,
takes no path from it, and stops where it would unpack to more than is reasonable.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson

from harness.errors import StoreError, UsageError
from harness.events import FORMAT, Recorded, RunStarted
from harness.journal import Journal, encode
from harness.journal.codec import Decoder
from harness.version import version

BUNDLE = 1
"""Version of the file's own layout; what it holds has the version of the events."""

SUFFIX = ".harness"

MAX_BYTES = 1 << 30
"""A bundle that unpacks to more than this is refused, unless the caller allows more."""

MAX_RATIO = 200
"""How many times its own size a bundle may unpack to, once that is more than `SMALL_BYTES`."""

SMALL_BYTES = 32 << 20

_LONGEST_ID = 200

Runs = dict[str, list[Recorded]]


def write_bundle(journal: Journal, run_ids: Sequence[str], path: Path) -> None:
    """Write whole runs into the file at `path`, which is replaced only once it is complete.

    Raises:
        UsageError: The file cannot be written, or there is no such run.
        StoreError: A run cannot be read.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as raw:
            # Without the time and the name that gzip would note, and that are no part of the runs.
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
                for line in _signed(_lines(journal, sorted(set(run_ids)))):
                    packed.write(line)
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def read_bundle(path: Path, *, most: int = MAX_BYTES) -> Runs:
    """Return the runs of a bundle, by id.

    Args:
        most: Bytes it may unpack to.

    Raises:
        UsageError: There is no such file, or it is not a bundle, is damaged, needs a newer harness, or
            unpacks to too much.
    """
    lines = _checked_lines(path, most)
    nothing: dict[str, Any] = {}
    runs: Runs = {run_id: [] for run_id in _run_ids(path, next(lines, nothing))}
    try:
        _fill(runs, lines)
    except StoreError as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    for run_id, recorded in runs.items():
        if not recorded or not isinstance(recorded[0].event, RunStarted):
            raise UsageError(f"{path} is damaged: run {run_id} has no beginning")
    return runs


async def import_bundle(journal: Journal, path: Path) -> list[str]:
    """Take the runs of a bundle into a journal; return the ids of those that brought something new.

    A run that is here as far as the bundle has it, or further, is left as it is. One that is here in
    part, as after an import that was cut off, is completed.

    Raises:
        UsageError: The bundle cannot be read, or another run has the same id as one of its runs.
            Nothing was taken then.
        RunTaken: A run that is here in part is being carried by another process.
    """
    missing: Runs = {}
    for run_id, recorded in read_bundle(path).items():
        here = [_spelled(item) for item in journal.read(run_id)]
        there = [_spelled(item) for item in recorded]
        known = min(len(here), len(there))
        if here[:known] != there[:known]:
            raise UsageError(f"a run {run_id} is here already, and differs from the one in {path}")
        if known < len(there):
            missing[run_id] = recorded[known:]
    for run_id, recorded in missing.items():
        if recorded[0].sequence:
            await journal.claim(run_id)
        journal.append(recorded)
    await journal.durable()
    return list(missing)


def is_bundle(reference: str) -> bool:
    """Return whether what names a run is a bundle file."""
    return reference.endswith(SUFFIX) and Path(reference).is_file()


def _portable(item: Recorded) -> Recorded:
    """Return the event without the paths of this machine."""
    if isinstance(item.event, RunStarted) and item.event.team_path:
        return replace(item, event=replace(item.event, team_path=""))
    return item


def _spelled(item: Recorded) -> tuple[float, object]:
    """Return what is equal for equal events, however they were read."""
    return item.at, encode(_portable(item).event)


# --- writing ---


def _signed(lines: Iterable[bytes]) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
        yield line
    yield _line({"sha256": digest.hexdigest()})


def _lines(journal: Journal, run_ids: Sequence[str]) -> Iterator[bytes]:
    yield _line({"harness_bundle": BUNDLE, "format": FORMAT, "harness": version(), "runs": list(run_ids)})
    written: set[str] = set()
    for number, run_id in enumerate(run_ids):
        recorded = journal.read(run_id)
        first = next(recorded, None)
        if first is None:
            raise UsageError(f"there is no run {run_id}")
        yield from _event_lines(number, first, written)
        for item in recorded:
            yield from _event_lines(number, item, written)


def _event_lines(number: int, item: Recorded, written: set[str]) -> Iterator[bytes]:
    """Yield an event, after the content it refers to that is not in the file yet."""
    body, contents = encode(_portable(item).event)
    for key, content in contents:
        if key not in written:
            written.add(key)
            yield _line({"hash": key, "content": content.decode()})
    event = {"type": item.event.type, "event": body.decode()}
    yield _line({"run": number, "sequence": item.sequence, "at": item.at, **event})


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


# --- reading ---


def _fill(runs: Runs, lines: Iterable[dict[str, Any]]) -> None:
    """Put the events into the runs they belong to."""
    contents: dict[str, bytes] = {}
    decoder = Decoder(contents.__getitem__)
    run_ids = dict(enumerate(runs))
    for line in lines:
        if "content" in line:
            contents[line["hash"]] = line["content"].encode()
            continue
        run_id = run_ids[line["run"]]
        sequence, at = line["sequence"], line["at"]
        if sequence != len(runs[run_id]):
            raise LookupError(f"event {len(runs[run_id])} of run {run_id} is missing")
        if not isinstance(at, int | float):
            raise TypeError(f"event {sequence} of run {run_id} has no time")
        event = decoder.decode(line["type"], line["event"].encode())
        runs[run_id].append(Recorded(run_id, len(runs[run_id]), float(at), event))


def _run_ids(path: Path, head: dict[str, Any]) -> list[str]:
    """Return the ids of the runs that the head announces."""
    layout, events = head.get("harness_bundle"), head.get("format")
    if not isinstance(layout, int) or not isinstance(events, int):
        raise UsageError(f"{path} is not a bundle")
    if layout > BUNDLE or events > FORMAT:
        raise UsageError(
            f"{path} was written by a newer harness ({head.get('harness')}); upgrade this one to read it"
        )
    listed = cast("list[object]", head["runs"] if isinstance(head.get("runs"), list) else [])
    run_ids = [run_id for run_id in listed if isinstance(run_id, str) and _is_id(run_id)]
    if not run_ids or len(set(run_ids)) != len(listed):
        raise UsageError(f"{path} is damaged: it does not say which runs it holds")
    return run_ids


def _is_id(text: str) -> bool:
    return text.isprintable() and 0 < len(text) <= _LONGEST_ID


def _checked_lines(path: Path, most: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of a bundle but the last, which must hold the checksum of all others."""
    digest = hashlib.sha256()
    previous = b""
    for line in _unpacked(path, most):
        if previous:
            digest.update(previous)
            yield _parsed(path, previous)
        previous = line
    if _parsed(path, previous or b"{}").get("sha256") != digest.hexdigest():
        raise UsageError(f"{path} is damaged or incomplete: its checksum does not fit")


def _unpacked(path: Path, most: int) -> Iterator[bytes]:
    size = 0
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as packed:
            room = min(most, max(SMALL_BYTES, MAX_RATIO * os.fstat(raw.fileno()).st_size))
            reader = io.BufferedReader(cast("io.RawIOBase", packed))
            while line := reader.readline(room - size + 1):
                size += len(line)
                if size > room:
                    raise UsageError(f"{path} would unpack to more than {room:,} bytes, which is not read")
                yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{path} is not a bundle, or is damaged: {error}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _parsed(path: Path, line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path} is not a bundle, or is damaged: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not a bundle")
    return cast("dict[str, Any]", value)

"""Whole runs in one file, to be replayed, compared or looked at elsewhere.

A bundle is gzip-compressed JSON lines: a head, each content once with its hash, the events of every
run in order, and a checksum over all lines before it. The same runs give the same bytes. It holds
no path of the machine it was written on, and no value of a variable that the models did not see.

    {"harness_bundle": 1, "format": 2, "runs": ["20261124-…"]}
    {"hash": "…", "content": "…"}
    {"run": 0, "sequence": 0, "at": 1795…, "type": "run.started", "event": "…"}
    {"sha256": "…"}
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
from typing import Any

import orjson

from harness.errors import StoreError, UsageError
from harness.events import FORMAT, Recorded, RunStarted
from harness.journal import Journal, encode
from harness.journal.codec import Decoder

BUNDLE = 1
"""Version of the file's own layout; what it holds has the version of the events."""

SUFFIX = ".harness"
MAX_LINE = 256 << 20
MAX_BYTES = 4 << 30
"""A bundle that unpacks to more than this is refused."""

Runs = dict[str, list[Recorded]]


def write_bundle(journal: Journal, run_ids: Sequence[str], path: Path) -> None:
    """Write whole runs into the file at `path`, which is replaced only once it is complete.

    Raises:
        UsageError: The file cannot be written.
        StoreError: A run cannot be read.
    """
    runs = {run_id: list(journal.read(run_id)) for run_id in dict.fromkeys(run_ids)}
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
                for line in _lines(runs):
                    packed.write(line)
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def read_bundle(path: Path) -> Runs:
    """Return the runs of a bundle, by id.

    Raises:
        UsageError: There is no such file, or it is not a bundle, is damaged, or needs a newer harness.
    """
    lines = _checked_lines(path)
    head = next(lines, None)
    run_ids = _run_ids(path, head)
    contents: dict[str, bytes] = {}
    decoder = Decoder(lambda key: contents[key])
    runs: Runs = {run_id: [] for run_id in run_ids}
    try:
        for line in lines:
            if "content" in line:
                contents[line["hash"]] = line["content"].encode()
            else:
                run_id = run_ids[int(line["run"])]
                event = decoder.decode(line["type"], line["event"].encode())
                runs[run_id].append(Recorded(run_id, line["sequence"], line["at"], event))
    except (KeyError, IndexError, TypeError, AttributeError, StoreError) as error:
        raise UsageError(f"{path} is damaged: {error}") from error
    for run_id, recorded in runs.items():
        if [item.sequence for item in recorded] != list(range(len(recorded))) or not recorded:
            raise UsageError(f"{path} is damaged: run {run_id} is not whole")
    return runs


async def import_bundle(journal: Journal, path: Path) -> list[str]:
    """Take the runs of a bundle into a journal; return the ids of those that were not there.

    Raises:
        UsageError: The bundle cannot be read, or another run has the same id as one of its runs.
    """
    runs = read_bundle(path)
    new: list[str] = []
    for run_id, recorded in runs.items():
        here = list(journal.read(run_id))
        if not here:
            new.append(run_id)
        elif list(map(_portable, here)) != recorded:
            raise UsageError(f"a run {run_id} is here already, and differs from the one in {path}")
    for run_id in new:
        journal.append(runs[run_id])
    await journal.durable()
    return new


def is_bundle(reference: str) -> bool:
    """Return whether what names a run is a bundle file."""
    return reference.endswith(SUFFIX) and Path(reference).is_file()


def _portable(item: Recorded) -> Recorded:
    """Return the event without the paths of this machine."""
    if isinstance(item.event, RunStarted) and item.event.team_path:
        return replace(item, event=replace(item.event, team_path=""))
    return item


def _lines(runs: Runs) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for line in _unsigned_lines(runs):
        digest.update(line)
        yield line
    yield _line({"sha256": digest.hexdigest()})


def _unsigned_lines(runs: Runs) -> Iterator[bytes]:
    yield _line({"harness_bundle": BUNDLE, "format": FORMAT, "runs": list(runs)})
    written: set[str] = set()
    for number, recorded in enumerate(runs.values()):
        for item in map(_portable, recorded):
            body, contents = encode(item.event)
            for key, content in contents:
                if key not in written:
                    written.add(key)
                    yield _line({"hash": key, "content": content.decode()})
            yield _line(
                {
                    "run": number,
                    "sequence": item.sequence,
                    "at": item.at,
                    "type": item.event.type,
                    "event": body.decode(),
                }
            )


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _checked_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a bundle but the last, which must hold the checksum of all others."""
    digest = hashlib.sha256()
    previous: bytes | None = None
    for line in _unpacked(path):
        if previous is not None:
            digest.update(previous)
            yield _parsed(path, previous)
        previous = line
    signature = _parsed(path, previous or b"{}").get("sha256")
    if signature != digest.hexdigest():
        raise UsageError(f"{path} is damaged or incomplete: its checksum does not fit")


def _unpacked(path: Path) -> Iterable[bytes]:
    size = 0
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as packed:
            reader = io.BufferedReader(packed)  # pyright: ignore[reportArgumentType]
            while line := reader.readline(MAX_LINE):
                size += len(line)
                if size > MAX_BYTES or len(line) == MAX_LINE:
                    raise UsageError(f"{path} unpacks to more than this reads at most")
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
    return value  # pyright: ignore[reportUnknownVariableType]


def _run_ids(path: Path, head: dict[str, Any] | None) -> list[str]:
    """Return the ids of the runs that the head announces."""
    if head is None or "harness_bundle" not in head:
        raise UsageError(f"{path} is not a bundle")
    if head["harness_bundle"] > BUNDLE or head.get("format", 0) > FORMAT:
        raise UsageError(f"{path} was written by a newer harness; upgrade this one to read it")
    return [str(run_id) for run_id in head.get("runs", ())]

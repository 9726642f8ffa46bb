"""Files as documents: JSON, JSON lines, gzip and binary, told apart by what stands in them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import orjson

from harness.errors import TraceError

LONGEST_DOCUMENT = 1 << 30
"""Bytes of one JSON document or line; more is refused, so that a small compressed file cannot fill memory."""

_GZIP = b"\x1f\x8b"
_WHITE = b" \t\r\n"
_CONSTANTS = ("NaN", "Infinity", "-Infinity")


@contextmanager
def opened(path: Path) -> Generator[IO[bytes]]:
    """Open a file for reading, through gzip where it is compressed.

    Raises:
        TraceError: It cannot be read, or what is compressed is broken.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == _GZIP:
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield unpacked  # pyright: ignore[reportReturnType]
            else:
                file.seek(0)
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(f"the compressed file is broken: {error}", file=str(path)) from error
    except OSError as error:
        raise TraceError(f"cannot be read: {error.strerror or error}", file=str(path)) from error


def beginning(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of a file, decompressed."""
    with opened(path) as file:
        return file.read(size)


def is_text(head: bytes) -> bool:
    """Return whether the beginning of a file can be JSON."""
    stripped = head.removeprefix(b"\xef\xbb\xbf").lstrip(_WHITE)
    if stripped[:1] not in (b"{", b"["):
        return False
    return not any(byte < 32 and byte not in _WHITE for byte in head)


def documents(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the JSON documents of a file with the place of each: one per line, or one that is the whole file.

    Raises:
        TraceError: Something in it is no JSON; names the line and column.
    """
    with opened(path) as file:
        first = _next_line(file, path)
        while first is not None and not first.strip():
            first = _next_line(file, path)
        if first is None:
            raise TraceError("the file is empty", file=str(path))
        try:
            parsed = loads(first)
        except ValueError as error:
            rest = file.read(LONGEST_DOCUMENT)
            if not rest.strip():
                _refuse(path, error, 1)
            yield from _whole(first + rest, path)
            return
        yield "line 1", parsed
        number = 1
        while (line := _next_line(file, path)) is not None:
            number += 1
            if line.strip():
                try:
                    parsed = loads(line)
                except ValueError as error:
                    _refuse(path, error, number)
                yield f"line {number}", parsed


def loads(data: bytes | str) -> Any:
    """Return the JSON value of a text; half surrogate pairs are let through, since models write them.

    `NaN` and `Infinity`, which Python writes and JSON has no word for (Inspect's metrics), are None.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if "surrogate" not in str(error) and not error.doc.startswith(_CONSTANTS, error.pos):
            raise
        try:
            return json.loads(data, parse_constant=_nothing)
        except json.JSONDecodeError:
            raise error from None
        except RecursionError as deep:
            raise ValueError("nested too deeply") from deep


def _whole(data: bytes, path: Path) -> Iterator[tuple[str, Any]]:
    if len(data) >= LONGEST_DOCUMENT:
        raise TraceError("one JSON document of over 1 GB; write JSON lines instead", file=str(path))
    try:
        parsed = loads(data)
    except ValueError as error:
        yield from _several(data, path, error)
        return
    yield "", parsed


def _several(data: bytes, path: Path, error: ValueError) -> Iterator[tuple[str, Any]]:
    """Yield documents that stand one after the other, as the SDK's console exporter prints spans."""
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as undecodable:
        raise TraceError("expected UTF-8", file=str(path), place=f"byte {undecodable.start}") from undecodable
    decoder = json.JSONDecoder(parse_constant=_nothing)
    position = len(text) - len(text.lstrip())
    number = 0
    while position < len(text):
        try:
            parsed, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as failed:
            _refuse(path, error if number == 0 else failed, 0)
        number += 1
        yield f"document {number}", parsed
        while position < len(text) and text[position].isspace():
            position += 1


def _next_line(file: IO[bytes], path: Path) -> bytes | None:
    line = file.readline(LONGEST_DOCUMENT)
    if len(line) >= LONGEST_DOCUMENT:
        raise TraceError("a line of over 1 GB", file=str(path))
    return line or None


def _refuse(path: Path, error: BaseException, line: int) -> NoReturn:
    """Raise the error of a text that is no JSON; `line` is that of its first line, 0 if it says so itself."""
    place, reason = f"line {line}" if line else "", str(error)
    if isinstance(error, json.JSONDecodeError):
        place = f"line {line or error.lineno}, column {error.colno}"
        reason = error.msg
    raise TraceError(f"expected JSON: {reason}", file=str(path), place=place) from error


def _nothing(name: str) -> None:
    """Return what a number is that is none."""

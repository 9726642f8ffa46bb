"""Which format a file is of, by what stands in it, and the runs it holds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from harness.errors import TraceError
from harness.foreign import atif, inspect_log, openai_messages, otlp_json, otlp_protobuf
from harness.foreign.reading import beginning, documents, is_text
from harness.foreign.traces import runs
from harness.garbage import spare_the_collector
from harness.record import RunRecord

FORMATS = "OTLP (JSON or protobuf), ATIF, an Inspect log, or OpenAI messages"


def read_records(path: str | Path) -> Iterator[RunRecord]:
    """Yield the runs that a file of somebody else's holds, one at a time.

    The format is found by content: OTLP as JSON, JSON lines or protobuf, in the GenAI, OpenInference and
    Traceloop conventions; ATIF trajectories; Inspect logs; lists of OpenAI messages. Files may be gzipped.

    Raises:
        TraceError: The file cannot be read; says the place and what was expected there.
    """
    path = Path(path)
    spare_the_collector()
    try:
        yield from _read(path)
    except TraceError as error:
        if error.file:
            raise
        raise TraceError(error.expected, file=str(path), place=error.place) from error
    except RecursionError:
        raise TraceError("nested too deeply", file=str(path)) from None


def _read(path: Path) -> Iterator[RunRecord]:
    head = beginning(path)
    if not head.strip():
        raise TraceError("the file is empty", file=str(path))
    if not is_text(head):
        yield from _binary(path, head)
        return
    place, first = next(documents(path))
    if otlp_json.is_request(first) or otlp_json.is_span(first) or _is_list_of_spans(first):
        size = path.stat().st_size
        yield from runs(path, lambda: documents(path), otlp_json.items, size=size)
    elif atif.is_trajectory(first):
        for place, document in documents(path):
            if not atif.is_trajectory(document):
                otlp_json.wrong(place, "a trajectory", document)
            yield from atif.records(document, place, name=path.stem)
    elif inspect_log.is_log(first):
        yield from inspect_log.of_document(first, place)
    elif openai_messages.is_conversation(first) or _holds_conversations(first):
        for number, (place, document) in enumerate(documents(path), 1):
            one_by_one = number if place.startswith("line") and number > 1 else 0
            yield from openai_messages.records(document, place, name=path.stem, number=one_by_one)
    else:
        raise TraceError(f"expected {FORMATS}; found {_shape(first)}", place=place)


def _binary(path: Path, head: bytes) -> Iterator[RunRecord]:
    if inspect_log.is_archive(head):
        yield from inspect_log.of_archive(path)
        return
    size = path.stat().st_size
    yield from runs(path, lambda: otlp_protobuf.messages(path), otlp_protobuf.items, size=size)


def _is_list_of_spans(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    first = cast("list[Any]", value)[0]
    return otlp_json.is_request(first) or otlp_json.is_span(first)


def _holds_conversations(value: Any) -> bool:
    if isinstance(value, list):
        few = itertools.islice(cast("list[Any]", value), 1)
        return any(
            openai_messages.is_conversation(one) or openai_messages.has_conversation(one) for one in few
        )
    return openai_messages.has_conversation(value)


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        keys = ", ".join(str(key)[:30] for key in itertools.islice(cast("dict[str, Any]", value), 6))
        return f"an object with {keys}" if keys else "an empty object"
    return "an empty list" if value == [] else f"a {type(value).__name__}"

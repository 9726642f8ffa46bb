"""OTLP as protobuf: `TracesData`, `ExportTraceServiceRequest`, and streams of them with their lengths before.

Messages written one after the other into a file are one message, as protobuf has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import TraceError
from harness.foreign.otlp_json import DEEPEST, Item
from harness.foreign.reading import LONGEST_DOCUMENT, opened
from harness.foreign.span import Attributes, Span, SpanEvent

_FIELD = b"\x0a"
"""What every message begins with: field 1, `resource_spans`."""


def messages(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the messages of a file with the place of each.

    Raises:
        TraceError: It holds no such messages.
    """
    # Costs 30 ms, and few traces are protobuf.
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    with opened(path) as file:
        data = file.read(LONGEST_DOCUMENT)
    if len(data) >= LONGEST_DOCUMENT:
        raise TraceError("over 1 GB of protobuf; split it, or write JSON lines", file=str(path))
    for start, end in _pieces(data) or [(0, len(data))]:
        message = TracesData()
        try:
            message.ParseFromString(data[start:end])
        except DecodeError as error:
            raise TraceError(
                "expected OTLP as protobuf or JSON", file=str(path), place=f"byte {start}"
            ) from error
        if not message.resource_spans:
            raise TraceError("expected resource_spans", file=str(path), place=f"byte {start}")
        yield f"byte {start}", message


def _pieces(data: bytes) -> list[tuple[int, int]]:
    """Return the pieces of a length-delimited stream; `[]` if it is none."""
    pieces: list[tuple[int, int]] = []
    position = 0
    while position < len(data):
        size, shift = 0, 0
        while True:
            if position >= len(data) or shift > 35:
                return []
            byte = data[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if size == 0 or position + size > len(data) or data[position : position + 1] != _FIELD:
            return []
        pieces.append((position, position + size))
        position += size
    return pieces


def items(message: Any, place: str) -> Iterator[Item]:
    """Yield the spans of one message."""
    for number, resource in enumerate(message.resource_spans):
        for scope in resource.scope_spans:
            for index, span in enumerate(scope.spans):
                yield _span(span, f"{place}: resource_spans[{number}].spans[{index}]")


def _span(span: Any, place: str) -> Span:
    if len(span.trace_id) != 16 or len(span.span_id) != 8:
        raise TraceError("expected a trace id of 16 bytes and a span id of 8", place=place)
    failed = span.status.code == 2
    parent = span.parent_span_id.hex()
    return Span(
        span.trace_id.hex(),
        span.span_id.hex(),
        parent if parent.strip("0") else "",
        span.name,
        span.start_time_unix_nano / 1e9 or None,
        span.end_time_unix_nano / 1e9 or None,
        _attributes(span.attributes, place),
        [SpanEvent(event.name, _attributes(event.attributes, place)) for event in span.events],
        failed,
        span.status.message if failed else "",
    )


def _attributes(pairs: Any, place: str) -> Attributes:
    return {pair.key: _value(pair.value, place) for pair in pairs}


def _value(value: Any, place: str, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise TraceError(f"nested more than {DEEPEST} deep", place=place)
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(element, place, depth + 1) for element in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, place, depth + 1) for pair in value.kvlist_value.values}
    return None if kind is None else getattr(value, kind)

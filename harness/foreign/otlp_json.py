"""OTLP JSON, as collectors, SDK exporters and our own file sink write it.

Source: OTLP specification 1.x, "JSON Protobuf Encoding": ids are hex (base64 is read too), 64-bit integers
are strings or numbers, names are lowerCamelCase (snake_case is read too).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NoReturn, cast

from harness.errors import TraceError
from harness.foreign.span import Attributes, LogRecord, Span, SpanEvent

DEEPEST = 64
"""How deep values of an attribute may be nested."""

_ERROR_STATUS = (2, "2", "STATUS_CODE_ERROR", "ERROR")
_LIMIT = 1 << 64

Item = Span | LogRecord


def is_request(document: Any) -> bool:
    """Return whether a document is one of OTLP."""
    return isinstance(document, dict) and any(
        key in document
        for key in ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs", "batches")
    )


def is_span(document: Any) -> bool:
    """Return whether a document is a single span, as `ReadableSpan.to_json` or an array of OTLP spans has it."""
    if not isinstance(document, dict):
        return False
    return ("traceId" in document and "spanId" in document) or (
        "context" in document and "attributes" in document
    )


def items(document: Any, place: str) -> Iterator[Item]:
    """Yield the spans and log records of one document.

    Raises:
        TraceError: Something is not as OTLP has it; `place` and the path within the document say where.
    """
    if isinstance(document, list):
        for index, element in enumerate(cast("list[Any]", document)):
            yield from items(element, f"{place}[{index}]")
        return
    if is_span(document):
        yield _console_span(document, place) if "context" in document else _span(document, place)
        return
    if not is_request(document):
        wrong(place, "a request with resourceSpans, or a span", document)
    batches = (("resourceSpans", "resource_spans", "batches"), ("resourceLogs", "resource_logs"))
    for names, read in zip(batches, (_resource_spans, _resource_logs), strict=True):
        for name in names:
            for index, element in enumerate(_list(document, name, name, place)):
                yield from read(element, f"{place}{': ' if place else ''}{name}[{index}]")


def _resource_spans(element: Any, place: str) -> Iterator[Item]:
    for name in ("scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
        for index, scope in enumerate(_list(element, name, name, place)):
            inner = f"{place}.{name}[{index}].spans"
            for number, span in enumerate(_list(scope, "spans", "spans", f"{place}.{name}[{index}]")):
                yield _span(span, inner, number)


def _resource_logs(element: Any, place: str) -> Iterator[Item]:
    for name in ("scopeLogs", "scope_logs"):
        for index, scope in enumerate(_list(element, name, name, place)):
            records = _list(scope, "logRecords", "log_records", f"{place}.{name}[{index}]")
            for number, record in enumerate(records):
                log = _log(record, f"{place}.{name}[{index}].logRecords[{number}]")
                if log:
                    yield log


def _span(value: Any, place: str, number: int | None = None) -> Span:
    where = place if number is None else f"{place}[{number}]"
    if not isinstance(value, dict):
        wrong(where, "a span", value)
    span = cast("dict[str, Any]", value)
    get = span.get
    events = [
        _event(event, f"{where}.events[{index}]")
        for index, event in enumerate(_list(span, "events", "events", where))
    ]
    status = get("status")
    if status is not None and not isinstance(status, dict):
        wrong(f"{where}.status", "an object", status)
    said = cast("dict[str, Any]", status or {})
    failed = said.get("code") in _ERROR_STATUS
    name = get("name", "")
    if not isinstance(name, str):
        wrong(f"{where}.name", "a string", name)
    message = said.get("message")
    return Span(
        identity(get("traceId", get("trace_id")), 16, f"{where}.traceId"),
        identity(get("spanId", get("span_id")), 8, f"{where}.spanId"),
        identity(get("parentSpanId", get("parent_span_id")) or "", 8, f"{where}.parentSpanId"),
        name,
        seconds(get("startTimeUnixNano", get("start_time_unix_nano")), f"{where}.startTimeUnixNano"),
        seconds(get("endTimeUnixNano", get("end_time_unix_nano")), f"{where}.endTimeUnixNano"),
        attributes(get("attributes"), f"{where}.attributes"),
        events,
        failed,
        message if failed and isinstance(message, str) else "",
    )


def _event(value: Any, place: str) -> SpanEvent:
    if not isinstance(value, dict):
        wrong(place, "an event", value)
    event = cast("dict[str, Any]", value)
    return SpanEvent(str(event.get("name", "")), attributes(event.get("attributes"), f"{place}.attributes"))


def _log(value: Any, place: str) -> LogRecord | None:
    if not isinstance(value, dict):
        wrong(place, "a log record", value)
    record = cast("dict[str, Any]", value)
    trace, span = record.get("traceId", record.get("trace_id")), record.get("spanId", record.get("span_id"))
    if not trace or not span:
        return None
    facts = attributes(record.get("attributes"), f"{place}.attributes")
    name = record.get("eventName") or record.get("event_name") or facts.get("event.name") or ""
    body = record.get("body")
    if body is not None:
        content = any_value(body, f"{place}.body")
        facts = (
            {**cast("Attributes", content), **facts}
            if isinstance(content, dict)
            else {**facts, "body": content}
        )
    return LogRecord(
        identity(trace, 16, f"{place}.traceId"),
        identity(span, 8, f"{place}.spanId"),
        SpanEvent(str(name), facts),
    )


def _console_span(value: Any, place: str) -> Span:
    """Return a span as the SDK's `ReadableSpan.to_json` writes it."""
    context: Any = value["context"]
    facts: Any = value.get("attributes") or {}
    if not isinstance(context, dict) or not isinstance(facts, dict):
        wrong(f"{place}.context", "an object with trace_id and span_id", context)
    known = cast("dict[str, Any]", context)
    raw_status, raw_events = value.get("status"), value.get("events")
    status = cast("dict[str, Any]", raw_status) if isinstance(raw_status, dict) else {}
    events: list[SpanEvent] = []
    for event in cast("list[Any]", raw_events) if isinstance(raw_events, list) else []:
        if isinstance(event, dict):
            told = cast("dict[str, Any]", event)
            noted = told.get("attributes")
            events.append(
                SpanEvent(
                    str(told.get("name", "")), cast("Attributes", noted) if isinstance(noted, dict) else {}
                )
            )
    failed = status.get("status_code") == "ERROR"
    return Span(
        identity(_bare(known.get("trace_id")), 16, f"{place}.context.trace_id"),
        identity(_bare(known.get("span_id")), 8, f"{place}.context.span_id"),
        identity(_bare(value.get("parent_id")) or "", 8, f"{place}.parent_id"),
        str(value.get("name", "")),
        _iso(value.get("start_time"), f"{place}.start_time"),
        _iso(value.get("end_time"), f"{place}.end_time"),
        cast("Attributes", facts),
        events,
        failed,
        str(status.get("description") or "") if failed else "",
    )


def _bare(value: Any) -> Any:
    return value[2:] if isinstance(value, str) and value.startswith("0x") else value


def _iso(value: Any, place: str) -> float | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        wrong(place, "a time such as 2026-01-31T12:00:00Z", value)


# --- values ---


def attributes(value: Any, place: str) -> Attributes:
    """Return OTLP's list of keys and values as a mapping."""
    facts: Attributes = {}
    if value is None:
        return facts
    if not isinstance(value, list):
        wrong(place, "a list of keys and values", value)
    for index, element in enumerate(cast("list[Any]", value)):
        try:
            inner = element["value"]
            key = element["key"]
            text = inner.get("stringValue") if inner.__class__ is dict else None
        except (KeyError, TypeError, IndexError):
            if isinstance(element, dict) and isinstance(cast("Attributes", element).get("key"), str):
                continue  # protobuf JSON leaves out what is empty
            wrong(f"{place}[{index}]", "a key and a value", element)
        if key.__class__ is not str:
            wrong(f"{place}[{index}].key", "a string", key)
        facts[key] = text if text.__class__ is str else any_value(inner, f"{place}[{index}].value")
    return facts


def any_value(value: Any, place: str, depth: int = 0) -> Any:
    """Return the plain value of an OTLP `AnyValue`."""
    if not isinstance(value, dict):
        wrong(place, "a value such as {stringValue: …}", value)
    if depth > DEEPEST:
        raise TraceError(f"nested more than {DEEPEST} deep", place=f"{place[:120]}…")
    held = cast("dict[str, Any]", value)
    for kind, inner in held.items():
        read = _VALUES.get(kind)
        if read is None:
            wrong(place, "a value such as {stringValue: …}", value)
        return read(inner, f"{place}.{kind}", depth)
    return None


def _string(value: Any, place: str, depth: int) -> str:
    if not isinstance(value, str):
        wrong(place, "a string", value)
    return value


def _boolean(value: Any, place: str, depth: int) -> bool:
    if not isinstance(value, bool):
        wrong(place, "true or false", value)
    return value


def _integer(value: Any, place: str, depth: int) -> int:
    return integer(value, place)


def _double(value: Any, place: str, depth: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        wrong(place, "a number", value)
    try:
        return float(value)
    except (ValueError, OverflowError):
        wrong(place, "a number", value)


def _array(value: Any, place: str, depth: int) -> list[Any]:
    return [
        any_value(element, f"{place}.values[{index}]", depth + 1)
        for index, element in enumerate(_list(value, "values", "values", place))
    ]


def _mapping(value: Any, place: str, depth: int) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for index, element in enumerate(_list(value, "values", "values", place)):
        where = f"{place}.values[{index}]"
        if not isinstance(element, dict) or not isinstance(cast("Attributes", element).get("key"), str):
            wrong(where, "a key and a value", element)
        inner = cast("Attributes", element).get("value")
        facts[element["key"]] = None if inner is None else any_value(inner, f"{where}.value", depth + 1)
    return facts


_VALUES = {
    "stringValue": _string,
    "string_value": _string,
    "boolValue": _boolean,
    "bool_value": _boolean,
    "intValue": _integer,
    "int_value": _integer,
    "doubleValue": _double,
    "double_value": _double,
    "arrayValue": _array,
    "array_value": _array,
    "kvlistValue": _mapping,
    "kvlist_value": _mapping,
    "bytesValue": _string,
    "bytes_value": _string,
}


def integer(value: Any, place: str) -> int:
    """Return a 64-bit integer, which JSON may have as a string."""
    if isinstance(value, str) and len(value) <= 20:
        try:
            value = int(value)
        except ValueError:
            wrong(place, "a 64-bit integer", value)
    if not isinstance(value, int) or isinstance(value, bool) or not -_LIMIT < value < _LIMIT:
        wrong(place, "a 64-bit integer", value)
    return value


def seconds(value: Any, place: str) -> float | None:
    """Return a time in nanoseconds as seconds; None for none at all."""
    if value is None or value in (0, "0", ""):
        return None
    nanoseconds = integer(value, place)
    if nanoseconds < 0:
        wrong(place, "a time after 1970", value)
    return nanoseconds / 1e9


def identity(value: Any, size: int, place: str) -> str:
    """Return an id in hex; base64, as the plain protobuf mapping writes it, is converted."""
    if value == "" and "arent" in place:
        return ""
    if isinstance(value, str):
        if len(value) == 2 * size:
            try:
                bytes.fromhex(value)
            except ValueError:
                wrong(place, f"an id of {2 * size} hex digits", value)
            return "" if not value.strip("0") and "arent" in place else value.lower()
        try:
            decoded = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if len(decoded) == size:
            return decoded.hex()
    return wrong(place, f"an id of {2 * size} hex digits", value)


def _list(value: Any, name: str, other: str, place: str) -> list[Any]:
    if not isinstance(value, dict):
        wrong(place, "an object", value)
    known = cast("dict[str, Any]", value)
    found = known.get(name, known.get(other))
    if found is None:
        return []
    if not isinstance(found, list):
        wrong(f"{place}.{name}" if place else name, "a list", found)
    return cast("list[Any]", found)


def wrong(place: str, expected: str, found: Any) -> NoReturn:
    """Raise the error of something that is not what it should be."""
    shown = type(cast("object", found)).__name__ if isinstance(found, dict | list) else repr(found)[:60]
    raise TraceError(f"expected {expected}, found {shown}", place=place)

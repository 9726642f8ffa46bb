"""A span as it stands in a trace, before anybody's conventions are read into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Attributes = dict[str, Any]


@dataclass(slots=True)
class SpanEvent:
    """Something noted in a span, or a log record that belongs to it."""

    name: str
    attributes: Attributes


@dataclass(slots=True)
class Span:
    """One span; ids are lower-case hex."""

    trace: str
    id: str
    parent: str
    name: str
    start: float | None
    """Seconds since 1970; None where the source has none."""
    end: float | None
    attributes: Attributes
    events: list[SpanEvent] = field(default_factory=list[SpanEvent])
    failed: bool = False
    error: str = ""


@dataclass(slots=True)
class LogRecord:
    """A log record that carries what its span does not."""

    trace: str
    span: str
    event: SpanEvent

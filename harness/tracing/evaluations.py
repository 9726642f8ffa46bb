"""Judgements about spans, as the conventions write them: the event `gen_ai.evaluation.result`.

Source: `events.yaml` of the GenAI conventions. The event belongs to the span that was judged. Given
to backends as an OTLP log record, since that span has long ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource

from harness.tracing import semconv
from harness.tracing.log_records import encode_log_line, log_record, span_named
from harness.version import version

Attribute = str | bool | int | float | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One judgement about one span."""

    name: str
    """What was looked for."""
    trace_id: str
    """In hex, as is `span_id`: the span that was judged. Empty if the source has no such ids."""
    span_id: str
    label: str = ""
    value: float | None = None
    explanation: str = ""
    response_id: str = ""
    """The response that was judged, if it is one."""
    error_type: str = ""
    """Why there is no judgement."""
    facts: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    """What else is to be said, by names under `harness.`."""

    @property
    def attributes(self) -> dict[str, Attribute]:
        """The attributes of the event, for a span event as well as a log record.

        Raises:
            ValueError: A name in `facts` is not ours.
        """
        foreign = [name for name in self.facts if not name.startswith("harness.")]
        if foreign:
            raise ValueError(f"not under harness.: {', '.join(foreign)}")
        known: dict[str, Attribute | None] = {
            semconv.EVALUATION_NAME: self.name,
            semconv.EVALUATION_LABEL: self.label or None,
            semconv.EVALUATION_VALUE: None if self.value is None else float(self.value),
            semconv.EVALUATION_EXPLANATION: self.explanation or None,
            semconv.RESPONSE_ID: self.response_id or None,
            semconv.ERROR_TYPE: self.error_type or None,
            **self.facts,
        }
        return {name: value for name, value in known.items() if value is not None}

    def log_record(self, at: int, resource: Resource) -> ReadableLogRecord:
        """Return the judgement as an OTLP log record, made at `at` nanoseconds since 1970."""
        span = span_named(self.trace_id, self.span_id)
        return log_record(
            semconv.EVENT_EVALUATION, self.attributes, at, span=span, version=version(), resource=resource
        )


def encode_evaluations(evaluations: Sequence[Evaluation], at: int, resource: Resource) -> bytes:
    """Return one line of OTLP JSON, its newline included, that holds the judgements as log records."""
    return encode_log_line([one.log_record(at, resource) for one in evaluations])

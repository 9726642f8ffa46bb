"""Logs of Inspect: `.eval`, which is a zip of JSON, and the `.json` form; every sample is a run.

Model events hold whole requests, in newer logs as ranges of a pool of messages; long texts are attachments,
referred to by hash. Events become the spans they are, and these a run as any other trace.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from harness.errors import TraceError
from harness.foreign.atif import when
from harness.foreign.facets import OUTCOME
from harness.foreign.messages import Interned, as_text, definitions_of
from harness.foreign.otlp_json import wrong
from harness.foreign.reading import loads
from harness.foreign.run_of_spans import run_of_spans
from harness.foreign.seen import Seen
from harness.record import Outcome, RunRecord

Json = dict[str, Any]

LARGEST_SAMPLE = 1 << 29
"""Bytes of one sample, unpacked; more is refused, whatever the archive says of its size."""

_ATTACHMENT = "attachment://"
_PASSED = ("C", 1, 1.0, True, "correct", "pass")
_FAILED = ("I", 0, 0.0, False, "incorrect", "fail")


def is_log(document: Any) -> bool:
    """Return whether a document is a whole log in JSON."""
    return (
        isinstance(document, dict) and "eval" in document and ("samples" in document or "status" in document)
    )


def is_archive(head: bytes) -> bool:
    """Return whether a file that begins like this may be a log."""
    return head.startswith(b"PK\x03\x04")


def of_archive(path: Path) -> Iterator[RunRecord]:
    """Yield the run of every sample of an `.eval` file, one unpacked at a time.

    Raises:
        TraceError: It is no such archive, or broken.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                name for name in archive.namelist() if name.startswith("samples/") and name.endswith(".json")
            ]
            if not names:
                raise TraceError("expected an Inspect log, with samples/*.json", file=str(path))
            for name in names:
                yield _sample(_member(archive, name, path), name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise TraceError(f"the archive is broken: {error}", file=str(path)) from error


def of_document(document: Any, place: str) -> Iterator[RunRecord]:
    """Yield the run of every sample of a log in JSON."""
    samples = cast("Json", document).get("samples")
    if not isinstance(samples, list) or not samples:
        wrong(f"{place}.samples".lstrip("."), "a list of samples", samples)
    for index, sample in enumerate(cast("list[Any]", samples)):
        yield _sample(sample, f"{place}.samples[{index}]".lstrip("."))


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> Any:
    with archive.open(name) as file:
        data = file.read(LARGEST_SAMPLE)
    if len(data) >= LARGEST_SAMPLE:
        raise TraceError("a sample of over 512 MB", file=str(path), place=name)
    try:
        return loads(data)
    except ValueError as error:
        raise TraceError(f"expected JSON: {error}", file=str(path), place=name) from error


def _sample(value: Any, place: str) -> RunRecord:
    if not isinstance(value, dict):
        wrong(place, "a sample", value)
    sample = cast("Json", value)
    reading = _Reading(sample, place)
    spans = list(reading.spans())
    identity = f"{as_text(sample.get('id'))}/{as_text(sample.get('epoch', 1))}"
    record = run_of_spans(as_text(sample.get("uuid")) or identity, spans, reading.interned, file=identity)
    record.source, record.name = "inspect", identity
    record.outcome = _outcome(sample)
    error = sample.get("error")
    record.error = as_text(cast("Json", error).get("message")) if isinstance(error, dict) else ""
    record.carries = record.carries - OUTCOME if record.outcome == "unknown" else record.carries | OUTCOME
    if not record.task:
        record.task = next((message.text for message in reading.interned.messages(sample.get("input"))), "")
    return record


def _outcome(sample: Json) -> Outcome:
    if sample.get("error"):
        return "failed"
    if sample.get("limit"):
        return "stopped"
    scores = sample.get("scores")
    for score in cast("Json", scores).values() if isinstance(scores, dict) else ():
        value = cast("Json", score).get("value") if isinstance(score, dict) else None
        if value in _PASSED:
            return "done"
        if value in _FAILED:
            return "failed"
    return "unknown"


class _Reading:
    """One sample's events as spans."""

    def __init__(self, sample: Json, place: str) -> None:
        self.interned = Interned()
        self._place = place
        self._sample = sample
        raw = sample.get("attachments")
        self._attachments = cast("Json", raw) if isinstance(raw, dict) else {}
        data = sample.get("events_data")
        pool = cast("Json", data).get("messages") if isinstance(data, dict) else sample.get("message_pool")
        self._pool = cast("list[Any]", pool) if isinstance(pool, list) else []
        self._count = 0
        self._agents: set[str] = set()
        """Agent spans that a tool call opened, by id."""

    def spans(self) -> Iterator[Seen]:
        """Yield agent spans, model calls and tool calls."""
        events = self._sample.get("events")
        if events is None:
            events = []
        if not isinstance(events, list):
            wrong(f"{self._place}.events", "a list of events", events)
        held = cast("list[Any]", events)
        if not any(isinstance(event, dict) and cast("Json", event).get("event") == "model" for event in held):
            yield from self._conversation()
            return
        askers = self._askers(held)
        for index, event in enumerate(held):
            if not isinstance(event, dict):
                wrong(f"{self._place}.events[{index}]", "an event", event)
            yield from self._event(cast("Json", event), index, askers)

    def _askers(self, events: list[Any]) -> dict[str, str]:
        """Return the tool event behind each agent span that a call opened."""
        askers: dict[str, str] = {}
        for index, event in enumerate(events):
            held = cast("Json", event) if isinstance(event, dict) else {}
            if held.get("event") == "tool" and held.get("agent_span_id"):
                askers[as_text(held["agent_span_id"])] = f"event-{index}"
        return askers

    def _event(self, event: Json, index: int, askers: dict[str, str]) -> Iterator[Seen]:
        kind, parent = event.get("event"), as_text(event.get("span_id"))
        if kind == "span_begin":
            identity = as_text(event.get("id"))
            span = self._seen(identity, askers.get(identity) or as_text(event.get("parent_id")), event)
            span.name = as_text(event.get("name"))
            if event.get("type") == "agent":
                span.kind, span.agent = "agent", span.name
            yield span
        elif kind == "model":
            yield self._model(event, self._seen(f"event-{index}", parent, event), index)
        elif kind == "tool":
            yield self._tool(event, self._seen(f"event-{index}", parent, event))
            for inner, nested in enumerate(cast("list[Any]", event.get("events") or [])):
                if isinstance(nested, dict):
                    for span in self._event(cast("Json", nested), index * 100_000 + inner + 1, askers):
                        span.parent = f"event-{index}"
                        yield span

    def _seen(self, identity: str, parent: str, event: Json) -> Seen:
        self._count += 1
        started, ended = when(event.get("timestamp")), when(event.get("completed"))
        return Seen(identity, parent, "", started, ended, dialect="", order=self._count)

    def _model(self, event: Json, span: Seen, index: int) -> Seen:
        span.kind, span.name, span.model = "model", "model", as_text(event.get("model"))
        output = event.get("output")
        held = cast("Json", output) if isinstance(output, dict) else {}
        span.inputs = self.interned.messages(self._input(event, index))
        choices = held.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            choice = cast("Json", choices[0])
            span.outputs = self.interned.messages([self._resolved(choice.get("message"))])
            span.finish = as_text(choice.get("stop_reason"))
        usage = held.get("usage")
        if isinstance(usage, dict):
            _usage(cast("Json", usage), span)
        span.definitions = definitions_of(event.get("tools")) or None
        span.error = as_text(event.get("error"))
        span.failed = bool(span.error)
        return span

    def _tool(self, event: Json, span: Seen) -> Seen:
        span.kind, span.tool = "tool", as_text(event.get("function"))
        span.name, span.call_id = span.tool, as_text(event.get("id"))
        span.arguments = as_text(event.get("arguments") or {})
        span.result = as_text(self._resolved(event.get("result")))
        error = event.get("error")
        if isinstance(error, dict):
            span.failed, span.error_type = True, as_text(cast("Json", error).get("type")) or "tool"
            span.error = as_text(cast("Json", error).get("message"))
        return span

    def _input(self, event: Json, index: int) -> list[Any]:
        references = event.get("input_refs")
        if not isinstance(references, list):
            given: Any = event.get("input") or []
            if not isinstance(given, list):
                wrong(f"{self._place}.events[{index}].input", "a list of messages", given)
            return [self._resolved(message) for message in cast("list[Any]", given)]
        found: list[Any] = []
        for pair in cast("list[Any]", references):
            ends = cast("list[Any]", pair) if isinstance(pair, list) else []
            if len(ends) != 2 or not all(isinstance(one, int) and abs(one) < 1 << 31 for one in ends):
                wrong(f"{self._place}.events[{index}].input_refs", "pairs of numbers", pair)
            found += [self._resolved(message) for message in self._pool[ends[0] : ends[1]]]
        return found

    def _resolved(self, value: Any, depth: int = 0) -> Any:
        """Return a value with attachments in the place of references to them."""
        if isinstance(value, str):
            if value.startswith(_ATTACHMENT):
                return self._attachments.get(value.removeprefix(_ATTACHMENT), value)
            return value
        if depth > 32:
            return value
        if isinstance(value, list):
            return [self._resolved(one, depth + 1) for one in cast("list[Any]", value)]
        if isinstance(value, dict):
            return {key: self._resolved(one, depth + 1) for key, one in cast("Json", value).items()}
        return value

    def _conversation(self) -> Iterator[Seen]:
        """Yield a model call for every assistant message of a sample that has no model events."""
        messages: Any = self._sample.get("messages") or []
        if not isinstance(messages, list):
            wrong(f"{self._place}.messages", "a list of messages", messages)
        read = [self._resolved(message) for message in cast("list[Any]", messages)]
        for index, message in enumerate(read):
            if isinstance(message, dict) and cast("Json", message).get("role") == "assistant":
                span = self._seen(f"message-{index}", "sample", {})
                span.kind, span.name = "model", "model"
                span.inputs = self.interned.messages(read[:index])
                span.outputs = self.interned.messages([message])
                yield span


def _usage(usage: Json, span: Seen) -> None:
    def count(name: str) -> int | None:
        value = usage.get(name)
        plausible = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15
        return value if plausible else None

    cached, written = count("input_tokens_cache_read"), count("input_tokens_cache_write")
    given = count("input_tokens")
    # Inspect counts what the cache gave and took apart from the rest.
    span.input_tokens = None if given is None else given + (cached or 0) + (written or 0)
    span.output_tokens, span.cached_tokens = count("output_tokens"), cached
    span.reasoning_tokens = count("reasoning_tokens")

"""`harness trace`: the OpenTelemetry view of runs that are recorded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Json, RunReference, Store

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from harness.events import Recorded
    from harness.tracing import Evaluation
    from harness.tracing.content import ContentPlace
    from harness.tracing.sinks import CollectorSink, EventsSink, LogSink

BATCH = 512
"""Spans in one line, or in one request."""

app = typer.Typer(help="The OpenTelemetry view of runs that are recorded.", no_args_is_help=True)


@app.callback()
def trace() -> None:
    """The OpenTelemetry view of runs that are recorded."""


@app.command()
def export(
    run: RunReference = "last",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The file to write; - is standard output.")
    ] = "-",
    content: Annotated[
        str | None,
        typer.Option(
            metavar="off|new|full",
            help="What was said: nothing, what is new in each request, or whole requests. "
            "Default: what OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT asks for.",
        ),
    ] = None,
    format: Annotated[str, typer.Option(metavar="FORMAT", help="otlp-json or otlp-proto.")] = "otlp-json",
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send to this OTLP/HTTP collector instead of writing a file."),
    ] = None,
    findings: Annotated[
        bool,
        typer.Option(
            "--findings",
            help="Add what `harness diagnose` finds, as events gen_ai.evaluation.result of spans.",
        ),
    ] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Write the trace of a run as OTLP, or send it to a collector; always the same for the same run.

    With --json a summary goes to standard output. Exit code 3: the collector did not take it all.

        harness trace export last -o trace.jsonl
        harness trace export last --content full --endpoint http://127.0.0.1:4318
    """
    raise typer.Exit(export_trace(Export(run, store, output, content, format, endpoint, json, findings)))


@dataclass(frozen=True)
class Export:
    """What is to be exported, and where to."""

    run: str
    store: str | None
    output: str
    content: str | None
    format: str
    endpoint: str | None
    as_json: bool
    findings: bool


def export_trace(request: Export) -> int:
    """Export one run and say what became of it; return the exit code."""
    from harness.cli.store import open_store
    from harness.errors import UsageError
    from harness.journal import resolve_run

    if request.format not in ("otlp-json", "otlp-proto"):
        raise UsageError(f"there is no format {request.format}; there are: otlp-json, otlp-proto")
    if request.as_json and request.output == "-" and request.endpoint is None:
        raise UsageError("--json needs -o FILE or --endpoint URL: standard output holds the trace otherwise")
    if request.findings and request.format == "otlp-proto" and request.endpoint is None:
        raise UsageError("--findings needs --format otlp-json: a file of otlp-proto holds spans only")
    journal = open_store(request.store)
    run_id = resolve_run(journal, request.run)
    spans = _spans_of(journal.read(run_id), request)
    findings = _findings_of(run_id, request.store) if request.findings else []
    destination, problem = request.output, ""
    if request.endpoint is not None:
        destination, problem = _send(spans, findings, request.endpoint, _place(request))
    else:
        _write(spans, findings, request)
    trace = f"{spans[0].context.trace_id:032x}" if spans and spans[0].context else ""
    summary = {"run_id": run_id, "trace_id": trace, "spans": len(spans), "findings": len(findings)}
    _tell(request, {**summary, "destination": destination, "error": problem})
    return 3 if problem else 0


def _spans_of(recorded: Iterable[Recorded], request: Export) -> list[ReadableSpan]:
    from harness.errors import UsageError
    from harness.tracing import content_capture, export_run
    from harness.tracing.export import resource_from_environment

    content = content_capture(os.environ) if request.content is None else request.content
    if content not in ("off", "new", "full"):
        raise UsageError(f"--content is off, new or full, not {content}")
    spans: list[ReadableSpan] = []
    export_run(recorded, spans.append, content=content, resource=resource_from_environment())
    return spans


def _findings_of(run_id: str, store: str | None) -> list[Evaluation]:
    from harness.cli.store import store_name
    from harness.diagnosing import diagnose, evaluations_of

    return evaluations_of(diagnose(run_id, store=store_name(store)))


def _write(spans: list[ReadableSpan], findings: list[Evaluation], request: Export) -> None:
    from harness.errors import UsageError
    from harness.tracing import encode_evaluations

    encode = _encoder(request.format, _place(request))
    written = [encode(spans[start : start + BATCH]) for start in range(0, len(spans), BATCH)]
    if findings:
        ended = max(span.end_time or 0 for span in spans)
        written.append(encode_evaluations(findings, ended, spans[0].resource))
    if request.output == "-":
        sys.stdout.buffer.writelines(written)
        sys.stdout.buffer.flush()
        return
    try:
        Path(request.output).write_bytes(b"".join(written))
    except OSError as error:
        raise UsageError(f"{request.output} cannot be written: {error.strerror}") from error


def _place(request: Export) -> ContentPlace:
    """Return where content goes: into spans if it was asked for here, else where the standard switch says."""
    from harness.tracing.content import content_place

    return content_place(os.environ) if request.content is None else "spans"


def _encoder(format: str, content: ContentPlace) -> Callable[[list[ReadableSpan]], bytes]:
    """Return what makes bytes of spans; requests of the protocol, one after the other, are one request."""
    if format == "otlp-json":
        from harness.tracing.sinks import encode_with_events

        return lambda spans: encode_with_events(spans, content)
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    from harness.tracing.details import spans_as_shown

    return lambda spans: encode_spans(spans_as_shown(spans, content)).SerializeToString()


def _send(
    spans: list[ReadableSpan], findings: list[Evaluation], endpoint: str, content: ContentPlace
) -> tuple[str, str]:
    """Return where the spans went, and why some, or what belongs to them, did not arrive."""
    from urllib.parse import urlsplit

    from harness.errors import UsageError
    from harness.tracing import send_evaluations
    from harness.tracing.sinks import CollectorSink, EventsSink, LogSink

    address = urlsplit(endpoint)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise UsageError(f"{endpoint!r} is no address of a collector; write http://HOST:4318")
    url = endpoint if address.path.strip("/") else endpoint.rstrip("/") + "/v1/traces"
    logs = url.removesuffix("/v1/traces") + "/v1/logs"
    problem = _post(spans, CollectorSink(endpoint=url, content=content))
    if not problem and content != "spans":
        problem = _post(spans, EventsSink(endpoint=logs))
    if not problem and findings:
        problem = send_evaluations(findings, LogSink(endpoint=logs))
    return url, problem


def _post(spans: list[ReadableSpan], sink: CollectorSink | EventsSink) -> str:
    """Return why some of the spans, or their events, did not arrive."""
    try:
        for start in range(0, len(spans), BATCH):
            problem = sink.send(spans[start : start + BATCH])
            if problem:
                lost = len(spans) - start
                return f"{lost} of {len(spans)} spans did not reach {sink.destination}: {problem}"
    finally:
        sink.close()
    return ""


def open_sink() -> LogSink:
    """Return where findings go; see `harness.tracing.open_log_sink`."""
    from harness.tracing import open_log_sink

    return open_log_sink()


def send_findings(findings: list[Evaluation], sink: LogSink) -> bool:
    """Send findings to a collector and say so; return whether they arrived."""
    from harness.cli.terminal import count, plain
    from harness.tracing import send_evaluations

    problem = send_evaluations(findings, sink)
    sent = f"sent {count(len(findings), 'finding')} to {sink.destination}"
    print(plain(f"error: {problem}" if problem else sent), file=sys.stderr)
    return not problem


def _tell(request: Export, summary: Mapping[str, object]) -> None:
    from harness.cli.terminal import plain
    from harness.views import json_line

    destination, problem = plain(str(summary["destination"])), plain(str(summary["error"]))
    if request.as_json:
        print(json_line(summary))
    if problem:
        print(f"error: {problem}", file=sys.stderr)
    elif not request.as_json and destination != "-":
        found = f" and {summary['findings']} findings" if request.findings else ""
        print(f"wrote {destination}: {summary['spans']} spans{found}", file=sys.stderr)

"""Diagnosing runs wherever they are: in a store, in a bundle, or in a trace that others exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.contracts import Contract
from harness.diagnosis import Diagnosis, Finding, examine
from harness.errors import UsageError
from harness.events import Recorded
from harness.opening import DEFAULT_STORE
from harness.record import RunRecord, record_of
from harness.replay.bundle import is_bundle
from harness.replaying import find_runs

if TYPE_CHECKING:
    from harness.tracing import Evaluation, SpanIds


def read_runs(source: str | Path, *, store: str | Path | None = None) -> Iterator[RunRecord]:
    """Yield the records of the runs that `source` names: a run of a store, a bundle, or a trace file.

    A path that exists is a file; anything else is a run's id, a unique start of it, or `last`.

    Raises:
        UsageError: There is no such run or file.
        TraceError: The file cannot be read as any format known here.
    """
    if is_trace(source):
        # Foreign formats are read by those who have such files.
        from harness.foreign import read_records

        yield from read_records(Path(source))
    else:
        for events in find_runs(str(source), store or DEFAULT_STORE):
            record = record_of(events)
            record.span_id = _span_ids(events)
            yield record


def is_trace(source: str | Path) -> bool:
    """Return whether `source` names a file that others wrote; otherwise it is a run of ours, or a bundle.

    Raises:
        UsageError: There is no such file.
    """
    reference = str(source)
    if is_bundle(reference):
        return False
    if Path(reference).is_dir():
        raise UsageError(f"{reference} is a folder; name the files in it")
    if not Path(reference).is_file() and _looks_like_a_file(reference):
        raise UsageError(f"there is no file {reference}")
    return Path(reference).is_file()


def diagnose(source: str | Path | RunRecord, *, store: str | Path | None = None) -> Diagnosis:
    """Return what is wrong with one run, ours or one whose trace somebody exported; offline, without a model.

        diagnosis = harness.diagnose("trace.json")
        for finding in diagnosis.findings: print(finding.severity, finding.what)

    Raises:
        UsageError: There is no such run or file, or the file holds several runs.
        TraceError: The file cannot be read.
    """
    if isinstance(source, RunRecord):
        return examine(source)
    records = list(read_runs(source, store=store))
    if len(records) != 1:
        raise UsageError(
            f"{source} holds {len(records)} runs; read them with harness.diagnosing.diagnose_all"
        )
    return examine(records[0])


def diagnose_all(
    source: str | Path, *, store: str | Path | None = None, contracts: Sequence[Contract] = ()
) -> Iterator[Diagnosis]:
    """Yield the diagnosis of every run in a file, one at a time, so that a file may be larger than memory."""
    for record in read_runs(source, store=store):
        yield examine(record, contracts=contracts)


def evaluations_of(diagnosis: Diagnosis, findings: Sequence[Finding] | None = None) -> list[Evaluation]:
    """Return findings as the conventions' judgements, each about the span of its culprit.

    What a finding says names tools, resources and values of arguments; what it quotes is left out.

    Args:
        findings: Those that are wanted; without it all.
    """
    from harness.tracing import Evaluation, semconv

    record = diagnosis.record
    made: list[Evaluation] = []
    for finding in diagnosis.findings if findings is None else findings:
        price, spans = finding.price, finding.where.spans
        facts = {
            semconv.RUN_ID: record.id,
            semconv.AGENT_PATH: finding.where.agent,
            semconv.FINDING_FINGERPRINT: finding.fingerprint,
            semconv.FINDING_SUBJECT: finding.subject or None,
            semconv.FINDING_CONFIDENCE: float(finding.confidence),
            semconv.FINDING_TOKENS: price.tokens,
            semconv.COST: price.usd,
            semconv.FINDING_SECONDS: price.seconds,
            semconv.FINDING_TURNS: price.turns,
            semconv.FINDING_REMEDY: finding.remedy.text if finding.remedy else None,
            semconv.FINDING_SPANS: spans or None,
        }
        made.append(
            Evaluation(
                name=finding.detector,
                trace_id=record.trace_id,
                span_id=spans[0] if spans else "",
                label=finding.severity,
                explanation=finding.what,
                facts={name: value for name, value in facts.items() if value is not None},
            )
        )
    return made


def _span_ids(events: Sequence[Recorded]) -> Callable[[str], str]:
    """Return what names spans as an export of the run does; computed for the first finding."""

    @cache
    def ids() -> SpanIds:
        from harness.tracing import SpanIds

        return SpanIds(events)

    return lambda place: ids()(place)


def _looks_like_a_file(reference: str) -> bool:
    return "/" in reference or reference.endswith((".json", ".jsonl", ".pb", ".eval", ".harness", ".gz"))

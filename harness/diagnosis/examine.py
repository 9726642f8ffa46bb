"""`diagnose`: every detector over one record, deterministic and offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.contracts import Contract
from harness.diagnosis.case import Case, Detector
from harness.diagnosis.detectors import DETECTORS
from harness.diagnosis.findings import SEVERITIES, Finding, NotMeasurable
from harness.diagnosis.overthinking import ROGUE, Overthinking, overthinking
from harness.record import Ledger, RunRecord


@dataclass(frozen=True)
class Diagnosis:
    """What was found in one run."""

    record: RunRecord
    ledger: Ledger
    findings: tuple[Finding, ...]
    """The gravest first; within one severity the dearest."""
    not_measurable: tuple[NotMeasurable, ...]
    overthinking: Mapping[str, Overthinking] = field(default_factory=dict[str, Overthinking])
    """By the path of the agent run."""


def examine(
    record: RunRecord,
    *,
    detectors: Sequence[Detector] = DETECTORS,
    contracts: Sequence[Contract] = (),
) -> Diagnosis:
    """Return what the detectors find in a run; what its source does not carry is said, not guessed.

    Args:
        contracts: Contracts on calls to check beside those of the run's own team.
    """
    case = Case(record, contracts=contracts)
    able = [detector for detector in detectors if not record.lacks(*detector.needs)]
    blind = [
        NotMeasurable(detector.name, record.lacks(*detector.needs))
        for detector in detectors
        if detector not in able
    ]
    findings: list[Finding] = []
    for agent in case.agents():
        for detector in able:
            if detector.in_agent is not None:
                findings += detector.in_agent(agent)
    for detector in able:
        if detector.in_run is not None:
            for found in detector.in_run(case):
                if isinstance(found, NotMeasurable):
                    blind.append(found)
                else:
                    findings.append(found)
    for detector in able:
        if detector.of_findings is not None:
            findings += detector.of_findings(case, tuple(findings))
    ranked = tuple(_ranked(_with_spans(record, findings)))
    return Diagnosis(
        record,
        case.ledger,
        ranked,
        tuple(blind),
        overthinking(record, ranked, looked=any(detector.name == ROGUE for detector in able)),
    )


def _with_spans(record: RunRecord, findings: Iterable[Finding]) -> Iterable[Finding]:
    """Name the spans of the calls and turns that findings are about."""
    for finding in findings:
        where = finding.where
        agent = record.agents.get(where.agent)
        spans = [record.calls[key].span for key in where.calls if key in record.calls]
        if agent is not None:
            spans += [agent.turns[turn - 1].span for turn in where.turns if 0 < turn <= len(agent.turns)]
            spans = spans or [agent.span]
        ids = dict.fromkeys(record.span_id(span) for span in spans if span)
        yield replace(finding, where=replace(where, spans=tuple(ids)))


def _ranked(findings: Iterable[Finding]) -> list[Finding]:
    def rank(finding: Finding) -> tuple[int, float, str, str]:
        grave = -SEVERITIES.index(finding.severity)
        return grave, -(finding.price.tokens or 0), finding.where.agent, finding.detector

    return sorted(findings, key=rank)

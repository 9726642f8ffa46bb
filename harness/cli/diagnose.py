"""`harness diagnose`: what is wrong with runs, in words, as JSON, or as an exit code for CI."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from harness.cli.store import store_name
from harness.cli.terminal import count, dollars, one_line, plain
from harness.cli.trace import open_sink, send_findings
from harness.contracts import Contract, ContractError, parse_contract
from harness.diagnosing import diagnose_all, evaluations_of
from harness.diagnosis import Diagnosis, Finding
from harness.diagnosis.detectors import DETECTORS
from harness.diagnosis.findings import SEVERITIES
from harness.diagnosis.overthinking import Overthinking
from harness.errors import UsageError
from harness.views import json_line

if TYPE_CHECKING:
    from harness.tracing import Evaluation

_WIDTH = 160
_EVIDENCE = 3


@dataclass(frozen=True)
class DiagnoseRequest:
    """What the command was asked for."""

    sources: tuple[str, ...]
    store: str | None = None
    as_json: bool = False
    fail_on: str | None = None
    baseline: Path | None = None
    write_baseline: Path | None = None
    detectors: tuple[str, ...] = ()
    order: Path | None = None
    """A file of contracts on calls, one a line."""
    export: bool = False
    """Also send what is found to the collector of the standard variables."""


def diagnose_sources(request: DiagnoseRequest) -> int:
    """Print the findings of all runs named; return 1 if one is new and as grave as `fail_on` says, 3 if one was not sent."""
    threshold = _threshold(request.fail_on)
    check_detectors(request.detectors)
    known = _read_baseline(request.baseline) if request.baseline else frozenset[str]()
    prints: Counter[str] = Counter()
    judged: list[Evaluation] = []
    sink = open_sink() if request.export else None
    failed = False
    for source, diagnosis in _diagnoses(request):
        findings = [one for one in diagnosis.findings if _wanted(one, request.detectors)]
        new = [one for one in findings if one.fingerprint not in known]
        prints.update(one.fingerprint for one in findings)
        failed = failed or any(SEVERITIES.index(one.severity) >= threshold for one in new)
        if sink:
            judged += evaluations_of(diagnosis, findings)
        if request.as_json:
            _print_json(source, diagnosis, findings, known)
        else:
            _print(source, diagnosis, findings, known)
    if request.write_baseline:
        _write_baseline(request.write_baseline, prints)
    if sink and not send_findings(judged, sink):
        return 3
    return 1 if failed else 0


def _diagnoses(request: DiagnoseRequest) -> Iterator[tuple[str, Diagnosis]]:
    store = store_name(request.store)
    contracts = read_contracts(request.order) if request.order else []
    for source in request.sources:
        for diagnosis in diagnose_all(source, store=store, contracts=contracts):
            yield source, diagnosis


def read_contracts(path: Path) -> list[Contract]:
    """Return the contracts of a file, one a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    contracts: list[Contract] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            contracts.append(parse_contract(line.strip()))
        except ContractError as error:
            raise UsageError(f"{path}:{number}: {error}") from error
    return contracts


def _threshold(fail_on: str | None) -> int:
    if fail_on is None:
        return len(SEVERITIES)
    if fail_on not in SEVERITIES:
        raise UsageError(f"--fail-on {fail_on}: it is one of {', '.join(SEVERITIES)}")
    return SEVERITIES.index(fail_on)


def check_detectors(names: Sequence[str]) -> None:
    """Refuse names that no detector has."""
    known = {detector.name: detector.promise for detector in DETECTORS}
    for name in names:
        if name not in known:
            listed = "\n".join(f"  {one:22s} {promise}" for one, promise in known.items())
            raise UsageError(f"--detector {name}: there is none of that name; there are:\n{listed}")


def _wanted(finding: Finding, detectors: Sequence[str]) -> bool:
    return not detectors or finding.detector in detectors


# --- baselines ---


def _read_baseline(path: Path) -> frozenset[str]:
    try:
        content = orjson.loads(path.read_bytes())
        return frozenset(str(key) for key in content["findings"])
    except FileNotFoundError:
        raise UsageError(f"there is no baseline {path}; --write-baseline {path} makes one") from None
    except (orjson.JSONDecodeError, KeyError, TypeError, OSError) as error:
        raise UsageError(f"{path} is no baseline of `harness diagnose`: {error}") from error


def _write_baseline(path: Path, prints: Counter[str]) -> None:
    try:
        path.write_bytes(
            orjson.dumps({"harness": 1, "findings": dict(sorted(prints.items()))}, option=orjson.OPT_INDENT_2)
            + b"\n"
        )
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    print(f"wrote {path}: {count(len(prints), 'finding')}", file=sys.stderr)


# --- printing ---


def finding_view(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON."""
    return {"fingerprint": finding.fingerprint, **asdict(finding)}


def _print_json(
    source: str, diagnosis: Diagnosis, findings: Sequence[Finding], known: frozenset[str]
) -> None:
    record, ledger = diagnosis.record, diagnosis.ledger
    print(
        json_line(
            {
                "type": "diagnosis",
                "source": source,
                "run_id": record.id,
                "name": record.name,
                "format": record.source,
                "outcome": record.outcome,
                "tokens_sent": ledger.sent,
                "resend_factor": round(ledger.resend_factor, 2),
                "findings": [{**finding_view(one), "known": one.fingerprint in known} for one in findings],
                "not_measurable": [asdict(one) for one in diagnosis.not_measurable],
                "overthinking": {path: asdict(one) for path, one in diagnosis.overthinking.items()},
                "notes": record.notes,
            }
        )
    )


def _print(source: str, diagnosis: Diagnosis, findings: Sequence[Finding], known: frozenset[str]) -> None:
    record, ledger = diagnosis.record, diagnosis.ledger
    turns = sum(len(agent.turns) for agent in record.agents.values())
    head = f"run {plain(record.id)}" + (f" of {plain(record.name)}" if record.name else "")
    print(
        f"{head} ({record.source}, {record.outcome}): {count(len(record.agents), 'agent')}, "
        f"{count(turns, 'turn')}, {count(len(record.calls), 'tool call')}, "
        f"{count(ledger.sent, 'token')} sent, each {ledger.resend_factor:.1f} times"
    )
    for note in record.notes[:5]:
        print(f"  note: {one_line(note, _WIDTH)}")
    if not findings:
        print("  nothing found")
    for finding in findings:
        _print_finding(finding, is_known=finding.fingerprint in known)
    for path, one in diagnosis.overthinking.items():
        if signs := _overthinking(one):
            print(f"  {plain(path)}: {', '.join(signs)}")
    if diagnosis.not_measurable:
        lacking: dict[tuple[str, ...], list[str]] = {}
        for one in diagnosis.not_measurable:
            if one.why:
                print(f"  not measurable by {one.detector}: {one_line(one.why, _WIDTH)}")
            else:
                lacking.setdefault(one.lacks, []).append(one.detector)
        for lacks, detectors in lacking.items():
            print(f"  not measurable, as the source has no {', '.join(lacks)}: {', '.join(detectors)}")
    print()


def _overthinking(counters: Overthinking) -> list[str]:
    """Return in words what says that an agent thought too much, or too little."""
    idle, rogue = counters.think_only_turns, counters.rogue_calls
    signs = [f"{count(idle, 'turn')} of thinking alone"] if idle else []
    signs += [f"{count(rogue, 'call')} before what it needed was known"] if rogue else []
    return signs + (["done without a call that succeeded"] if counters.done_without_evidence else [])


def _print_finding(finding: Finding, *, is_known: bool) -> None:
    mark = " (known)" if is_known else ""
    print(f"  {finding.severity:7s} {finding.detector}{mark}  {plain(place_of(finding))}")
    print(f"          {plain(finding.what)}")
    for quote in finding.evidence[:_EVIDENCE]:
        print(f"          > {plain(quote.where)}: {one_line(quote.text, _WIDTH)}")
    paid = _price(finding)
    sure = "" if finding.confidence >= 1 else f"  ({finding.confidence:.0%} sure)"
    if paid or sure:
        print(f"          cost: {paid or 'not measurable'}{sure}")
    if finding.remedy is not None:
        print(f"          do: {plain(finding.remedy.text)}")
        for path, value in finding.remedy.patch.items():
            print(f"              --set {plain(path)}={plain(orjson.dumps(value).decode())}")


def place_of(finding: Finding) -> str:
    """Return the call, the turns or the agent that a finding is about first."""
    where = finding.where
    if where.calls:
        call, *more = where.calls
        return call + (f" and {len(more)} more" if more else "")
    if where.turns:
        first, *others = where.turns
        return f"{where.agent}/turn-{first}" + (f" … turn-{others[-1]}" if others else "")
    return where.agent


def _price(finding: Finding) -> str:
    price = finding.price
    parts = [
        count(price.tokens, "token") if price.tokens else "",
        dollars(price.usd) if price.usd else "",
        f"{price.seconds:.1f} s" if price.seconds else "",
        count(price.turns, "turn") if price.turns else "",
        one_line(price.action, _WIDTH) if price.action else "",
    ]
    return ", ".join(part for part in parts if part)

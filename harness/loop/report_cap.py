"""How long a sub-agent's report may be, and what is left of a longer one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.events import Evidence, Report
from harness.loop.brief import dumps
from harness.loop.recorded_counts import TOO_LONG, RecordedCounts
from harness.messages import Usage

CountTokens = Callable[[str], int]


class ReportCap:
    """The most tokens the report of one agent run may have; what is recorded of it is not counted anew."""

    def __init__(self, agent: str, most: int, *, count: CountTokens, recorded: RecordedCounts) -> None:
        self.most = most
        self._agent = agent
        self._count = count
        self._recorded = recorded

    def complaint(self, report: Report, key: str) -> str:
        """Return what is wrong with the length of a report; nothing if it fits.

        Args:
            key: Of the call that hands it in; empty if it was said as text.
        """
        said = self._recorded.complaint(self._agent, key)
        if said is not None:
            return said
        tokens = self._tokens(report)
        return TOO_LONG.format(tokens=tokens, most=self.most) if tokens > self.most else ""

    def cut(self, report: Report) -> Report:
        """Return the report cut to the cap: first its answer, then its evidence, then all that is left."""
        recorded = self._recorded.report(self._agent)
        if recorded is not None:
            if not recorded.report.shortened:
                return report
            if _cut_to(report, recorded.report) == replace(recorded.report, usage=Usage()):
                return recorded.report
        return report if self._tokens(report) <= self.most else self._cut(report)

    def _cut(self, report: Report) -> Report:
        data = report.data if self._size(report.data) <= self.most // 2 else None
        artifacts = report.artifacts if self._size(report.artifacts) <= self.most // 4 else ()
        room = self.most - self._size(data) - self._size(artifacts)
        kept: list[Evidence] = []
        for item in report.evidence:
            if self._evidence_tokens(item) > room - self.most // 4:
                break
            kept.append(item)
            room -= self._evidence_tokens(item)
        answer = report.answer
        while answer and self._count(answer) > room:
            answer = answer[: int(len(answer) * min(0.95, room / self._count(answer)))]
        return _shortened(
            report, replace(report, answer=answer, evidence=tuple(kept), artifacts=artifacts, data=data)
        )

    def _tokens(self, report: Report) -> int:
        evidence = sum(map(self._evidence_tokens, report.evidence))
        return self._count(report.answer) + evidence + self._size(report.artifacts) + self._size(report.data)

    def _evidence_tokens(self, item: Evidence) -> int:
        fields = (item.quote, item.claim, item.source, item.locator)
        return 12 + sum(self._count(field) for field in fields if field)

    def _size(self, value: object) -> int:
        return self._count(dumps(value)) if value else 0


def _cut_to(report: Report, cut: Report) -> Report:
    """Return the report cut to the lengths of another one."""
    smaller = replace(
        report,
        answer=report.answer[: len(cut.answer)],
        evidence=report.evidence[: len(cut.evidence)],
        artifacts=report.artifacts if cut.artifacts else (),
        data=report.data if cut.data is not None else None,
        usage=Usage(),
    )
    return _shortened(report, smaller)


def _shortened(report: Report, smaller: Report) -> Report:
    lost_data = report.data is not None and smaller.data is None
    status = "failed" if lost_data else "partial" if report.status == "done" else report.status
    return replace(smaller, status=status, shortened=True)

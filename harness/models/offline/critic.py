"""The critic: re-reads what was cited, keeps what holds, and says what it dropped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.messages import Message
from harness.models.offline.briefs import Brief, read_brief
from harness.models.offline.conversation import Conversation
from harness.models.offline.evidence import Evidence, TaskReport
from harness.models.offline.offers import LookupTool, Offers
from harness.models.offline.passages import Passage, read_passages
from harness.models.offline.quality import contradictions, is_repeat, weakness
from harness.models.offline.ranking import covered, read_query
from harness.models.offline.replies import Finding, call_tools, finish, fits, without_claims
from harness.models.offline.terms import terms

_MOST_READS = 12
_OFF_TOPIC = 0.12
_MOST_KEPT = 16


@dataclass(frozen=True, slots=True)
class _Dropped:
    evidence: Evidence
    task: str
    reason: str


def criticise(conversation: Conversation, offers: Offers) -> Message:
    """Take the critic's next turn."""
    brief = read_brief(conversation)
    tool = next((reader for reader in offers.readers if reader.parameter in ("locator", "path", "uri")), None)
    if tool and brief.reports and not conversation.exchanges and (reads := _reads(brief.reports, tool)):
        return call_tools(conversation, reads)
    shown = read_passages(conversation.exchanges, offers.readers, read=True)
    most = _MOST_KEPT
    finding = judge(brief, shown, most=most)
    while most > 2 and not fits(conversation, offers, finding):
        most -= 2
        finding = judge(brief, shown, most=most)
    return finish(conversation, offers, finding)


def judge(brief: Brief, shown: Sequence[Passage], *, most: int = _MOST_KEPT) -> Finding:
    """Return the evidence that stands up, with a short account of the rest."""
    kept: list[Evidence] = []
    dropped: list[_Dropped] = []
    strong_exists = any(not weakness(found.source, found.quote, brief.question) for found, _ in _all(brief))
    for found, report in _all(brief):
        reason = _fault(found, report, brief, shown, kept, strong_exists)
        if reason or len(kept) >= most:
            dropped.append(_Dropped(found, report.id, reason or "there is enough better evidence"))
        else:
            kept.append(found)
    disputes = contradictions(kept)
    if not kept:
        return Finding("partial", f"No evidence stands up.\n{_account(dropped)}".strip())
    lines = [f"Kept {len(kept)} of {len(kept) + len(dropped)} pieces of evidence.", _account(dropped)]
    lines += [
        f"Contradiction: {left.locator} and {right.locator} give different numbers."
        for left, right in disputes
    ]
    return without_claims(Finding("done", "\n".join(line for line in lines if line), tuple(kept)))


def _all(brief: Brief) -> list[tuple[Evidence, TaskReport]]:
    """Return all evidence, each report's best first, so that no report crowds out another."""
    rows = [[(found, report) for found in report.evidence] for report in brief.reports]
    longest = max((len(row) for row in rows), default=0)
    return [row[at] for at in range(longest) for row in rows if at < len(row)]


def _fault(
    found: Evidence,
    report: TaskReport,
    brief: Brief,
    shown: Sequence[Passage],
    kept: Sequence[Evidence],
    strong_exists: bool,
) -> str:
    """Return why a piece of evidence is dropped, or an empty string."""
    if not found.source or not found.locator:
        return "no source"
    if _is_refuted(found, shown):
        return "the quote does not stand there"
    if any(found.place == other.place for other in kept) or is_repeat(
        found.quote, [other.quote for other in kept]
    ):
        return "duplicate"
    weak = weakness(found.source, found.quote, brief.question)
    if weak and strong_exists:
        return f"weak source ({weak})"
    question = next((part.question for part in brief.parts if part.id == report.id), brief.question)
    bag = set(terms(f"{found.quote} {found.claim} {found.source}"))
    if max(covered(read_query(question), bag), covered(read_query(brief.question), bag)) < _OFF_TOPIC:
        return "off topic"
    return ""


def _is_refuted(found: Evidence, shown: Sequence[Passage]) -> bool:
    """A quote is refuted if its lines were re-read and it is not in them; unread lines refute nothing."""
    first, last = _lines_of(found)
    covering = [
        passage
        for passage in shown
        if passage.source == found.source and passage.first_line <= first and last <= passage.last_line
    ]
    quote = "".join(found.quote.split())
    return bool(covering) and not any(quote in "".join(passage.text.split()) for passage in covering)


def _lines_of(found: Evidence) -> tuple[int, int]:
    _, _, lines = found.locator.rpartition(":")
    first, _, last = lines.partition("-")
    if not first.isdecimal():
        return 0, 0
    return int(first), int(last) if last.isdecimal() else int(first)


def _reads(reports: Sequence[TaskReport], tool: LookupTool) -> list[tuple[str, dict[str, Any]]]:
    values = dict.fromkeys(
        found.locator if tool.parameter == "locator" else found.source
        for report in reports
        for found in report.evidence
        if found.locator and found.source
    )
    extra: dict[str, Any] = {"context": 0} if "context" in tool.properties else {}
    return [
        (tool.name, {**dict(tool.fixed), tool.parameter: value, **extra})
        for value in list(values)[:_MOST_READS]
    ]


def _account(dropped: Sequence[_Dropped]) -> str:
    if not dropped:
        return ""
    counts = Counter(entry.reason for entry in dropped)
    summary = ", ".join(f"{count} × {reason}" for reason, count in sorted(counts.items()))
    places = [
        f"- {entry.evidence.locator or 'no locator'} ({entry.task}): {entry.reason}" for entry in dropped[:8]
    ]
    return "\n".join([f"Dropped {len(dropped)}: {summary}.", *places])

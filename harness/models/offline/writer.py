"""The writer: arranges the evidence that stood up into one readable answer with markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.messages import Message
from harness.models.offline.briefs import Brief, Part, read_brief
from harness.models.offline.cleaning import clean
from harness.models.offline.conversation import Conversation
from harness.models.offline.evidence import Evidence, TaskReport
from harness.models.offline.offers import Offers
from harness.models.offline.quality import contradictions, is_repeat
from harness.models.offline.ranking import covered, read_query
from harness.models.offline.replies import Finding, finish, fits
from harness.models.offline.roles import CRITIC_WORDS, count_words
from harness.models.offline.terms import terms

_MOST_SENTENCES = 10
_MOST_BACKGROUND = 2
_BEARING = 0.3


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the answer with what supports it."""

    part: Part
    evidence: tuple[Evidence, ...]
    answered: bool
    """True also where another section has said it already."""

    def lead(self, *, alone: bool) -> str:
        """Return the words that introduce the section; none if it is the whole answer."""
        if not self.part.asked:
            return "" if alone else "Background: "
        return "" if alone or not self.part.question else f"{self.part.question}\n"


def write(conversation: Conversation, offers: Offers) -> Message:
    """Take the writer's next turn."""
    brief = read_brief(conversation)
    most = _MOST_SENTENCES
    finding = compose(brief, most=most)
    while most > 2 and not fits(conversation, offers, finding):
        most -= 1
        finding = compose(brief, most=most)
    return finish(conversation, offers, finding)


def compose(brief: Brief, *, most: int = _MOST_SENTENCES) -> Finding:
    """Return the answer to the brief's question from the evidence in its reports."""
    sections = arrange(brief, most=most)
    evidence = tuple(found for section in sections for found in section.evidence)
    missing = tuple(
        section.part.question for section in sections if section.part.asked and not section.answered
    )
    if not evidence:
        question = brief.question or "the question"
        return Finding(
            "failed", f"The sources that were searched hold nothing that answers: {question}", (), missing
        )
    text = _text(sections, evidence, missing)
    return Finding("partial" if missing else "done", text, evidence, missing, leads_of(sections))


def arrange(brief: Brief, *, most: int = _MOST_SENTENCES) -> list[Section]:
    """Sort the evidence by part, without repeats, within the length of an answer."""
    critics = [report for report in brief.reports if _is_critic(report, brief)]
    research = [report for report in brief.reports if report not in critics] or list(brief.reports)
    accepted = {found.place for report in critics for found in report.evidence} if critics else None
    parts = brief.parts or tuple(Part(report.id, "") for report in research)
    asked = sum(part.asked for part in parts) or 1
    said: list[str] = []
    sections: list[Section] = []
    for part in sorted(parts, key=lambda part: not part.asked):
        found = [entry for report in research if report.id == part.id for entry in report.evidence]
        found = [entry for entry in found if part.asked or _bears_on(brief.question, entry)]
        share = max(2, most // asked) if part.asked else _MOST_BACKGROUND
        repeats = any(is_repeat(entry.quote, said) for entry in found)
        kept = _keep(found, accepted, said, min(share, 5) if asked > 1 else min(share, 6))
        sections.append(Section(part, tuple(_with_claim(entry) for entry in kept), bool(kept) or repeats))
    return sections


def leads_of(sections: Sequence[Section]) -> tuple[str, ...]:
    """Return for each piece of evidence the words that introduce its section, if it is the first there."""
    filled = [section for section in sections if section.evidence]
    asked = sum(section.part.asked for section in filled)
    leads: list[str] = []
    for section in filled:
        alone = asked < 2 if section.part.asked else not asked
        leads += [section.lead(alone=alone), *[""] * (len(section.evidence) - 1)]
    return tuple(leads)


def _is_critic(report: TaskReport, brief: Brief) -> bool:
    if brief.parts:
        return report.id not in {part.id for part in brief.parts}
    return count_words(report.agent, CRITIC_WORDS) > 0


def _bears_on(question: str, found: Evidence) -> bool:
    """Background that nobody asked for must at least speak of what was asked."""
    bag = set(terms(f"{found.quote} {found.claim} {found.source}"))
    return covered(read_query(question), bag) >= _BEARING


def _keep(
    found: Sequence[Evidence], accepted: set[tuple[str, str, str]] | None, said: list[str], most: int
) -> list[Evidence]:
    kept: list[Evidence] = []
    for entry in found:
        if len(kept) >= most:
            break
        if (accepted is None or entry.place in accepted) and not is_repeat(entry.quote, said):
            kept.append(entry)
            said.append(entry.quote)
    return _by_source(kept)


def _by_source(found: Sequence[Evidence]) -> list[Evidence]:
    """Keep sentences of one source together and in the order they stand there."""
    rows = {entry.source: [other for other in found if other.source == entry.source] for entry in found}
    return [entry for row in rows.values() for entry in sorted(row, key=_line)]


def _line(found: Evidence) -> int:
    first = found.locator.rpartition(":")[2].partition("-")[0]
    return int(first) if first.isdecimal() else 0


def _with_claim(found: Evidence) -> Evidence:
    return found if found.claim else replace(found, claim=clean(found.quote))


def _text(sections: Sequence[Section], evidence: Sequence[Evidence], missing: Sequence[str]) -> str:
    numbers = {id(found): number for number, found in enumerate(evidence, 1)}
    leads = iter(leads_of(sections))
    paragraphs: list[str] = []
    for section in sections:
        sentences = [f"{next(leads)}{found.claim} [{numbers[id(found)]}]" for found in section.evidence]
        if sentences:
            paragraphs.append(" ".join(sentences))
    for left, right in contradictions(evidence):
        paragraphs.append(f"The sources disagree: compare [{numbers[id(left)]}] with [{numbers[id(right)]}].")
    if missing:
        paragraphs.append("Nothing was found on: " + " ".join(missing))
    return "\n\n".join(paragraphs)

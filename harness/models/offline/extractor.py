"""The extractor: answers from the messages themselves where there is nothing to look things up with."""

from __future__ import annotations

from harness.messages import Message
from harness.models.offline.briefs import read_brief
from harness.models.offline.cleaning import clean
from harness.models.offline.conversation import Conversation
from harness.models.offline.evidence import Evidence
from harness.models.offline.offers import Offers
from harness.models.offline.passages import Passage
from harness.models.offline.questions import split_question
from harness.models.offline.ranking import Candidate, choose, rank, read_query
from harness.models.offline.replies import Finding, finish

_MOST_SENTENCES = 6
_LEAST = 0.34


def extract(conversation: Conversation, offers: Offers) -> Message:
    """Return the sentences of the messages that best answer what they ask."""
    brief = read_brief(conversation)
    question = _question(brief.question)
    texts = [
        brief.objective,
        brief.sources,
        *conversation.later,
        *(call.result for call in conversation.exchanges),
    ]
    reports = [entry for report in brief.reports for entry in report.evidence]
    passages = [Passage(f"message {at}", text) for at, text in enumerate(texts, 1) if text.strip()]
    query = read_query(question)
    chosen = choose(
        [found for found in rank(query, passages) if _is_answer(found, question)],
        _MOST_SENTENCES,
        per_source=6,
    )
    if not chosen and not reports:
        text = f"There is no tool to look this up with, and the messages do not answer it: {question[:300]}".strip()
        return finish(
            conversation, offers, Finding("failed", text, (), (question[:300],) if question else ())
        )
    sentences = [clean(found.unit.text, kind=found.unit.kind, label=found.unit.label) for found in chosen]
    sentences += [entry.claim or clean(entry.quote) for entry in reports[:_MOST_SENTENCES]]
    return finish(
        conversation, offers, Finding("partial", " ".join(sentences), tuple[Evidence, ...](reports))
    )


def _question(text: str) -> str:
    """Return the last question of a text, or its whole if nothing in it asks."""
    parts = split_question(text)
    asked = [part.text for part in parts if part.asked]
    return asked[-1] if asked else text.strip()


def _is_answer(found: Candidate, question: str) -> bool:
    own = " ".join(found.unit.text.split()).strip(" ?.!").lower()
    return (
        own not in question.lower()
        and not own.endswith("?")
        and found.coverage >= _LEAST
        and found.unit.kind != "fragment"
    )

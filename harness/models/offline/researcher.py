"""The researcher: searches in several ways, reads around the best passages, and quotes what answers.

Turn 1 searches, turn 2 reads context or searches once more in other words, then it reports. It
never reports a sentence that no tool showed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.messages import Message
from harness.models.offline.briefs import Brief, read_brief
from harness.models.offline.cleaning import clean
from harness.models.offline.conversation import Conversation
from harness.models.offline.evidence import Evidence
from harness.models.offline.offers import LookupTool, Offers
from harness.models.offline.passages import Passage, read_passages, without_contained
from harness.models.offline.queries import first_queries, other_queries
from harness.models.offline.ranking import Candidate, Query, choose, rank, read_query
from harness.models.offline.replies import Finding, call_tools, finish, fits

_MOST_QUOTES = 6
_MOST_READS = 4
_ENOUGH = 0.5
_LEAST = 0.34
_SHORTEST = 20
_FLOOR = 0.66
_CONTEXT_LINES = 8


def research(conversation: Conversation, offers: Offers) -> Message:
    """Take the researcher's next turn."""
    brief = read_brief(conversation)
    searched = conversation.turns_of(*(tool.name for tool in offers.searches))
    if not searched:
        queries = first_queries(brief.question)
        return _search(conversation, offers, queries) if queries else _give_up(conversation, offers, brief)
    query = read_query(brief.question)
    passages = _seen(conversation, offers)
    ranked = rank(query, passages)
    have_read = conversation.turns_of(*(tool.name for tool in offers.readers)) > 0
    if searched == 1 and not have_read and not _enough(query, ranked):
        asked = [
            str(exchange.arguments.get(_parameter(offers, exchange.name), ""))
            for exchange in conversation.exchanges
        ]
        again = [text for text in other_queries(brief.question) if text not in asked]
        if again:
            return _search(conversation, offers, again)
    if not have_read and ranked and (reads := _reads(ranked, offers)):
        return call_tools(conversation, reads)
    chosen = _best(query, ranked)
    finding = conclude(chosen, brief)
    while len(chosen) > 1 and not fits(conversation, offers, finding):
        chosen = chosen[:-1]
        finding = conclude(chosen, brief)
    return finish(conversation, offers, finding)


def conclude(chosen: Sequence[Candidate], brief: Brief) -> Finding:
    """Return the chosen quotes, or say honestly that there are none."""
    if not chosen:
        return Finding(
            "failed", f"Nothing found that answers: {brief.question[:300]}", (), (brief.question[:300],)
        )
    evidence = tuple(_evidence(found) for found in chosen)
    best = max(found.coverage for found in chosen)
    status = "done" if best >= _ENOUGH else "partial"
    first = [f"{entry.claim} [{number}]" for number, entry in enumerate(evidence[:2], 1)]
    rest = f" {len(evidence) - 2} more in the evidence." if len(evidence) > 2 else ""
    return Finding(status, " ".join(first) + rest, evidence)


def _search(conversation: Conversation, offers: Offers, queries: Sequence[str]) -> Message:
    calls: list[tuple[str, dict[str, Any]]] = []
    for tool in offers.searches[:3]:
        for query in queries[: 3 if len(offers.searches) == 1 else 2]:
            arguments: dict[str, Any] = {**dict(tool.fixed), tool.parameter: query}
            if "limit" in tool.properties:
                arguments["limit"] = 8
            calls.append((tool.name, arguments))
    return call_tools(conversation, calls)


def _parameter(offers: Offers, name: str) -> str:
    return next((tool.parameter for tool in offers.searches if tool.name == name), "")


def _give_up(conversation: Conversation, offers: Offers, brief: Brief) -> Message:
    finding = Finding("failed", "The objective holds no words to search for.", (), (brief.question,))
    return finish(conversation, offers, finding)


def _seen(conversation: Conversation, offers: Offers) -> list[Passage]:
    found = read_passages(conversation.exchanges, offers.searches, read=False)
    shown = read_passages(conversation.exchanges, offers.readers, read=True)
    return without_contained([*found, *shown])


def _enough(query: Query, ranked: Sequence[Candidate]) -> bool:
    good = [found for found in ranked if found.coverage >= _ENOUGH and not found.weak]
    return len(good) >= 2


def _reads(ranked: Sequence[Candidate], offers: Offers) -> list[tuple[str, dict[str, Any]]]:
    """Read around the best passages, each place once."""
    tool = next(iter(offers.readers), None)
    if tool is None:
        return []
    searching = {search.name for search in offers.searches}
    places: list[Passage] = []
    for found in ranked[:40]:
        near = any(
            found.passage.source == other.source and abs(found.passage.first_line - other.first_line) < 30
            for other in places
        )
        readable = found.passage.first_line or found.passage.source not in searching
        if readable and not near and not found.weak and len(places) < _MOST_READS:
            places.append(found.passage)
    return [(tool.name, _read_arguments(tool, place)) for place in places]


def _read_arguments(tool: LookupTool, place: Passage) -> dict[str, Any]:
    value = place.locator if tool.parameter in ("locator", "handle") else place.source
    arguments: dict[str, Any] = {**dict(tool.fixed), tool.parameter: value}
    if "context" in tool.properties:
        arguments["context"] = _CONTEXT_LINES
    return arguments


def _best(query: Query, ranked: Sequence[Candidate]) -> list[Candidate]:
    usable = [found for found in ranked if found.unit.kind != "fragment" and len(found.unit.text) <= 320]
    usable = [found for found in usable if found.coverage >= _LEAST and len(found.unit.text) >= _SHORTEST]
    strong = [found for found in usable if not found.weak]
    usable = strong or usable
    if not usable:
        return []
    best = [found.score for found in usable[:3]]
    floor = _FLOOR * sum(best) / len(best)
    return choose([found for found in usable if found.score >= floor], _MOST_QUOTES)


def _evidence(found: Candidate) -> Evidence:
    claim = clean(found.unit.text, kind=found.unit.kind, label=found.unit.label)
    return Evidence(found.passage.source, found.passage.locator_of(found.unit), found.unit.text, claim)

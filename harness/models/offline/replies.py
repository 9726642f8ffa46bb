"""The messages that policies return."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.messages import Message, Text, ToolCall
from harness.models.offline.conversation import Conversation, Exchange, mapping, sequence, string
from harness.models.offline.evidence import Evidence
from harness.models.offline.offers import Offers
from harness.models.offline.schemas import fill

_MOST_ATTEMPTS = 3
_CHARACTERS_PER_TOKEN = 3.2
"""Fewer than usual, so that an estimate errs on the side of a report that fits."""
_CAP = re.compile(r"at most (\d+)(?: tokens| may go back)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What an agent ends with, whichever way it has to hand it in."""

    status: str
    """done, partial or failed."""
    answer: str
    evidence: tuple[Evidence, ...] = ()
    unanswered: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    """For each piece of evidence the words that introduce it in an answer; may be shorter than `evidence`."""


def call_tools(conversation: Conversation, calls: Sequence[tuple[str, dict[str, Any]]]) -> Message:
    """Return a message that makes the calls together."""
    return Message(
        "assistant",
        tuple(
            ToolCall(f"call_{conversation.length}_{index}", name, json.dumps(arguments, ensure_ascii=False))
            for index, (name, arguments) in enumerate(calls)
        ),
    )


def say(text: str) -> Message:
    """Return a message of plain text, which is never empty."""
    return Message("assistant", (Text(text if text.strip() else "There is nothing to say."),))


def finish(conversation: Conversation, offers: Offers, finding: Finding) -> Message:
    """Hand in the finding by `report`, by `answer`, or as text with its sources."""
    if offers.report and len(conversation.calls_of("report")) < _MOST_ATTEMPTS:
        return call_tools(conversation, [("report", _report(offers, finding))])
    if offers.answer and len(conversation.calls_of("answer")) < _MOST_ATTEMPTS:
        return call_tools(conversation, [("answer", _answer(conversation, offers, finding))])
    return say(_with_sources(finding))


def fits(conversation: Conversation, offers: Offers, finding: Finding) -> bool:
    """Return whether a report of the finding stays within the tokens that its tool, or a refusal, allows."""
    if offers.report is None:
        return True
    answer = mapping(mapping(offers.report.parameters.get("properties")).get("answer"))
    texts = [string(answer.get("description")), *(call.result for call in conversation.calls_of("report"))]
    refused = sum(call.is_error for call in conversation.calls_of("report"))
    caps = [int(cap) for text in texts for cap in _CAP.findall(text)]
    written = len(finding.answer) + sum(
        len(entry.quote) + len(entry.claim) + 40 for entry in finding.evidence
    )
    return not caps or written / _CHARACTERS_PER_TOKEN * 1.5**refused <= min(caps)


def _report(offers: Offers, finding: Finding) -> dict[str, Any]:
    found: dict[str, Any] = {
        "status": finding.status,
        "answer": finding.answer,
        "evidence": [entry.as_json() for entry in finding.evidence],
        "artifacts": [],
    }
    properties = mapping(offers.report.parameters.get("properties")) if offers.report else {}
    if "data" in properties:
        found["data"] = fill(properties["data"], _texts(finding))
    return found


def _answer(conversation: Conversation, offers: Offers, finding: Finding) -> dict[str, Any]:
    schema: Mapping[str, Any] = offers.answer.parameters if offers.answer else {}
    properties = mapping(schema.get("properties"))
    if "claims" not in properties:
        return mapping(fill(schema, _texts(finding)))
    claims = _claims(finding)
    for refused in conversation.calls_of("answer"):
        if refused.is_error:
            claims = _without_refused(claims, refused)
    found: dict[str, Any] = {"claims": claims, "unanswered": list(finding.unanswered)}
    if "data" in properties:
        found["data"] = fill(properties["data"], _texts(finding))
    return found


def _claims(finding: Finding) -> list[dict[str, Any]]:
    """Group evidence under one claim where several sources carry the same sentence."""
    grouped: dict[str, list[dict[str, str]]] = {}
    leads: dict[str, str] = {}
    for index, entry in enumerate(finding.evidence):
        text = entry.claim or _flat(entry.quote)
        grouped.setdefault(text, []).append(entry.as_citation())
        leads.setdefault(text, finding.leads[index] if index < len(finding.leads) else "")
    return [{"text": leads[text] + text, "citations": citations} for text, citations in grouped.items()]


def _without_refused(claims: Sequence[dict[str, Any]], refused: Exchange) -> list[dict[str, Any]]:
    """Leave out the claims and citations that a complaint names, as text, as JSON or by number."""
    submitted = [mapping(claim) for claim in sequence(refused.arguments.get("claims"))]
    named = {
        string(claim.get("text"))
        for number, claim in enumerate(submitted)
        if _is_named(string(claim.get("text")), refused.result) or f"claims[{number}]" in refused.result
    }
    kept: list[dict[str, Any]] = []
    for claim in claims:
        citations = [entry for entry in claim["citations"] if not _is_named(entry["quote"], refused.result)]
        if claim["text"] not in named and citations:
            kept.append({**claim, "citations": citations})
    return kept


def _is_named(text: str, complaint: str) -> bool:
    """Return whether the beginning of a text stands in a complaint, however it is written there."""
    start = text[:40]
    spellings = (start, _flat(text)[:40], repr(start)[1:-1], json.dumps(start)[1:-1])
    return bool(start.strip()) and any(spelling in complaint for spelling in spellings)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _texts(finding: Finding) -> list[str]:
    claims = [entry.claim or _flat(entry.quote) for entry in finding.evidence]
    return [finding.answer, *claims] if finding.answer else claims


def _with_sources(finding: Finding) -> str:
    places = [
        f"[{number}] {entry.locator or entry.source}" for number, entry in enumerate(finding.evidence, 1)
    ]
    if not places or "[1]" not in finding.answer:
        return finding.answer
    return "\n".join([finding.answer, "", "Sources:", *places])


def without_claims(finding: Finding) -> Finding:
    """Return the finding with quotes alone, for readers who have the claims already."""
    return replace(finding, evidence=tuple(replace(entry, claim="") for entry in finding.evidence))

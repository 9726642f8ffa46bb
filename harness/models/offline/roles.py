"""Which part an agent plays, told by its tools first and by its brief second."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.models.offline.offers import Delegate, Offers
from harness.models.offline.terms import terms

Role = Literal["orchestrator", "researcher", "critic", "writer", "extractor"]

RESEARCH_WORDS = r"research|search|find|gather|retriev|look|investigat|explor|collect|scout|read|quote|evidence|source|analys|learn|scan"
CRITIC_WORDS = (
    r"critic|check|verif|review|challeng|validat|fact|audit|doubt|scrutin|judge|refut|contradict|weak"
)
WRITER_WORDS = r"writ|compos|draft|summar|editor|author|synthes|report|prose|narrat|final|answer"


@dataclass(frozen=True, slots=True)
class Cast:
    """The sub-agents sorted by the part they can play."""

    researchers: tuple[Delegate, ...]
    critic: Delegate | None
    writer: Delegate | None


def count_words(text: str, pattern: str) -> int:
    """Return how many words of a text begin as the pattern says."""
    return len(re.findall(rf"(?<![^\W_])(?:{pattern})", text, re.IGNORECASE))


def cast_delegates(delegates: Sequence[Delegate]) -> Cast:
    """Return who researches, checks and writes, judged by names and descriptions."""
    critic = _strongest(delegates, CRITIC_WORDS, (RESEARCH_WORDS, WRITER_WORDS))
    rest = [delegate for delegate in delegates if delegate is not critic]
    writer = _strongest(rest, WRITER_WORDS, (RESEARCH_WORDS, CRITIC_WORDS))
    rest = [delegate for delegate in rest if delegate is not writer]
    able = [delegate for delegate in rest if _strength(delegate, RESEARCH_WORDS)] or rest
    if not able:
        able, writer = ([writer], None) if writer else ([critic] if critic else [], None)
        critic = None if critic in able else critic
    return Cast(tuple(able), critic, writer)


def pick_researcher(cast: Cast, question: str, position: int) -> Delegate:
    """Return the researcher whose description suits a question, taking turns where all suit alike."""
    wanted = set(terms(question))
    suits = [len(wanted & set(terms(f"{each.name} {each.description}"))) for each in cast.researchers]
    best = max(suits)
    alike = [each for each, suit in zip(cast.researchers, suits, strict=True) if suit == best]
    return alike[position % len(alike)]


def choose_role(offers: Offers, instructions: str, objective: str, *, has_reports: bool) -> Role:
    """Return the part to play."""
    if (offers.plan or offers.delegate) and offers.delegates:
        return "orchestrator"
    if has_reports:
        checks = count_words(objective, CRITIC_WORDS) * 2 + count_words(instructions[:600], CRITIC_WORDS)
        writes = count_words(objective, WRITER_WORDS) * 2 + count_words(instructions[:600], WRITER_WORDS)
        if checks > writes or (checks == writes and offers.readers):
            return "critic"
        if writes or not offers.searches:
            return "writer"
    return "researcher" if offers.searches else "extractor"


def _strength(delegate: Delegate, pattern: str) -> int:
    """Count the telling words; a name and the first words of a description say most."""
    beginning = " ".join(delegate.description.split()[:3])
    return (
        3 * count_words(delegate.name, pattern)
        + 2 * count_words(beginning, pattern)
        + count_words(delegate.description, pattern)
    )


def _strongest(delegates: Sequence[Delegate], pattern: str, others: Sequence[str]) -> Delegate | None:
    """Return the delegate most clearly of one kind, if it is more of that kind than of any other."""
    scored = [
        (_strength(each, pattern), max(_strength(each, other) for other in others), each)
        for each in delegates
    ]
    clear = [(own - other, each) for own, other, each in scored if own > other]
    return max(clear, key=lambda entry: entry[0])[1] if clear else None

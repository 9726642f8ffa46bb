"""Units ranked by how well they answer a question."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.models.offline.passages import Passage
from harness.models.offline.quality import SAME, counts_differ, weakness
from harness.models.offline.sentences import LONGEST, Unit, is_code_source, split_units
from harness.models.offline.synonyms import synonyms
from harness.models.offline.terms import STOPWORDS, WEAK_WORDS, is_name, overlap, shingles, stem, terms, words

_MOST_UNITS = 8000
_ASKS = (
    (
        "amount",
        r"\bhow (?:many|much|long|often|fast|big|large|old|far|high)\b|\b(?:number|percentage|share|size|cost|limit) of\b",
    ),
    ("reason", r"\bwhy\b|\breasons?\b|\bcauses?\b|\bwarum\b|\bpourquoi\b"),
    ("manner", r"\bhow (?:does|do|is|are|can|to|should|did|was|were)\b"),
    ("time", r"\bwhen\b|\bwhat (?:year|date)\b|\bsince\b"),
    ("signature", r"\barguments?\b|\bparameters?\b|\bsignature\b|\breturns?\b|\boptions?\b|\bdefaults?\b"),
    (
        "definition",
        r"\bwhat (?:is|are|was|were|does)\b|\bdefin(?:e|ition)\b|\bmeaning of\b|\bwas ist\b|\bwho is\b",
    ),
    (
        "limits",
        r"\blimit(?:s|ations?)\b|\bcan it not\b|\bdrawbacks?\b|\bdisadvantages?\b|\bproblems?\b|\brisks?\b",
    ),
    ("difference", r"\bdiffer(?:s|ence|ences|ent)?\b|\bcompar\w+\b|\bversus\b|\bvs\b|\bbetter\b"),
)
_SHAPES = {
    "amount": r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million|half|twice)\b",
    "reason": r"\b(?:because|so that|since|therefore|reason|due to|in order to|avoids?|prevents?|otherwise|hence|thus|lets?|why)\b",
    "manner": r"\b(?:by|via|using|through|first|then|each|when|uses?|calls?|returns?|keeps?|sends?|creates?|runs?)\b|→|->",
    "time": r"\b(?:1[89]|20)\d\d\b|\bversion \d|\b(?:when|since|until|before|after|as soon as|whenever)\b",
    "signature": r"\bdef \w+\(|\w\(.*[=,].*\)|:param|\bparameters?\b|\barguments?\b|\bdefaults?\b|\bkeyword\b",
    "limits": r"\b(?:cannot|can't|not|only|never|limit\w*|unless|except|fails?|slow\w*|costs?|at most|must|no longer|without)\b",
    "difference": r"\b(?:than|unlike|whereas|while|but|instead|both|only|however|contrast|versus|vs|differ\w*)\b",
}


ECHO_WORDS = 6
"""So many words of a question in a row, in a text that asks, are the question again and no answer."""


@dataclass(frozen=True)
class Query:
    """What a question asks for, in terms."""

    weights: dict[str, float]
    anchors: frozenset[str]
    """Terms without which a text is about something else: names and quoted words."""
    asks: frozenset[str]
    subject: str
    """The topic words of the question, stemmed and joined, for finding definitions."""
    text: str
    compounds: dict[str, frozenset[str]]
    """Dotted and hyphenated names with their pieces; all pieces together stand for the name."""
    names: frozenset[str]
    """What a definition of the thing asked about would be called."""

    def expand(self, bag: set[str]) -> set[str]:
        """Return a bag of terms with the terms of the question that its names and synonyms stand for."""
        named = {name for name, pieces in self.compounds.items() if pieces <= bag}
        return bag | named | {term for term in self.weights if synonyms(term) & bag}

    @property
    def total(self) -> float:
        """The weight of all terms."""
        return sum(self.weights.values())


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit with its place and its worth."""

    unit: Unit
    passage: Passage
    score: float
    coverage: float
    """Share of the question's weight that the unit and its context carry."""
    weak: str
    """Why its source is weak, or an empty string."""


def read_query(question: str) -> Query:
    """Return the weighted terms and the kind of a question."""
    question = question[:6000]
    quoted = set(terms(" ".join(re.findall(r"[\"“«`']([^\"”»`'\n]{2,80})[\"”»`']", question))))
    weights: dict[str, float] = {}
    anchors: set[str] = set()
    compounds: dict[str, frozenset[str]] = {}
    names: set[str] = set()
    listed = words(question)
    for position, word in enumerate(listed):
        found = terms(word)
        if not found or word.lower() in STOPWORDS:
            continue
        weak = word.lower() in WEAK_WORDS
        named = is_name(word) or (position > 0 and word[:1].isupper() and not word.isupper())
        weight = 0.25 if weak and not named else 1.5 if named or found[0] in quoted else 1.0
        if named and len(found) == 1:
            anchors.add(found[0])
        for index, term in enumerate(found):
            share = weight if index == 0 else weight * 0.5
            weights[term] = max(weights.get(term, 0.0), share)
        if len(found) > 1:
            compounds[found[0]] = frozenset(found[1:])
            anchors.update(found[:1] if is_name(word) else ())
        if named:
            names.update([found[0], *(found[-1:] if "." in word else [])])
    heaviest = sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:24]
    asks = frozenset(name for name, pattern in _ASKS if re.search(pattern, question, re.IGNORECASE))
    subject = " ".join(term for term in weights if weights[term] >= 1.0)
    return Query(
        weights=dict(heaviest),
        anchors=frozenset(anchors & dict(heaviest).keys()),
        asks=asks,
        subject=subject,
        text=question,
        compounds=compounds,
        names=frozenset(names),
    )


@dataclass(frozen=True, slots=True)
class _Setting:
    """What surrounds a unit: terms of its heading, of its source, and of its neighbours."""

    passage: Passage
    head: set[str]
    place: set[str]
    around: set[str]
    weak: str


def rank(query: Query, passages: Sequence[Passage]) -> list[Candidate]:
    """Return the units of all passages that share terms with the question, best first."""
    split = _cut([(each, split_units(each.text, code=is_code_source(each.source))) for each in passages])
    bags = [[set(terms(unit.text)) for unit in units] for _, units in split]
    weights = _weigh(query, [bag for row in bags for bag in row])
    found: list[Candidate] = []
    for (passage, units), row in zip(split, bags, strict=True):
        place = set(terms(f"{passage.source} {passage.title}"))
        weak = weakness(passage.source, passage.text, query.text)
        for index, (unit, bag) in enumerate(zip(units, row, strict=True)):
            head = set(terms(f"{unit.heading or passage.title} {unit.label}"))
            if (bag | head) & weights.keys() and not asks_again(query.text, unit.text):
                around = set[str]().union(*row[max(0, index - 1) : index + 2])
                found.append(_judge(query, weights, unit, bag, _Setting(passage, head, place, around, weak)))
    return sorted(found, key=lambda found: (-found.score, found.passage.source, found.unit.start))


def asks_again(question: str, text: str) -> bool:
    """Return whether `text` only repeats the question: six of its words in a row, or all if it has fewer."""
    asked = re.findall(r"\w+", question.lower())
    said = " ".join(re.findall(r"\w+", text.lower()))
    length = min(ECHO_WORDS, len(asked))
    if length < 3 or "?" not in text:
        return False
    return any(
        f" {' '.join(asked[start : start + length])} " in f" {said} "
        for start in range(len(asked) - length + 1)
    )


def choose(candidates: Sequence[Candidate], count: int, *, per_source: int = 3) -> list[Candidate]:
    """Return the best and most different candidates (Maximal Marginal Relevance)."""
    prints = {id(found): shingles(found.unit.text, size=2) for found in candidates[:80]}
    chosen: list[Candidate] = []
    taken: Counter[str] = Counter()
    pool = list(candidates[:80])

    def sameness(found: Candidate) -> float:
        return max((overlap(prints[id(found)], prints[id(other)]) for other in chosen), default=0.0)

    def worth(found: Candidate) -> float:
        crowd = 0.12 * max(0, taken[found.passage.source] - 1)
        return found.score * (1 - 0.7 * sameness(found) - crowd)

    while pool and len(chosen) < count:
        best = max(pool, key=worth)
        pool.remove(best)
        new = sameness(best) < SAME or _disputes(best, chosen)
        if new and taken[best.passage.source] < per_source:
            chosen.append(best)
            taken[best.passage.source] += 1
    return chosen


def _disputes(found: Candidate, chosen: Sequence[Candidate]) -> bool:
    """What says the same with another number, elsewhere, is worth showing."""
    return all(
        counts_differ(found.unit.text, other.unit.text)
        for other in chosen
        if overlap(shingles(found.unit.text, size=2), shingles(other.unit.text, size=2)) >= SAME
    )


def covered(query: Query, bag: set[str]) -> float:
    """Return the share of the question's weight that a bag of terms carries."""
    bag = query.expand(bag)
    return sum(weight for term, weight in query.weights.items() if term in bag) / (query.total or 1.0)


def _cut(split: list[tuple[Passage, list[Unit]]]) -> list[tuple[Passage, list[Unit]]]:
    room = _MOST_UNITS
    found: list[tuple[Passage, list[Unit]]] = []
    for passage, units in split:
        found.append((passage, units[:room]))
        room -= min(room, len(units))
    return found


def _weigh(query: Query, bags: list[set[str]]) -> dict[str, float]:
    """Weigh each term by how rare it is among the units."""
    counts = Counter(term for bag in bags for term in bag if term in query.weights)
    return {
        term: weight * (0.6 + math.log(1 + len(bags) / (0.5 + counts[term])) / 4)
        for term, weight in query.weights.items()
    }


def _judge(
    query: Query, weights: dict[str, float], unit: Unit, bag: set[str], setting: _Setting
) -> Candidate:
    """Weigh what a unit says itself, what its heading says for it, its place, and its neighbours."""
    bag = query.expand(bag | set(terms(unit.defines)))
    under = query.expand(bag | setting.head)
    near = query.expand(under | setting.place)
    total = sum(weights.values()) or 1.0
    said = sum(weight * (1.0 if term in bag else 0.5) for term, weight in weights.items() if term in under)
    context = sum(weight for term, weight in weights.items() if term in near) / total
    wider = sum(weight for term, weight in weights.items() if term in near or term in setting.around) / total
    score = 0.5 * said / total + 0.3 * context + 0.1 * wider
    score += 0.08 / (1 + setting.passage.rank) + 0.1 * _closeness(unit, weights)
    score += _shape(query, unit) + _definition_bonus(query, unit)
    if query.anchors and not query.anchors & near:
        score *= 0.5
    if unit.kind == "code" and not query.names & set(terms(unit.text)):
        # Code answers a question that names it; for any other, prose says it better.
        score *= 0.6
    score *= _form(unit) * _focus(unit, weights) * (0.4 if setting.weak else 1.0)
    return Candidate(unit, setting.passage, score, max(context, 0.9 * wider), setting.weak)


def _definition_bonus(query: Query, unit: Unit) -> float:
    """Introducing a thing that the question names counts for much, a thing it only mentions for little."""
    defined = set(terms(unit.defines))
    if defined & query.names:
        return 0.15
    return 0.04 if defined & query.weights.keys() else 0.0


def _closeness(unit: Unit, weights: dict[str, float]) -> float:
    """Return how densely the matched terms stand together, 0 to 1."""
    found = [stem(word) for word in words(unit.text)]
    places = [index for index, term in enumerate(found) if term in weights]
    if len(places) < 2:
        return 0.0
    gaps = [later - earlier for earlier, later in zip(places, places[1:], strict=False)]
    return sum(1 / gap for gap in gaps) / len(gaps)


def _focus(unit: Unit, weights: dict[str, float]) -> float:
    """Return less where the terms stand only in brackets or late: the unit is then about something else."""
    outside = re.sub(r"\([^()]*\)", " ", unit.text) if unit.kind != "code" else unit.text
    found = [stem(word) for word in words(outside)]
    places = [index for index, term in enumerate(found) if weights.get(term, 0.0) >= 0.5]
    if not places:
        return 1.0 if unit.defines or unit.label else 0.75
    return 1.05 if places[0] < 8 else 0.95


def _shape(query: Query, unit: Unit) -> float:
    """Return a bonus for having the form of the answer that is asked for."""
    bonus = 0.0
    for ask in query.asks:
        if ask in _SHAPES and re.search(_SHAPES[ask], unit.text, re.IGNORECASE):
            bonus += 0.18 if ask in ("amount", "reason", "signature") else 0.06
    if "definition" in query.asks and _defines(query, unit):
        bonus += 0.2
    return min(bonus, 0.3)


def _defines(query: Query, unit: Unit) -> bool:
    head, verb, _ = re.sub(r"[*_`]", "", unit.text).partition(" is ")
    if not verb:
        head, verb, _ = unit.text.partition(" are ")
    if not verb or len(head.split()) > 8:
        return False
    return bool(set(terms(head)) & set(query.subject.split()))


def _form(unit: Unit) -> float:
    count = len(unit.text.split())
    form = {"sentence": 1.0, "row": 0.9, "code": 0.5, "fragment": 0.35}[unit.kind]
    if re.match(r"\s*(?:async\s+)?(?:def|class) \w", unit.text):
        form = 1.0
    if count < 4:
        form *= 0.5
    if re.fullmatch(r"\W*\[[^\]]*\]\([^)]*\)\W*", unit.text):
        form *= 0.3
    if len(unit.text) > LONGEST:
        form *= 0.3
    if unit.text.rstrip().endswith("?"):
        form *= 0.5
    if unit.kind in ("sentence", "row") and unit.text.isascii():
        form *= _fluency(unit.text)
    letters = sum(letter.isalpha() for letter in unit.text)
    return form if letters > 0.5 * len(unit.text) else form * 0.6


def _fluency(text: str) -> float:
    """Return how much a text reads like sentences rather than a list of names, 0.6 to 1."""
    found = words(text)
    plain = sum(word.isalpha() and word.islower() for word in found) / max(1, len(found))
    grammar = sum(word.lower() in STOPWORDS for word in found) / max(1, len(found))
    return 0.6 + 0.2 * min(1.0, plain / 0.6) + 0.2 * min(1.0, grammar / 0.2)

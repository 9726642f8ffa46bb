"""From a query in anybody's words to the few passages that answer it best.

Passages are ranked by BM25 over any of the wanted words. Common words cost much and tell little: a word that half
the passages hold would have to be scored in each of them to move almost nothing. So words are taken from the rarest
on until they have named enough passages; BM25 then sorts those.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from toolservers.corpus.words import Wanted

_MOST_PER_FILE = 3
_MOST_WORDS = 16
_ENOUGH_PASSAGES = 12_000
_FIRST_PAGE = 60
_LARGEST_PAGE = 4_000
_BEST = """
SELECT passages.path, passages.start, passages.stop, passages.title, passages.body,
    passages.digest, found.score
FROM (SELECT rowid AS id, -rank AS score FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?) AS found
JOIN passages ON passages.id = found.id
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that matched."""

    path: str
    start: int
    stop: int
    title: str
    text: str
    score: float
    """BM25, higher is better; comparable within one search only."""


class Rarity:
    """How many passages hold each word; asked once per word until the corpus changes."""

    def __init__(self) -> None:
        self._stems: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def forget(self) -> None:
        """The corpus changed."""
        self._counts = {}

    def of(self, tables: sqlite3.Connection, words: Sequence[str]) -> dict[str, int]:
        """The number of passages for each word."""
        counts = self._counts
        if len(self._stems) > 50_000:
            self._stems = {}
        stems = self._stems
        if unknown := [word for word in words if word not in stems]:
            stems.update(_stems(tables, unknown))
        for word in words:
            stem = stems.get(word, "")
            if stem not in counts:
                row = tables.execute("SELECT doc FROM vocabulary WHERE term = ?", (stem,)).fetchone()
                counts[stem] = row[0] if row else 0
        return {word: counts[stems.get(word, "")] for word in words}


def _stems(tables: sqlite3.Connection, words: list[str]) -> dict[str, str]:
    """What the tokenizer makes of each word."""
    tables.execute("DELETE FROM temp.scratch")
    tables.executemany("INSERT INTO temp.scratch(rowid, word) VALUES (?, ?)", enumerate(words))
    rows = tables.execute("SELECT doc, term FROM temp.scratch_terms WHERE offset = 0")
    return {words[place]: term for place, term in rows}


def best_passages(tables: sqlite3.Connection, wanted: Wanted, *, rarity: Rarity, limit: int) -> list[Hit]:
    """At most `limit` passages, best first, never more than three of one file and no text twice."""
    parts = {part for phrase in wanted.phrases for part in phrase}
    counts = rarity.of(tables, [*wanted.words, *sorted(parts.difference(wanted.words))])
    hits: list[Hit] = []
    for expression in _expressions(wanted, counts):
        hits = _diverse(_ranked(tables, expression), limit)
        if len(hits) >= limit:
            break
    return hits


def _expressions(wanted: Wanted, counts: dict[str, int]) -> Iterator[str]:
    """What to ask FTS5, from the narrowest question that may suffice to the widest that is still cheap."""
    present = sorted((word for word in wanted.words if counts[word]), key=lambda word: counts[word])[
        :_MOST_WORDS
    ]
    if not present:
        # Nobody wrote these words, but somebody may have written longer ones that begin like them.
        if stems := [word for word in wanted.words if len(word) > 2 or not word.isascii()]:
            yield " OR ".join(f"{_quoted(word)} *" for word in stems[:_MOST_WORDS])
        return
    if counts[present[0]] > _ENOUGH_PASSAGES:
        together = " AND ".join(map(_quoted, present[:3]))
        yield f"{{path title}} : ({together})" if len(present) == 1 else together
    chosen: list[str] = []
    total = 0
    for word in present:
        if chosen and total + counts[word] > _ENOUGH_PASSAGES:
            break
        chosen.append(word)
        total += counts[word]
    names = [
        " ".join(phrase)
        for phrase in wanted.phrases
        if all(counts[part] for part in phrase)
        and min(counts[part] for part in phrase) <= 2 * _ENOUGH_PASSAGES
    ]
    yield " OR ".join(map(_quoted, (*chosen, *names)))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _ranked(tables: sqlite3.Connection, expression: str) -> Iterator[tuple[Hit, str]]:
    """Hits with their digests, best first, fetched in pages that grow while more are wanted."""
    page, given = _FIRST_PAGE, 0
    while True:
        rows = tables.execute(_BEST, (expression, page)).fetchall()
        rows.sort(key=lambda row: (-row[6], row[0], row[1]))
        for row in rows[given:]:
            path, start, stop, title, text, digest, score = row
            yield Hit(path, start, stop, title, text, round(score, 2)), digest
        given = len(rows)
        if given < page or page >= _LARGEST_PAGE:
            return
        page *= 8


def _diverse(ranked: Iterable[tuple[Hit, str]], limit: int) -> list[Hit]:
    hits: list[Hit] = []
    texts: set[str] = set()
    per_file: Counter[str] = Counter()
    for hit, digest in ranked:
        if digest in texts or per_file[hit.path] >= _MOST_PER_FILE:
            continue
        texts.add(digest)
        per_file[hit.path] += 1
        hits.append(hit)
        if len(hits) == limit:
            break
    return hits

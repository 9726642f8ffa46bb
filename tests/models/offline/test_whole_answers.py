"""Whole answers over small folders, played through plan, briefs, reports and answer."""

from __future__ import annotations

import json
from typing import Any

from tests.models.offline.driver import Corpus, Loop, Played, play

KITCHEN = {
    "docs/cache.md": """\
# Page cache

The page cache keeps the pages that were read last. It holds at most 512 pages, because larger
caches made the collector slower.

## Eviction

When the cache is full, the page that was used least recently is evicted. Pinned pages are never
evicted, so that a running query keeps what it reads.
""",
    "docs/journal.md": """\
# Journal

The journal is an append-only file of events. It is flushed every 20 ms by one writer thread.

Replay reads the journal from its beginning and rebuilds the state of a run.
""",
    "docs/copy.md": """\
# Notes on the page cache

When the cache is full, the page that was used least recently is evicted.
""",
    "LICENSE": """\
Permission is hereby granted to anybody to use the page cache when the cache is full.
The page cache is provided without warranty.
""",
    "tests/test_cache.py": '''\
def test_full_page_cache_evicts_least_recently_used_page():
    """The page cache evicts the page that was used least recently when the cache is full."""
''',
    "docs/limits.md": "# Limits\n\nThe page cache holds at most 1024 pages in the large edition.\n",
}


def quotes(played: Played) -> list[dict[str, str]]:
    return [citation for claim in played.claims for citation in claim["citations"]]


def stands_somewhere(quote: dict[str, str], played: Played) -> bool:
    squeezed = "".join(quote["quote"].split())
    return any(
        squeezed in "".join(text.split()) and f"<<< {quote['source']}:" in text for _, text in played.shown
    )


def stands_at_its_lines(quote: dict[str, str], corpus: Corpus) -> bool:
    path, _, lines = quote["locator"].rpartition(":")
    first, last = map(int, lines.split("-"))
    return path == quote["source"] and quote["quote"] in "\n".join(corpus.files[path][first - 1 : last])


def test_every_quote_is_verbatim_and_stands_at_its_lines():
    corpus = Corpus(KITCHEN)
    for question in (
        "How does the page cache evict pages and why?",
        "What is the journal?",
        "Which pages are pinned?",
    ):
        played = play(corpus, question)

        assert quotes(played)
        assert all(stands_somewhere(quote, played) for quote in quotes(played))
        assert all(stands_at_its_lines(quote, corpus) for quote in quotes(played))
        assert all(len(quote["quote"]) <= 320 for quote in quotes(played))


def test_the_same_question_gets_the_same_answer():
    first, second = (play(Corpus(KITCHEN), "How does the page cache evict pages and why?") for _ in range(2))

    assert first == second


def test_at_least_two_researchers_work_at_once_and_the_others_build_on_them():
    (plan,) = play(Corpus(KITCHEN), "What is the journal?").plans
    by_agent: dict[str, list[dict[str, Any]]] = {}
    for task in plan["tasks"]:
        by_agent.setdefault(task["agent"], []).append(task)

    research = [task["id"] for task in by_agent["researcher"]]
    assert len(research) >= 2
    assert all(task["needs"] == [] for task in by_agent["researcher"])
    assert [task["needs"] for task in by_agent["critic"]] == [research]
    assert [task["needs"] for task in by_agent["writer"]] == [[*research, by_agent["critic"][0]["id"]]]
    assert len({task["objective"] for task in plan["tasks"]}) == len(plan["tasks"])


def test_the_answer_says_what_was_asked():
    played = play(Corpus(KITCHEN), "How many pages does the page cache hold and why?")

    text = " ".join(claim["text"] for claim in played.claims)
    assert "It holds at most 512 pages, because larger caches made the collector slower." in text
    assert "\n\n" not in text
    assert "#" not in text


def test_weak_sources_and_repeats_stay_out_where_better_ones_exist():
    played = play(Corpus(KITCHEN), "What happens when the page cache is full?")

    sources = [quote["source"] for quote in quotes(played)]
    assert "LICENSE" not in sources
    assert "tests/test_cache.py" not in sources
    assert sum("least recently" in quote["quote"] for quote in quotes(played)) == 1


def test_sources_that_disagree_are_both_shown_and_flagged():
    report = play(Corpus(KITCHEN), "How many pages does the page cache hold at most?", citations=False)

    assert "512" in report.answer
    assert "1024" in report.answer
    assert "disagree" in report.answer


def test_where_nothing_is_found_it_says_so_after_one_revised_plan():
    played = play(Corpus(KITCHEN), "Who founded the monastery of Fontenay?")

    assert len(played.plans) == 2
    assert played.plans[0]["tasks"][0]["objective"] != played.plans[1]["tasks"][0]["objective"]
    assert played.claims == []
    assert played.unanswered == ["Who founded the monastery of Fontenay?"]


def test_a_part_without_evidence_is_named():
    played = play(Corpus(KITCHEN), "How is the journal flushed, and who founded the monastery of Fontenay?")

    assert any("20 ms" in claim["text"] for claim in played.claims)
    assert played.unanswered == ["Who founded the monastery of Fontenay?"]


def test_without_citations_it_ends_with_text_and_numbered_sources():
    played = play(Corpus(KITCHEN), "What is the journal?", citations=False)

    assert played.answer.startswith("The journal is an append-only file of events. [1]")
    assert "[1] docs/journal.md:3-3" in played.answer


def test_a_refused_claim_is_withdrawn():
    def refuse(arguments: dict[str, Any]) -> str:
        bad = [claim["text"] for claim in arguments["claims"] if "append-only" in claim["text"]]
        return f"Not accepted: {bad[0][:120]!r}: the quote does not stand there" if bad else ""

    played = play(Corpus(KITCHEN), "What is the journal?", refuse=refuse)

    assert played.claims
    assert not any("append-only" in claim["text"] for claim in played.claims)


def test_agents_are_cast_by_their_descriptions_whatever_their_names():
    agents = {
        "owner": "Looks things up in the folder and gathers quotes.",
        "office": "Verifies what others found and challenges it.",
        "eve": "Composes readable prose out of findings.",
    }
    (plan,) = play(Corpus(KITCHEN), "What is the journal?", agents=agents).plans

    assert [task["agent"] for task in plan["tasks"]] == ["owner", "owner", "office", "eve"]


def test_a_team_of_researchers_alone_is_enough():
    played = play(Corpus(KITCHEN), "What is the journal?", agents={"scout": "Searches the folder."})

    assert {task["agent"] for task in played.plans[0]["tasks"]} == {"scout"}
    assert any("append-only" in claim["text"] for claim in played.claims)


def test_a_tool_that_returns_json_or_plain_text_is_a_source_too():
    hits = [
        {
            "url": "https://a.example/x",
            "text": "The journal is a list of events that only grows. It is short.",
        }
    ]
    tools = {
        "corpus.search": lambda query, limit=8: json.dumps(hits),
        "corpus.read": lambda locator, context=0: "The journal is a list of events that only grows.",
    }
    played = Loop(tools).run("What is the journal?")

    assert quotes(played)[0]["quote"] == "The journal is a list of events that only grows."
    assert quotes(played)[0]["source"].startswith("https://a.example/x")

"""What an agent hands in: reports by contract, answers by schema, citations checked by code."""

from __future__ import annotations

from pathlib import Path

import pytest
from loop_teams import brief, play

from harness import calls, says, scripted
from harness.events import CitationsVerified, DeliverableRejected

pytestmark = pytest.mark.anyio

CITED = "agents.lead.output.citations=required"


def claim(text: str, source: str, quote: str) -> dict:
    return {"text": text, "citations": [{"source": source, "locator": "somewhere", "quote": quote}]}


async def test_a_quote_is_matched_across_line_ends_and_its_lines_are_computed(folder: Path):
    lead = scripted(
        calls("desk.page", name="a"),
        calls("answer", claims=[claim("So it is.", "docs/a.md", "the truth of every  run there is.")]),
    )

    played = await play(folder, CITED, lead=lead)

    (citation,) = played.result.citations
    assert (citation.source, citation.locator, citation.quote) == (
        "docs/a.md",
        "docs/a.md:10-11",
        "the truth of\nevery run there is.",
    )
    assert played.result.output == "So it is. [1]"


async def test_an_unsupported_claim_is_sent_back_once_then_dropped_and_listed(folder: Path):
    good = claim("Good.", "docs/a.md", "The journal is the truth")
    bad = claim("Bad.", "docs/a.md", "The journal is a rumour")
    lead = scripted(
        calls("desk.page", name="a"), calls("answer", claims=[good, bad]), calls("answer", claims=[good, bad])
    )

    played = await play(folder, CITED, lead=lead)

    assert "does not stand in anything this run has read" in lead.requests[2][-1].text
    assert len(played.of(DeliverableRejected)) == 1
    assert played.result.output == "Good. [1]"
    assert [entry["claim"] for entry in played.result.dropped] == ["Bad."]
    assert played.of(CitationsVerified)[0].kept == 1


@pytest.mark.parametrize(
    ("source", "quote", "reason"),
    [
        ("docs/b.md", "The journal is the truth", "stands in docs/a.md, not in docs/b.md"),
        ("docs/a.md", "the", "too short to prove anything"),
        ("docs/never-read.md", "Windows are computed from something", "does not stand in anything"),
    ],
)
async def test_a_quote_counts_only_under_the_source_it_stands_in(folder: Path, source, quote, reason):
    lead = scripted(
        calls("desk.page", name="a"),
        *(calls("answer", claims=[claim("X.", source, quote)]) for _ in range(2)),
    )

    played = await play(folder, CITED, lead=lead)

    assert played.result.citations == ()
    assert reason in played.result.dropped[0]["reason"]


async def test_what_a_sub_agent_read_supports_the_leads_claims(folder: Path):
    lead = scripted(
        calls("delegate", **brief("scout")),
        calls("answer", claims=[claim("So.", "docs/b.md", "Windows are computed from events.")]),
    )

    played = await play(folder, CITED, lead=lead, scout=scripted(calls("desk.page", name="b"), says("read")))

    assert played.result.citations[0].locator == "docs/b.md:1"


async def test_plain_text_where_citations_are_required_supports_nothing(folder: Path):
    played = await play(folder, CITED, lead=scripted(*(says("Trust me.") for _ in range(3))))

    assert (played.result.output, played.result.citations) == ("", ())
    assert played.result.dropped[0]["claim"] == "Trust me."


async def test_a_structured_answer_must_fit_its_schema(folder: Path):
    schema = "agents.lead.output.schema={type: object, properties: {n: {type: integer}}, required: [n]}"
    lead = scripted(calls("answer", n="three"), calls("answer", n=3))

    played = await play(folder, schema, lead=lead)

    assert "n: 'three' is not of type 'integer'" in lead.requests[1][-1].text
    assert played.result.output == {"n": 3}


async def test_a_report_must_fit_its_schema(folder: Path):
    schema = "agents.scout.report.schema={type: object, properties: {n: {type: integer}}, required: [n]}"
    scout = scripted(
        says("three"),
        calls("report", status="done", answer="three", data={"n": "three"}),
        calls("report", status="done", answer="three", data={"n": 3}),
    )

    played = await play(
        folder, schema, lead=scripted(calls("delegate", **brief("scout")), says("done")), scout=scout
    )

    assert played.state.agents["lead/scout-1"].report.data == {"n": 3}
    assert len(scout.requests) == 3


async def test_a_report_over_its_cap_is_sent_back_once_then_cut(folder: Path):
    long = calls("report", status="done", answer="word " * 500, artifacts=["x" * 900])
    lead = scripted(calls("delegate", **brief("scout")), says("done"))

    played = await play(folder, "agents.scout.report.max_tokens=100", lead=lead, scout=scripted(long, long))

    report = played.state.agents["lead/scout-1"].report
    assert (report.status, report.shortened, report.artifacts) == ("partial", True, ())
    assert 0 < len(report.answer) < 600
    assert len(lead.requests[1][-1].text) < 900

"""What the entry agent hands in: data that fits a schema, and claims that stand in what was read."""

from __future__ import annotations

from typing import Any

import pytest

from harness import Citation, Message, ModelError, calls, says, scripted
from harness.events import CitationsVerified, DeliverableRejected
from harness.messages import ToolResult, user
from tests.loop.stage import RunTeam, Told, delegates, reports, results_in

pytestmark = pytest.mark.anyio

CITING = """\
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [scout], output: {citations: required}}
  scout: {instructions: Scout., tools: [desk]}
"""

PAGES = {
    "guide.md": "<<< guide.md:10-13 | The guide\nThe reactor is cooled\n  with liquid   sodium.\nNothing else.\n>>>",
    "notes.md": "<<< notes.md:1-1 | Notes\nSpent fuel rests for ten years.\n>>>",
}


def read(name: str) -> str:
    return PAGES[name]


def typed(schema: str) -> str:
    return f"agents: {{lead: {{instructions: Answer., output: {{schema: {schema}}}}}}}"


def cites(source: str, quote: str, locator: str = "line 1") -> dict[str, str]:
    return {"source": source, "locator": locator, "quote": quote}


def answers(*claims: tuple[str, dict[str, str]], **rest: Any) -> Message:
    return calls("answer", claims=[{"text": text, "citations": [cited]} for text, cited in claims], **rest)


def reason(run: Told) -> str:
    (rejected,) = run.all(DeliverableRejected)
    (text,) = rejected.reasons
    return text


async def test_an_answer_must_fit_its_schema(run_team: RunTeam):
    schema = "{type: object, properties: {line: {type: integer}}, required: [line]}"
    lead = scripted(says("At line 4."), calls("answer", line="four"), calls("answer", line=4))

    run = await run_team(typed(schema), lead=lead)

    assert run.result.output == {"line": 4}
    assert lead.requests[1][-1] == user("Not accepted: hand in your answer through the `answer` tool")
    assert run.results()[0] == ToolResult(
        "call_1_0",
        "the arguments do not fit answer: line: 'four' is not of type 'integer'",
        is_error=True,
    )


async def test_an_answer_may_be_any_json_value(run_team: RunTeam):
    lead = scripted(calls("answer", value=[1, "two"]), calls("answer", value=[1, 2]))

    run = await run_team(typed("{type: array, items: {type: integer}}"), lead=lead)

    assert run.result.output == [1, 2]
    assert run.result.succeeded


async def test_a_quote_is_found_whatever_its_white_space_and_its_lines_are_computed(run_team: RunTeam):
    lead = scripted(
        calls("desk.read", name="guide.md"),
        answers(
            ("Sodium cools it.", cites("guide.md", "is cooled with liquid\nsodium.", "guide.md:77")),
            ("It is cooled.", cites("./guide.md:1-2", "The reactor is cooled")),
        ),
    )

    run = await run_team(CITING, desk=[read], lead=lead)

    assert run.result.citations == (
        Citation(
            source="guide.md",
            locator="guide.md:10-11",
            quote="is cooled\n  with liquid   sodium.",
            claim="Sodium cools it.",
        ),
        Citation(
            source="guide.md", locator="guide.md:10", quote="The reactor is cooled", claim="It is cooled."
        ),
    )
    assert run.result.output == "Sodium cools it. [1]\n\nIt is cooled. [2]"
    assert (run.result.stop_reason, run.result.dropped) == ("done", ())


async def test_an_unsupported_quote_goes_back_once_and_is_then_dropped_and_listed(run_team: RunTeam):
    claims = answers(
        ("Fuel rests.", cites("notes.md", "Spent fuel rests for ten years.")),
        ("It is blue.", cites("notes.md", "The pool glows in blue light.")),
        unanswered=["How deep is the pool?"],
    )
    lead = scripted(calls("desk.read", name="notes.md"), claims, claims)

    run = await run_team(CITING, desk=[read], lead=lead)

    why = "the quote 'The pool glows in blue light.' does not stand in anything this run has read of notes.md"
    assert reason(run) == f"'It is blue.': {why}"
    assert run.results()[1] == ToolResult(
        "call_1_0",
        f"Not accepted: 'It is blue.': {why}. Mend or withdraw these, then call `answer` again.",
        is_error=True,
    )
    assert run.result.dropped == ({"claim": "It is blue.", "reason": why},)
    assert run.all(CitationsVerified) == [CitationsVerified(agent="lead", kept=1, dropped=run.result.dropped)]
    assert run.result.output == "Fuel rests. [1]\n\nNot answered:\n- How deep is the pool?"


async def test_a_mended_claim_counts(run_team: RunTeam):
    lead = scripted(
        calls("desk.read", name="notes.md"),
        answers(("Fuel rests.", cites("notes.md", "Fuel sleeps for ten years."))),
        answers(("Fuel rests.", cites("notes.md", "fuel rests for ten years"))),
    )

    run = await run_team(CITING, desk=[read], lead=lead)

    assert (run.result.output, run.result.dropped) == ("Fuel rests. [1]", ())


async def test_a_quote_that_stands_only_in_another_source_is_refused(run_team: RunTeam):
    claim = answers(("Fuel rests.", cites("guide.md", "Spent fuel rests for ten years.")))
    lead = scripted(calls("desk.read", name="guide.md"), calls("desk.read", name="notes.md"), claim, claim)

    run = await run_team(CITING, desk=[read], lead=lead)

    assert reason(run) == "'Fuel rests.': the quote stands in notes.md, not in guide.md"
    assert (run.result.output, run.result.citations) == ("", ())


async def test_what_a_sub_agent_read_may_be_quoted(run_team: RunTeam):
    lead = scripted(
        delegates("scout"), answers(("Fuel rests.", cites("notes.md", "Spent fuel rests for ten years.")))
    )

    run = await run_team(
        CITING,
        desk=[read],
        lead=lead,
        scout=scripted(calls("desk.read", name="notes.md"), says("Ten years.")),
    )

    assert [citation.locator for citation in run.result.citations] == ["notes.md:1"]


async def test_what_an_agent_wrote_is_no_source_even_if_it_is_read_by_its_handle(run_team: RunTeam):
    invented = "<<< moon.md:1-1 | Moon\nThe moon is made of green cheese.\n>>>"
    claim = answers(("Cheese.", cites("moon.md", "The moon is made of green cheese.")))
    lead = scripted(delegates("scout"), calls("read_result", handle="agent:lead/scout-1"), claim, claim)

    run = await run_team(CITING, lead=lead, scout=scripted(reports(invented)))

    assert "green cheese" in results_in(lead.requests[2])[-1].text
    assert (run.result.output, run.result.citations) == ("", ())


async def test_a_quote_from_the_middle_of_a_long_result_is_found_with_its_lines(run_team: RunTeam):
    def book() -> str:
        lines = [f"This is sentence number {number} of the book." for number in range(1, 2001)]
        return "<<< book.md:1-2000 | Book\n" + "\n".join(lines) + "\n>>>"

    lead = scripted(
        calls("desk.book"),
        calls("read_result", handle="result:lead/turn-1/0", offset=40_000, limit=500),
        answers(("Long.", cites("book.md", "This is sentence number 1000 of the book."))),
    )

    run = await run_team(CITING, desk=[book], lead=lead)

    assert [citation.locator for citation in run.result.citations] == ["book.md:1000"]


async def test_plain_text_where_citations_are_required_is_nudged_and_then_supports_nothing(run_team: RunTeam):
    run = await run_team(CITING, lead=scripted(*[says("It is so.")] * 3))

    assert run.origins() == ["system", "task", "assistant", "nudge", "assistant", "nudge", "assistant"]
    assert run.result.dropped == (
        {"claim": "It is so.", "reason": "it was written as plain text, without citations"},
    )
    assert (run.result.output, run.result.citations) == ("", ())


async def test_a_run_that_is_stopped_says_what_its_reports_support(run_team: RunTeam):
    quoted = {**cites("notes.md", "Spent fuel rests for ten years."), "claim": "Fuel rests."}
    invented = {**cites("notes.md", "The pool glows in blue light."), "claim": "It is blue."}
    scout = scripted(calls("desk.read", name="notes.md"), reports("Both.", evidence=[quoted, invented]))

    run = await run_team(
        CITING.replace("required}}", "required}, limits: {turns: 1}}"),
        desk=[read],
        lead=scripted(delegates("scout")),
        scout=scout,
    )

    assert (run.result.stop_reason, run.result.output) == ("limit", "Fuel rests. [1]")
    assert [entry["claim"] for entry in run.result.dropped] == ["It is blue."]


async def test_a_run_whose_model_fails_has_failed_even_if_its_reports_support_something(run_team: RunTeam):
    quoted = {**cites("notes.md", "Spent fuel rests for ten years."), "claim": "Fuel rests."}
    scout = scripted(calls("desk.read", name="notes.md"), reports("Both.", evidence=[quoted]))
    lead = scripted(delegates("scout"), ModelError("the line is dead"))

    run = await run_team(CITING, desk=[read], lead=lead, scout=scout)

    assert (run.result.stop_reason, run.result.error) == ("failed", "the line is dead")
    assert run.result.output == "Fuel rests. [1]"

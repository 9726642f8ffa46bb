"""What goes into a sub-agent, and what comes back."""

from __future__ import annotations

import pytest

from harness import Usage, calls, says, scripted, together
from harness.events import AgentRunStarted, Brief, DeliverableRejected, Evidence, Report
from harness.messages import ToolResult, system, user
from tests.loop.stage import CHAIN, PAIR, RunTeam, brief, delegates, loads, reports

pytestmark = pytest.mark.anyio

COUNTED = """\
agents:
  lead: {instructions: Lead., delegates: [scout]}
  scout:
    instructions: Scout.
    report: {schema: {type: object, properties: {line: {type: integer}}, required: [line]}}
"""

REFERRING = """\
agents:
  lead: {instructions: Lead., delegates: [scout]}
  scout:
    instructions: Scout.
    report:
      schema:
        type: object
        properties: {place: {$ref: "#/$defs/place"}}
        required: [place]
        $defs: {place: {type: object, properties: {line: {type: integer}}, required: [line]}}
"""

SHORT = """\
agents:
  lead: {instructions: Lead., delegates: [scout]}
  scout: {instructions: Scout., report: {max_tokens: 40}, limits: {turns: 2}}
"""

QUOTE = {"source": "a.md", "locator": "a.md:4", "quote": "X stands at four.", "claim": "Where X is."}


async def test_a_sub_agents_window_holds_its_instructions_and_its_brief(run_team: RunTeam):
    scout = scripted(says("X is at 4."))

    run = await run_team(PAIR, lead=scripted(delegates("scout"), says("At 4.")), scout=scout)

    assert scout.requests == [
        (
            system("Scout."),
            user(
                "# Brief\n## Objective\nFind X.\n## Expected output\nThe line.\n"
                "## Sources and tools\nThe desk.\n## Boundaries\nNothing else."
            ),
        )
    ]
    (started,) = run.all(AgentRunStarted, "lead/scout-1")
    assert (started.name, started.depth, started.parent_call, started.brief) == (
        "scout",
        1,
        "lead/turn-1/0",
        Brief(**brief()),
    )


async def test_delegating_adds_only_the_report_to_the_parents_window(run_team: RunTeam):
    def search(query: str) -> str:
        return f"line 4 has {query}"

    lead = scripted(delegates("scout"), says("X is at 4."))
    scout = scripted(calls("desk.search", query="X"), calls("desk.search", query="Y"), says("At line 4."))

    run = await run_team(PAIR, desk=[search], lead=lead, scout=scout)

    assert run.origins() == ["system", "task", "assistant", "report:lead/scout-1", "assistant"]
    assert run.origins("lead/scout-1") == [
        "system",
        "brief",
        "assistant",
        "tool:desk.search",
        "assistant",
        "tool:desk.search",
        "assistant",
    ]
    (result,) = run.results()
    assert loads(result.text) == {
        "agent": "scout",
        "handle": "agent:lead/scout-1",
        "status": "done",
        "answer": "At line 4.",
    }
    assert run.result.output == "X is at 4."


async def test_a_brief_with_a_missing_field_is_sent_back_and_starts_nobody(run_team: RunTeam):
    unbounded = brief()
    del unbounded["boundaries"]
    lead = scripted(
        calls("delegate", agent="scout", **unbounded),
        calls("delegate", agent="scuot", **brief()),
        says("No."),
    )

    run = await run_team(PAIR, lead=lead)

    assert run.results() == [
        ToolResult(
            "call_0_0",
            "the arguments do not fit delegate: arguments: 'boundaries' is a required property",
            is_error=True,
        ),
        ToolResult(
            "call_1_0",
            "the arguments do not fit delegate: agent: 'scuot' is not one of ['scout']",
            is_error=True,
        ),
    ]
    assert [event.agent for event in run.all(AgentRunStarted)] == ["lead"]


async def test_a_report_comes_back_whole(run_team: RunTeam):
    scout = scripted(
        reports("X is at 4.", status="partial", evidence=[QUOTE], artifacts=["notes.md"]),
        usage=Usage(100, 10, calls=1),
    )

    run = await run_team(PAIR, lead=scripted(delegates("scout"), says("At 4.")), scout=scout)

    assert run.state.agents["lead/scout-1"].report == Report(
        status="partial",
        answer="X is at 4.",
        evidence=(Evidence(**QUOTE),),
        artifacts=("notes.md",),
        usage=Usage(100, 10, calls=1),
    )
    (result,) = run.results()
    assert loads(result.text) == {
        "agent": "scout",
        "handle": "agent:lead/scout-1",
        "status": "partial",
        "answer": "X is at 4.",
        "evidence": [QUOTE],
        "artifacts": ["notes.md"],
    }


async def test_a_report_that_breaks_its_schema_is_sent_back_until_it_fits(run_team: RunTeam):
    scout = scripted(
        says("At line 4."),
        reports("At line 4.", data={"line": "four"}),
        reports("At line 4.", data={"line": 4}),
    )

    run = await run_team(COUNTED, lead=scripted(delegates("scout"), says("At 4.")), scout=scout)

    report = run.state.agents["lead/scout-1"].report
    assert report is not None
    assert (report.status, report.data) == ("done", {"line": 4})
    assert scout.requests[1][-1] == user("Not accepted: call `report`; plain text cannot fill its `data`")
    assert run.results("lead/scout-1") == [
        ToolResult(
            "call_1_0",
            "the arguments do not fit report: data.line: 'four' is not of type 'integer'",
            is_error=True,
        ),
        ToolResult("call_2_0", "Report accepted."),
    ]


async def test_a_report_schema_may_refer_to_its_own_definitions(run_team: RunTeam):
    scout = scripted(
        reports("There.", data={"place": {"line": "four"}}), reports("There.", data={"place": {"line": 4}})
    )

    run = await run_team(REFERRING, lead=scripted(delegates("scout"), says("At 4.")), scout=scout)

    report = run.state.agents["lead/scout-1"].report
    assert report is not None
    assert (report.status, report.data) == ("done", {"place": {"line": 4}})


async def test_a_report_over_its_cap_is_sent_back_once_and_then_cut(run_team: RunTeam):
    scout = scripted(reports("long " * 100), reports("longer " * 100))

    run = await run_team(SHORT, lead=scripted(delegates("scout"), says("Too long.")), scout=scout)

    (rejected,) = run.all(DeliverableRejected)
    assert rejected.reasons[0].endswith("tokens; at most 40 may go back")
    report = run.state.agents["lead/scout-1"].report
    assert report is not None
    assert (report.status, report.shortened) == ("partial", True)
    assert report.answer
    assert ("longer " * 100).startswith(report.answer)
    assert len(report.answer) < 300


async def test_a_plain_text_over_the_cap_is_cut_too_even_where_a_limit_ends_the_agent(run_team: RunTeam):
    scout = scripted(says("long " * 5000), calls("report", status="done"))

    run = await run_team(SHORT, lead=scripted(delegates("scout"), says("Too long.")), scout=scout)

    report = run.state.agents["lead/scout-1"].report
    assert report is not None
    assert (report.status, report.shortened, report.stop_reason) == (
        "partial",
        True,
        "limit: turns of lead/scout-1",
    )
    assert len(run.results()[0].text) < 600


async def test_delegations_made_together_number_their_agents_in_the_order_of_the_calls(run_team: RunTeam):
    lead = scripted(together(delegates("scout", "Do a."), delegates("scout", "Do b.")), says("Both."))

    run = await run_team(PAIR, lead=lead, scout=scripted(says("Done.")))

    briefs = {event.agent: event.brief for event in run.all(AgentRunStarted) if event.brief}
    assert {path: brief.objective for path, brief in briefs.items()} == {
        "lead/scout-1": "Do a.",
        "lead/scout-2": "Do b.",
    }


async def test_a_failed_report_is_an_error_to_the_parent(run_team: RunTeam):
    run = await run_team(
        PAIR, lead=scripted(delegates("scout"), says("Nothing.")), scout=scripted(reports("No X.", "failed"))
    )

    (result,) = run.results()
    assert (result.is_error, loads(result.text)["status"], loads(result.text)["answer"]) == (
        True,
        "failed",
        "No X.",
    )


async def test_agents_that_delegate_report_to_the_one_that_asked_them(run_team: RunTeam):
    middle = scripted(delegates("scout", "Do it."), says("The scout did it."))

    run = await run_team(
        CHAIN,
        lead=scripted(delegates("middle"), says("It is done.")),
        middle=middle,
        scout=scripted(says("I did it.")),
    )

    assert list(run.state.agents) == ["lead", "lead/middle-1", "lead/middle-1/scout-1"]
    assert run.origins("lead/middle-1") == [
        "system",
        "brief",
        "assistant",
        "report:lead/middle-1/scout-1",
        "assistant",
    ]
    assert run.result.output == "It is done."

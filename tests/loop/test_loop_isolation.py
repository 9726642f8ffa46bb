"""What must not cross between agents, and what one of them may not do to the others."""

from __future__ import annotations

import anyio
import pytest

from harness import Message, ModelError, ScriptedModel, calls, says, scripted, together
from harness.messages import Reasoning, Text, ToolResult
from tests.loop.stage import (
    PAIR,
    RunTeam,
    assert_balanced,
    brief,
    by_objective,
    delegates,
    loads,
    plans,
    reports,
    results_in,
    task,
)

pytestmark = pytest.mark.anyio

TRIO = """\
agents:
  lead: {instructions: CANARY-lead-instructions, tools: [desk], delegates: [scout, clerk]}
  scout: {instructions: CANARY-scout-instructions, tools: [desk]}
  clerk: {instructions: CANARY-clerk-instructions, tools: [desk]}
"""


def read(name: str) -> str:
    return f"CANARY-{name}-result"


def seen(model: ScriptedModel) -> str:
    """Everything that was ever sent to a model."""
    return "\n".join(repr(message) for request in model.requests for message in request)


def thinks(name: str, reply: Message) -> Message:
    reasoning = Reasoning(
        f"CANARY-{name}-thinking", "scripted", "scripted", f'{{"x": "CANARY-{name}-payload"}}'
    )
    return Message("assistant", (reasoning, *reply.parts))


async def test_each_agent_sees_its_own_window_and_the_reports_it_asked_for_and_nothing_else(
    run_team: RunTeam,
):
    lead = scripted(
        thinks("lead", calls("desk.read", name="lead")),
        thinks(
            "lead",
            plans(
                task("a", "scout", objective="CANARY-scout-brief"),
                task("b", "clerk", objective="CANARY-clerk-brief"),
            ),
        ),
        thinks("lead", delegates("clerk", "CANARY-second-brief")),
        says("Done."),
    )
    scout = scripted(
        thinks("scout", calls("desk.read", name="scout")), thinks("scout", reports("SCOUT-report"))
    )
    clerk = scripted(thinks("clerk", calls("desk.read", name="clerk")), thinks("clerk", says("CLERK-report")))

    await run_team(TRIO, desk=[read], lead=lead, scout=scout, clerk=clerk)

    own = {
        "lead": ["instructions", "result", "thinking", "payload"],
        "scout": ["instructions", "result", "thinking", "payload", "brief"],
        "clerk": ["instructions", "result", "thinking", "payload", "brief"],
    }
    for name, model in {"lead": lead, "scout": scout, "clerk": clerk}.items():
        text = seen(model)
        foreign = [f"CANARY-{other}-{kind}" for other in own if other != name for kind in own[other]]
        asked = ["CANARY-scout-brief", "CANARY-clerk-brief"] if name == "lead" else []
        assert [canary for canary in foreign if canary in text and canary not in asked] == []
        assert [canary for canary in own[name] if f"CANARY-{name}-{canary}" not in text] == []
    assert "What is X?" not in seen(scout) + seen(clerk)
    assert "report" not in seen(scout).replace("SCOUT-report", "")
    assert all(word in seen(lead) for word in ("SCOUT-report", "CLERK-report"))
    first, second = (request for request in clerk.requests if len(request) == 2)
    assert ("CANARY-clerk-brief" in repr(first), "CANARY-second-brief" in repr(first)) == (True, False)
    assert ("CANARY-clerk-brief" in repr(second), "CANARY-second-brief" in repr(second)) == (False, True)


async def test_reading_a_sub_agents_work_by_its_handle_shows_no_thinking(run_team: RunTeam):
    scout = scripted(thinks("scout", calls("desk.read", name="scout")), thinks("scout", says("Found.")))
    lead = scripted(delegates("scout"), calls("read_result", handle="agent:lead/scout-1"), says("Done."))

    await run_team(PAIR, desk=[read], lead=lead, scout=scout)

    text = results_in(lead.requests[-1])[-1].text
    assert text.startswith("[system]\nScout.\n\n[brief]\n# Brief\n")
    assert text.endswith(
        '[assistant]\ndesk.read({"name":"scout"})\n\n[tool:desk.read]\nCANARY-scout-result\n\n[assistant]\nFound.'
    )


async def test_only_ones_own_handles_and_those_of_agents_below_can_be_read(run_team: RunTeam):
    def flood(mark: str) -> str:
        return f"{mark} " * 10_000

    def peek(*handles: str) -> Message:
        return together(*(calls("read_result", handle=handle, limit=5) for handle in handles))

    agents = """\
    agents:
      lead: {instructions: Lead., tools: [desk], delegates: [middle, scout]}
      middle: {instructions: Middle., delegates: [scout]}
      scout: {instructions: Scout., tools: [desk]}
    """
    places = ["agent:lead", "result:lead/turn-1/0", "agent:lead/scout-1", "result:lead/scout-1/turn-1/0"]
    below = ["agent:lead/middle-1/scout-1", "result:lead/middle-1/scout-1/turn-1/0"]
    lead = scripted(
        calls("desk.flood", mark="lead"),
        delegates("scout"),
        delegates("middle"),
        peek(*places, *below, "agent:lead/middle", "nonsense"),
        says("Done."),
    )
    middle = scripted(delegates("scout"), peek(*places, *below, "agent:lead/middle-1"), says("Done."))
    scout = scripted(calls("desk.flood", mark="scout"), says("Done."))

    run = await run_team(agents, desk=[flood], lead=lead, middle=middle, scout=scout)

    assert [result.is_error for result in run.results()[3:]] == [True, *[False] * 5, True, True]
    assert [result.is_error for result in run.results("lead/middle-1")[1:]] == [
        *[True] * 4,
        False,
        False,
        True,
    ]
    assert run.results("lead/middle-1")[1].text == "there is nothing to read at 'agent:lead'"


async def test_a_long_result_is_shown_as_head_and_tail_and_read_on_by_its_handle(run_team: RunTeam):
    def count() -> str:
        return "".join(f"{number:07}\n" for number in range(10_000))

    lead = scripted(
        calls("desk.count"),
        calls("read_result", handle="result:lead/turn-1/0", offset=40_000, limit=16),
        says("Done."),
    )

    run = await run_team(desk=[count], lead=lead)

    first, second = run.results()
    assert first.text.startswith("0000000\n0000001\n")
    assert first.text.endswith("0009998\n0009999\n")
    assert len(first.text) < 25_000
    assert 'read_result(handle="result:lead/turn-1/0", offset=18000) reads on' in first.text
    assert second == ToolResult(
        "call_1_0", "0005000\n0005001\n\n[... 39,984 characters follow; next offset 40016 ...]"
    )


async def test_what_is_denied_to_a_parent_is_denied_to_all_that_work_for_it(run_team: RunTeam):
    denying = PAIR + "permissions: [{tool: desk.read, agent: lead, allow: no}]"
    scout = scripted(calls("desk.read", name="secret"), says("Denied."))

    run = await run_team(
        denying, desk=[read], lead=scripted(delegates("scout"), says("Denied.")), scout=scout
    )

    assert run.results("lead/scout-1") == [
        ToolResult("call_0_0", "the team file denies desk.read to lead (permissions[0])", is_error=True)
    ]


async def test_a_flood_from_a_child_reaches_neither_its_parent_nor_its_siblings(run_team: RunTeam):
    def flood() -> str:
        return "flood " * 1_700_000

    flooding = [
        calls("desk.flood"),
        reports("flood " * 300_000, evidence=[{"source": "s" * 300_000, "locator": "l", "quote": "q"}] * 3),
        reports("flood " * 300_000, artifacts=["a" * 300_000] * 3),
    ]
    scout = scripted(*flooding)
    lead = scripted(together(delegates("scout"), delegates("clerk")), says("Done."))
    clerk = scripted(says("CLERK-report"))

    run = await run_team(TRIO, desk=[flood], lead=lead, scout=scout, clerk=clerk)

    assert run.result.output == "Done."
    first, second = run.results()
    assert len(first.text) < 12_000
    assert loads(second.text)["answer"] == "CLERK-report"
    assert "flood" not in seen(clerk)


async def test_data_that_floods_is_left_out_of_the_report(run_team: RunTeam):
    agents = """\
    agents:
      lead: {instructions: Lead., delegates: [scout]}
      scout: {instructions: Scout., report: {schema: {type: object}}}
    """
    scout = scripted(*[reports("There.", data={"x": "flood " * 300_000})] * 2)

    run = await run_team(agents, lead=scripted(delegates("scout"), says("Done.")), scout=scout)

    assert len(run.results()[0].text) < 1000
    report = run.state.agents["lead/scout-1"].report
    assert report is not None
    assert (report.answer, report.data, report.shortened) == ("There.", None, True)


@pytest.mark.parametrize("error", [ModelError("the model is broken"), RuntimeError("the adapter is broken")])
async def test_a_child_whose_model_raises_leaves_its_siblings_and_parent_working(
    run_team: RunTeam, error: Exception
):
    lead = scripted(plans(task("a"), task("b"), task("c", "scout", "b")), says("Done."))
    scout = scripted(by_objective(a=error, b=says("B."), c=says("C.")))

    run = await run_team(PAIR, lead=lead, scout=scout)

    outcome = {report["id"]: report["status"] for report in loads(run.results()[0].text)["tasks"]}
    assert outcome == {"a": "failed", "b": "done", "c": "done"}
    assert run.result.output == "Done."
    assert_balanced(run.recorded)


async def test_a_child_that_is_cut_off_leaves_its_siblings_and_parent_working(run_team: RunTeam):
    scout_is_over = anyio.Event()

    async def hang() -> str:
        try:
            await anyio.Event().wait()
        finally:
            scout_is_over.set()
        return "never"

    async def work() -> str:
        await scout_is_over.wait()
        return "worked"

    agents = TRIO.replace("CANARY-scout-instructions,", "Scout., limits: {minutes: 0.001},")

    run = await run_team(
        agents,
        desk=[hang, work],
        lead=scripted(together(delegates("scout"), delegates("clerk")), says("Done.")),
        scout=scripted(calls("desk.hang")),
        clerk=scripted(calls("desk.work"), says("CLERK-report")),
    )

    assert [loads(result.text)["status"] for result in run.results()] == ["failed", "done"]
    assert run.result.output == "Done."
    assert_balanced(run.recorded)


async def test_a_brief_is_all_a_sub_agent_is_told_whatever_else_the_parent_said_in_the_reply(
    run_team: RunTeam,
):
    lead = scripted(
        Message("assistant", (Text("CANARY-said-aloud"), *calls("delegate", agent="scout", **brief()).parts)),
        says("Done."),
    )
    scout = scripted(says("Found."))

    await run_team(PAIR, lead=lead, scout=scout)

    assert "CANARY" not in seen(scout)

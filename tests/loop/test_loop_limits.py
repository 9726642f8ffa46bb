"""Limits end what they limit, cleanly, with what it has."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from harness import Message, ScriptedModel, Usage, calls, says, scripted, together
from harness.events import AgentRunFinished, LimitWasReached, RunStarted, ToolCallFinished, TurnStarted
from harness.messages import ToolResult
from harness.models.port import Price
from harness.models.scripted import Reply
from tests.loop.stage import CHAIN, PAIR, RunTeam, assert_balanced, delegates, loads, plans, reports, task

pytestmark = pytest.mark.anyio


class Priced(ScriptedModel):
    """A scripted model that costs a dollar for each million tokens."""

    price = Price(1.0, 1.0)


def again(*finds: str) -> Reply:
    """A script that says something and calls the tool, for ever."""

    def reply(messages: Sequence[Message]) -> Message:
        return together(*map(says, finds), calls("desk.look", page=len(messages)))

    return reply


def look(page: int) -> str:
    return f"page {page}"


@pytest.mark.parametrize(
    ("limit", "reached"),
    [("turns: 3", ("turns", 3)), ("tokens: 3500", ("tokens", 3500)), ("usd: 0.0035", ("usd", 0.0035))],
)
async def test_the_runs_own_limit_ends_it_with_what_it_has(
    run_team: RunTeam, limit: str, reached: tuple[str, float]
):
    lead = Priced(
        calls("desk.look", page=1),
        says(""),
        again(),
        usage=Usage(900, 100, calls=1),
    )

    run = await run_team(
        f"agents: {{lead: {{instructions: Answer., tools: [desk]}}}}\nlimits: {{{limit}}}",
        desk=[look],
        lead=lead,
    )

    name, allowed = reached
    assert run.all(LimitWasReached) == [
        LimitWasReached(agent="lead", limit=name, scope="the run", allowed=allowed)
    ]
    assert (run.result.stop_reason, run.result.error) == ("limit", f"stopped by the limit: {name} of the run")
    assert len(run.all(TurnStarted)) == 3
    assert run.result.usage == Usage(2700, 300, calls=3)
    assert run.result.cost == pytest.approx(0.003)
    assert_balanced(run.recorded)


async def test_a_run_that_runs_out_of_turns_gives_the_last_thing_it_said(run_team: RunTeam):
    lead = scripted(says("X may be at 4."), says("X is at 4."))
    citing = "{instructions: Answer., output: {schema: {type: object}}}"

    run = await run_team(f"agents: {{lead: {citing}}}\nlimits: {{turns: 1}}", lead=lead)

    assert run.result.stop_reason == "limit"


async def test_the_runs_turns_are_those_of_all_agents(run_team: RunTeam):
    run = await run_team(
        PAIR + "limits: {turns: 4}",
        desk=[look],
        lead=scripted(delegates("scout"), says("x")),
        scout=scripted(again()),
    )

    assert run.result.stop_reason == "limit"
    assert [event.agent for event in run.all(TurnStarted)] == ["lead", *["lead/scout-1"] * 3]
    assert run.all(LimitWasReached) == [
        LimitWasReached(agent="lead/scout-1", limit="turns", scope="the run", allowed=4),
        LimitWasReached(agent="lead", limit="turns", scope="the run", allowed=4),
    ]


async def test_a_sub_agents_own_limit_ends_only_the_sub_agent(run_team: RunTeam):
    agents = """\
    agents:
      lead: {instructions: Lead., delegates: [scout]}
      scout: {instructions: Scout., limits: {turns: 2}, report: {schema: {type: object}}}
    """
    scout = scripted(says("X may be at 4."), says("X is probably at 4."), says("Never asked."))

    run = await run_team(agents, lead=scripted(delegates("scout"), says("Perhaps at 4.")), scout=scout)

    (result,) = run.results()
    assert result == ToolResult(result.call_id, result.text)
    assert loads(result.text) == {
        "agent": "scout",
        "handle": "agent:lead/scout-1",
        "status": "partial",
        "answer": "X is probably at 4.",
        "stopped_by": "limit: turns of lead/scout-1",
    }
    assert (run.result.stop_reason, run.result.output) == ("done", "Perhaps at 4.")


async def test_the_minutes_of_a_run_end_even_a_tool_that_never_returns(run_team: RunTeam):
    async def hang() -> str:
        await anyio.Event().wait()
        return "never"

    lead = scripted(together(calls("desk.hang"), calls("desk.look", page=1)), says("Never."))

    run = await run_team(
        "agents: {lead: {instructions: Answer., tools: [desk]}}\nlimits: {minutes: 0.001}",
        desk=[hang, look],
        lead=lead,
    )

    assert (run.result.stop_reason, run.result.error) == ("limit", "stopped by the limit: minutes of the run")
    assert run.all(LimitWasReached) == [
        LimitWasReached(agent="lead", limit="minutes", scope="the run", allowed=0.001)
    ]
    assert {event.tool: event.error_type for event in run.all(ToolCallFinished)} == {
        "desk.look": "",
        "desk.hang": "cancelled",
    }
    assert_balanced(run.recorded)


async def test_the_minutes_of_a_run_end_its_sub_agents_too(run_team: RunTeam):
    async def hang() -> str:
        await anyio.Event().wait()
        return "never"

    run = await run_team(
        CHAIN + "limits: {minutes: 0.001}",
        desk=[hang],
        lead=scripted(delegates("middle")),
        middle=scripted(plans(task("a"), task("b"))),
        scout=scripted(calls("desk.hang")),
    )

    assert run.result.stop_reason == "limit"
    assert {event.agent: event.report.stop_reason for event in run.all(AgentRunFinished)} == dict.fromkeys(
        ["lead/middle-1/scout-1", "lead/middle-1/scout-2", "lead/middle-1", "lead"],
        "limit: minutes of the run",
    )
    assert_balanced(run.recorded)


async def test_the_minutes_of_a_sub_agent_end_only_the_sub_agent(run_team: RunTeam):
    async def hang() -> str:
        await anyio.Event().wait()
        return "never"

    agents = """\
    agents:
      lead: {instructions: Lead., delegates: [scout]}
      scout: {instructions: Scout., tools: [desk], limits: {minutes: 0.001}}
    """

    run = await run_team(
        agents,
        desk=[hang],
        lead=scripted(delegates("scout"), says("Nothing.")),
        scout=scripted(calls("desk.hang")),
    )

    assert loads(run.results()[0].text)["stopped_by"] == "limit: minutes of lead/scout-1"
    assert (run.result.stop_reason, run.result.output) == ("done", "Nothing.")
    assert_balanced(run.recorded)


async def test_at_the_depth_limit_nobody_is_offered_to_delegate(run_team: RunTeam):
    lead = scripted(delegates("middle"), says("Done."))
    middle = scripted(says("I work alone."))

    run = await run_team(CHAIN + "limits: {depth: 1}", lead=lead, middle=middle)

    assert lead.offered[0] == ("delegate", "plan", "read_result")
    assert middle.offered == [("report",)]
    assert run.result.succeeded


async def test_an_agents_own_depth_limit_holds_for_all_that_work_for_it(run_team: RunTeam):
    agents = CHAIN.replace("{instructions: Lead.,", "{instructions: Lead., limits: {depth: 1},")
    middle = scripted(says("I work alone."))

    await run_team(agents, lead=scripted(delegates("middle"), says("Done.")), middle=middle)

    assert middle.offered == [("report",)]


class Desks:
    """Counts who works at the same time."""

    def __init__(self, size: int) -> None:
        self.most = 0
        self._now = 0
        self._size = size
        self._full = anyio.Event()

    async def sit(self) -> str:
        self._now += 1
        self.most = max(self.most, self._now)
        if self._now == self._size:
            self._full.set()
        await self._full.wait()
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        self._now -= 1
        return "sat"


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_at_most_so_many_agents_work_at_once(run_team: RunTeam, size: int):
    desks = Desks(size)
    lead = scripted(plans(*(task(f"t{number}") for number in range(10))), says("Done."))

    run = await run_team(
        PAIR + f"limits: {{parallel: {size}}}",
        desk=[desks.sit],
        lead=lead,
        scout=scripted(calls("desk.sit"), says("Done.")),
    )

    assert desks.most == size
    assert run.result.succeeded


async def test_an_agents_own_parallel_limit_holds_for_its_sub_agents(run_team: RunTeam):
    desks = Desks(2)
    agents = PAIR.replace("delegates: [scout]", "delegates: [scout], limits: {parallel: 2}")
    lead = scripted(plans(*(task(f"t{number}") for number in range(6))), says("Done."))

    run = await run_team(
        agents, desk=[desks.sit], lead=lead, scout=scripted(calls("desk.sit"), says("Done."))
    )

    assert desks.most == 2
    assert run.result.succeeded


async def test_nested_delegation_does_not_deadlock_where_one_agent_may_work_at_once(run_team: RunTeam):
    desks = Desks(1)
    agents = """\
    agents:
      lead: {instructions: Lead., delegates: [middle]}
      middle: {instructions: Middle., delegates: [low]}
      low: {instructions: Low., delegates: [scout]}
      scout: {instructions: Scout., tools: [desk]}
    limits: {parallel: 1}
    """

    run = await run_team(
        agents,
        desk=[desks.sit],
        lead=scripted(plans(task("a", "middle"), task("b", "middle"), task("c", "middle")), says("Done.")),
        middle=scripted(together(delegates("low"), delegates("low")), reports("Done.")),
        low=scripted(together(delegates("scout"), delegates("scout")), delegates("scout"), reports("Done.")),
        scout=scripted(calls("desk.sit"), reports("Done.")),
    )

    assert run.result.output == "Done."
    assert desks.most == 1
    assert len(run.state.agents) == 1 + 3 + 6 + 18
    assert run.all(RunStarted)[0].entry == "lead"

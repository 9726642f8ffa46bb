"""How much an agent is asked to think, turn by turn, and what ends thinking that leads nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from stage import OpenTeam, RunTeam, Told, brief, opener, told

from harness import FunctionToolset, Message, ScriptedModel, Usage, calls, says, together
from harness.events import (
    LimitWasReached,
    ModelCallFinished,
    ModelCallStarted,
    ReplanRequested,
    ThinkingDecided,
)
from harness.loop.thinking import ACT_NOW, Situation, decide
from harness.messages import Reasoning
from harness.models.port import ThinkingDelta
from harness.models.thinking import Thinking, ThinkingPlan
from harness.replay import carry_out_again

pytestmark = pytest.mark.anyio

AUTO = "agents: {lead: {instructions: Answer., tools: [desk, shop], thinking: auto, limits: {turns: 6}}}"


@pytest.mark.parametrize(
    ("situation", "effort", "budget"),
    [
        (Situation(phase="plan"), "high", 16_384),
        (Situation(phase="act"), "low", 2_048),
        (Situation(phase="verify"), "medium", 8_192),
        (Situation(phase="finish"), "low", 2_048),
        (Situation(phase="recover", failing_turns=1), "medium", 8_192),
        (Situation(phase="recover", failing_turns=2), "high", 16_384),
        (Situation(phase="plan", window_share=0.9), "medium", 8_192),
        (Situation(phase="plan", tokens_left=6_000, turns_left=3), "high", 2_000),
        (Situation(phase="plan", thinking_left=6_000), "high", 3_000),
        (Situation(phase="act", think_only_turns=2), "low", 1_024),
        (Situation(phase="act", think_only_turns=3), "low", 512),
        (Situation(phase="act", think_only_turns=2, can_require_calls=True), "low", 2_048),
        (Situation(phase="recover", failing_turns=4, repeats=4), "low", 2_048),
        (Situation(phase="plan", tokens_left=500, turns_left=10), "high", 50),
        (Situation(phase="plan", tokens_left=500, turns_left=10, can_do_without=True), None, 0),
    ],
)
def test_the_amount_follows_from_where_the_run_stands(situation: Situation, effort: str, budget: int):
    level = decide(situation)

    assert (level.effort, level.budget) == (effort, budget)


def look(place: str = "desk") -> str:
    """Look."""
    return f"{place}: nothing"


def fix(how: str) -> str:
    """Fix it."""
    if how != "well":
        raise ValueError(f"{how} does not do")
    return "fixed"


READS = FunctionToolset("desk", look, effect="read")
WRITES = FunctionToolset("shop", fix, effect="once")


def thinks(text: str = "hm") -> Message:
    """A reply that only thinks."""
    return Message("assistant", (Reasoning(text),))


class Free(ScriptedModel):
    """A model that can be told about thinking, and cannot be told to call a tool."""

    def plan_thinking(self, thinking: Thinking) -> ThinkingPlan:
        return ThinkingPlan({}, "hard", "its word", can_require_tools=False)


def script() -> list[Message]:
    """A run that plans, acts, fails twice, mends it, looks whether it holds, and hands in."""
    return [
        calls("desk.look"),
        calls("shop.fix", how="badly"),
        calls("shop.fix", how="worse"),
        calls("shop.fix", how="well"),
        calls("desk.look", place="shop"),
        says("It is fixed."),
    ]


GOLDEN = [
    ("high", 16_384, "planning"),
    ("low", 2_048, "routine"),
    ("medium", 8_192, "after a failure"),
    ("high", 16_384, "after 2 failing turns in a row"),
    ("medium", 8_192, "checking what was changed"),
    ("low", 2_048, "finishing"),
]


async def test_thinking_follows_a_run_from_its_plan_over_failures_to_its_end(run_team: RunTeam):
    lead = ScriptedModel(*script())

    run = await run_team(AUTO, toolsets=[READS, WRITES], lead=lead)

    decided = run.all(ThinkingDecided)
    assert [(one.effort, one.budget, one.reason) for one in decided] == GOLDEN
    asked = [one.thinking for one in lead.options]
    assert [(one.effort, one.budget) for one in asked if one] == [level[:2] for level in GOLDEN]
    assert all(one.enforced_by == "scripted models do not think" for one in decided)


async def test_a_turn_that_went_well_ends_the_recovery(run_team: RunTeam):
    lead = ScriptedModel(calls("shop.fix", how="badly"), calls("desk.look"), calls("desk.look"), says("No."))

    run = await run_team(AUTO, toolsets=[READS, WRITES], lead=lead)

    assert [one.effort for one in run.all(ThinkingDecided)] == ["high", "medium", "low", "low"]


async def test_after_two_turns_of_thinking_alone_a_call_is_demanded(run_team: RunTeam):
    lead = ScriptedModel(thinks(), thinks(), calls("desk.look"), says("Nothing."))

    run = await run_team(AUTO, toolsets=[READS, WRITES], lead=lead)

    assert [one.tool_choice for one in lead.options] == ["auto", "auto", "required", "auto"]
    assert run.all(ModelCallStarted)[2].tool_choice == "required"
    assert run.all(ThinkingDecided)[2].reason == "an action is due: 2 turns without one"
    assert run.result.output == "Nothing."


async def test_where_none_can_be_demanded_it_is_told_once_and_given_half_each_time(run_team: RunTeam):
    rejected = says("Not what was asked for.")
    lead = Free(rejected, thinks(), rejected, thinks(), calls("submit_answer", answer="4"))
    team = AUTO.replace(
        "thinking: auto",
        "thinking: auto, output: {schema: {type: object, properties: {answer: {type: string}}, "
        "required: [answer]}}",
    )

    run = await run_team(team, toolsets=[READS, WRITES], lead=lead)

    assert [one.tool_choice for one in lead.options] == ["auto"] * len(lead.options)
    assert [one.budget for one in run.all(ThinkingDecided)][:4] == [16_384, 2_048, 1_024, 512]
    told_so = [entry for entry in run.state.agents["lead"].window.entries if entry.message.text == ACT_NOW]
    assert len(told_so) == 1


async def test_a_model_that_only_thinks_when_it_is_told_to_act_is_stuck(run_team: RunTeam):
    run = await run_team(AUTO, toolsets=[READS, WRITES], lead=ScriptedModel(*[thinks()] * 5))

    assert run.result.stop_reason == "failed"
    assert "empty reply" in run.result.error
    assert len(run.all(ModelCallFinished)) == 3


async def test_the_third_identical_call_asks_for_another_plan_and_not_for_more_thought(run_team: RunTeam):
    lead = ScriptedModel(*[calls("desk.look")] * 4, calls("desk.look", place="door"), says("Nothing."))

    run = await run_team(AUTO, toolsets=[READS, WRITES], lead=lead)

    [asked] = run.all(ReplanRequested)
    assert asked.reason == "the same calls were made 3 turns in a row"
    reasons = [one.reason.partition(" for the ")[0] for one in run.all(ThinkingDecided)]
    assert reasons == ["planning", "routine", "routine", "planning", "the same calls", "finishing"]


async def test_a_call_that_fails_three_times_alike_asks_for_one_other_plan(run_team: RunTeam):
    lead = ScriptedModel(*[calls("shop.fix", how="badly")] * 3, says("It cannot be."))

    run = await run_team(AUTO, toolsets=[READS, WRITES], lead=lead)

    assert len(run.all(ReplanRequested)) == 1


async def test_a_replay_decides_the_same_and_a_fork_with_other_thinking_decides_anew(open_team: OpenTeam):
    lead = ScriptedModel(*script())
    async with open_team(AUTO, toolsets=[READS, WRITES], lead=lead) as opened:
        first = await told(await opened.start("What is X?"))
        again = await carry_out_again(first.recorded, opened.team, {"lead": lead})
        forked = await opened.fork(
            first.result.run_id, "lead/turn-3", set={"agents.lead.thinking": {"mode": "on", "budget": 2_000}}
        )
        other = await told(forked)

    assert again.exact
    assert [one.effort for one in other.all(ThinkingDecided)][:2] == ["high", "low"]
    assert [one.budget for one in other.all(ThinkingDecided)][2:] == [2_000] * 4


async def test_a_run_that_was_cut_off_goes_on_as_it_had_decided(tmp_path: Path):
    open_team = opener(tmp_path)
    store = tmp_path / "runs"
    whole = ScriptedModel(*script())
    async with open_team(AUTO, toolsets=[READS, WRITES], store=store, lead=whole) as opened:
        run = await opened.start("What is X?")
        async for item in run.events():
            if isinstance(item.event, ThinkingDecided) and item.event.turn == 5:
                break
        await run.cancel(reason="interrupted")
    async with open_team(AUTO, toolsets=[READS, WRITES], store=store, lead=whole) as opened:
        resumed = await told(await opened.resume(run.id))

    decided = resumed.all(ThinkingDecided)
    assert [(one.effort, one.budget, one.reason) for one in decided] == GOLDEN
    assert resumed.result.output == "It is fixed."


class Thinker(ScriptedModel):
    """A model that heeds its budget, but for a tenth at most, and uses the shares of it that it is told."""

    def __init__(self, *replies: Any, shares: list[float]) -> None:
        super().__init__(*replies)
        self._shares = shares
        self.thought: list[int] = []

    def plan_thinking(self, thinking: Thinking) -> ThinkingPlan:
        return ThinkingPlan({}, "hard", "its word")

    async def respond(self, transcript: Any, options: Any, observe: Any) -> Any:
        response = await super().respond(transcript, options, observe)
        budget = options.thinking.budget or 0
        tokens = int(budget * self._shares[len(self.thought) % len(self._shares)])
        self.thought.append(tokens)
        usage = Usage(10, 1 + tokens, reasoning_tokens=tokens, calls=1)
        return type(response)(response.message, response.stop_reason, usage, response.model)


def wants(**limits: int) -> str:
    """A lead with two scouts, and a limit on the thinking of all of them."""
    rest = ", ".join(f"{name}: {value}" for name, value in limits.items())
    return f"""\
limits: {{{rest}}}
thinking: auto
agents:
  lead: {{instructions: Lead., tools: [desk], delegates: [scout]}}
  scout: {{description: Finds things., instructions: Scout., tools: [desk]}}
"""


def delegation() -> Message:
    return together(*[calls("delegate", agent="scout", **brief(f"Find {one}.")) for one in "abcd"])


def report() -> Message:
    return calls("report", status="done", answer="found")


@settings(max_examples=25, deadline=None)
@given(limit=some.integers(200, 60_000), shares=some.lists(some.floats(0, 1.1), min_size=1, max_size=7))
@pytest.mark.parametrize("what", ["thinking", "tokens"])
def test_what_is_handed_out_and_not_given_back_never_passes_the_limit(
    tmp_path_factory: pytest.TempPathFactory, what: str, limit: int, shares: list[float]
):
    team = wants(**{what: limit})
    lead = Thinker(calls("desk.look"), delegation(), calls("desk.look"), says("Done."), shares=shares)
    scout = Thinker(calls("desk.look"), calls("desk.look", place="x"), report(), shares=shares[::-1])

    async def play() -> Told:
        open_team = opener(tmp_path_factory.mktemp("team"))
        async with open_team(team, toolsets=[READS], lead=lead, scout=scout) as opened:
            return await told(await opened.start("What is X?"))

    run = anyio.run(play)
    thought = 0
    out: dict[str, int] = {}
    for item in run.recorded:
        match item.event:
            case ThinkingDecided(agent=agent, budget=budget):
                out[agent] = budget or 0
                assert not budget or thought + sum(out.values()) <= limit
            case ModelCallFinished(agent=agent, usage=usage):
                thought += usage.reasoning_tokens
                out.pop(agent, None)
            case _:
                pass
    assert thought <= 1.1 * limit


class Always(Thinker):
    """A model that cannot do without thinking."""

    def plan_thinking(self, thinking: Thinking) -> ThinkingPlan:
        return ThinkingPlan({}, "soft" if thinking.mode == "off" else "hard", "its word")


@pytest.mark.parametrize("kind", [Thinker, Always])
async def test_once_no_thinking_is_left_it_is_off_or_the_run_stops(run_team: RunTeam, kind: type[Thinker]):
    lead = kind(*[calls("desk.look", place=f"{n}") for n in range(12)], says("Done."), shares=[1.0])

    team = wants(thinking=1_000).replace("thinking: auto", "thinking: {mode: on, budget: 300}")
    run = await run_team(team, toolsets=[READS], lead=lead, scout=lead)

    assert sum(lead.thought) == 1_000
    if kind is Thinker:
        assert run.result.output == "Done."
        assert run.all(ThinkingDecided)[-1].mode == "off"
        assert run.all(ThinkingDecided)[-1].reason == "no thinking is left in the budget"
    else:
        assert run.result.stop_reason == "limit"
        assert [(one.limit, one.allowed) for one in run.all(LimitWasReached)] == [("thinking", 1_000)]
        assert "thinking" in run.result.error


class Streaming(ScriptedModel):
    """A model whose thinking can be seen while it streams, once somebody looks."""

    def __init__(self, *replies: Any) -> None:
        super().__init__(*replies)
        self.watched = anyio.Event()

    async def respond(self, transcript: Any, options: Any, observe: Any) -> Any:
        await self.watched.wait()
        for _ in range(100):
            observe(ThinkingDelta("thought "))
        return await super().respond(transcript, options, observe)


@pytest.mark.parametrize(("visible", "shown"), [("hidden", 0), ("summary", 200), ("full", 800)])
async def test_a_person_sees_as_much_of_the_thinking_as_the_team_says(
    open_team: OpenTeam, visible: str, shown: int
):
    team = AUTO.replace("thinking: auto", f"thinking: {{mode: auto, visible: {visible}}}")
    seen: list[str] = []
    lead = Streaming(says("It is 4."))
    async with open_team(team, toolsets=[READS, WRITES], lead=lead) as opened:
        run = await opened.start("What is X?")
        run.notices.listen(lambda _, notice: seen.append(notice.text))  # pyright: ignore
        lead.watched.set()
        await run.result()

    assert len("".join(seen)) == shown

"""How large a request will be is told from what the provider counted before, and estimated only for what is new."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import RunTeam, Told, calls, delegates

from harness import Message, Usage, says
from harness.events import ModelCallFinished, ModelCallStarted, WindowCompacted
from harness.loop.measure import Measure
from harness.loop.state import RunState
from harness.messages import ToolResult
from harness.models.port import CallOptions, ModelResponse, Observe, Transcript
from harness.models.scripted import Reply, ScriptedModel

pytestmark = pytest.mark.anyio

TEMPLATE = 400
"""Tokens that this provider's template adds to every request."""
THINKING = 5_000


def size(message: Message) -> int:
    """What this provider counts of a message: one token for three characters."""
    texts = [
        part.text if isinstance(part, ToolResult) else getattr(part, "text", "") for part in message.parts
    ]
    return 6 + sum(len(text) for text in texts) // 3 + 12 * len(message.tool_calls)


class Counting(ScriptedModel):
    """A scripted model whose provider counts in a way of its own, thinking that it keeps to itself included."""

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        response = await super().respond(transcript, options, observe)
        request = TEMPLATE + sum(map(size, self.requests[-1]))
        usage = Usage(request, size(response.message) + THINKING, reasoning_tokens=THINKING, calls=1)
        return replace(response, usage=usage)


def look(page: int) -> str:
    """Return a page."""
    return " ".join(f"word-{page}-{number}" for number in range(200))


def expectations(run: Told, agent: str = "lead") -> list[tuple[int, int]]:
    """What was expected of each request, and what the provider counted."""
    state, pairs = RunState(), list[tuple[int, int]]()
    expected = 0
    for item in run.recorded:
        event = item.event
        if isinstance(event, ModelCallStarted) and event.agent == agent:
            expected = state.agents[agent].measure.theirs(event.input_tokens)
        state.apply(event)
        if isinstance(event, ModelCallFinished) and event.agent == agent:
            pairs.append((expected, event.usage.input_tokens))
    return pairs


async def test_only_what_is_new_is_estimated(run_team: RunTeam):
    pages = [calls("desk.look", page=page) for page in range(8)]
    model = Counting(*pages, says("Done."))

    run = await run_team("agents: {lead: {instructions: Look., tools: [desk]}}", desk=[look], lead=model)

    first, second, *later = expectations(run)
    assert abs(first[0] - first[1]) > 200, "the first request is known by our count only"
    assert later[-1][1] > 6_000
    news = later[-1][1] - later[-2][1]
    for expected, counted in [second, *later]:
        assert abs(expected - counted) < news / 2
    ours = [event.input_tokens for event in run.all(ModelCallStarted)]
    off = abs(ours[-1] - later[-1][1])
    assert abs(later[-1][0] - later[-1][1]) < off / 2, "better than counting all of it by ourselves"


async def test_thinking_that_does_not_go_back_is_not_expected(run_team: RunTeam):
    model = Counting(calls("desk.look", page=1), says("Done."))

    run = await run_team("agents: {lead: {instructions: Look., tools: [desk]}}", desk=[look], lead=model)

    _, (expected, counted) = expectations(run)
    assert expected < counted + THINKING / 2


async def test_room_is_made_by_the_providers_count(run_team: RunTeam):
    def turns(count: int) -> list[Reply]:
        return [*(calls("desk.look", page=page) for page in range(count)), says("Done.")]

    team = """
        context: {strategies: [{clear_results: {keep: 1}}], compact_at: 0.9, window: 6000}
        agents: {lead: {instructions: Look., tools: [desk]}}
    """
    run = await run_team(team, desk=[look], lead=Counting(*turns(10)))

    assert run.result.stop_reason == "done"
    assert run.all(WindowCompacted)
    assert max(counted for _, counted in expectations(run)) <= 6_000


async def test_a_sub_agent_is_measured_by_the_one_that_waits_for_it(run_team: RunTeam):
    team = """
        agents:
          lead: {instructions: "%s", delegates: [scout]}
          scout: {instructions: "%s", limits: {tokens: 2700}}
    """ % (("word " * 2_000,) * 2)
    scout = Counting(says("Here."), name="same")
    lead = Counting(delegates("scout"), says("Done."), name="same")
    other = Counting(delegates("scout"), says("Done."), name="other")

    measured = await run_team(team, lead=lead, scout=scout)
    unmeasured = await run_team(team, lead=other, scout=scout)

    def asked(run: Told) -> int:
        return sum("scout" in event.agent for event in run.all(ModelCallStarted))

    assert (asked(measured), asked(unmeasured)) == (0, 1)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6))
def test_our_count_of_what_the_provider_counts_is_the_inverse(reported: int, counted: int, tokens: int):
    measure = Measure().after(reported, counted)

    assert measure.theirs(counted) == measure.reported
    assert measure.theirs(measure.ours(tokens)) <= max(tokens, measure.theirs(0)) + 1
    assert counted * 0.75 - 1 <= measure.reported <= counted * 2 + 2_001


class Unknown(ScriptedModel):
    """A scripted model of which something is taken for granted."""

    assumed = "the model of this test is of no known family"


async def test_what_is_assumed_of_a_model_is_noted_once_in_its_run(run_team: RunTeam):
    run = await run_team(
        "agents: {lead: {instructions: Look., tools: [desk]}}",
        desk=[look],
        lead=Unknown(calls("desk.look", page=1), says("Done.")),
    )

    assert run.result.notes == (Unknown.assumed,)
    assert [event.notes for event in run.all(ModelCallFinished)] == [(Unknown.assumed,), ()]

"""Runs with small windows live as long as they need, and are carried out again, carried on and forked as any other."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import anyio
import pytest

from harness import FunctionToolset, MemoryJournal, Message, Recorded, Usage, calls, says, scripted, together
from harness.events import ModelCallFinished, SummaryFinished, SummaryStarted, TurnStarted, WindowCompacted
from harness.loop.state import fold
from harness.models.port import CallOptions, ModelResponse, Observe, Transcript
from harness.models.scripted import ScriptedModel
from harness.models.tokens import token_counter
from harness.replay import carry_out_again
from tests.context.rooms import alone, assert_lawful, assert_pairs, compactions, lines, requests
from tests.loop.stage import OpenTeam, RunTeam, Told, told

pytestmark = pytest.mark.anyio

TURNS = 1_000

SUMMED_UP = (
    "{window: 2k, target: 0.4, strategies: [{summarise: {model: default, keep: 0}}, {drop_turns: {keep: 0}}]}"
)


async def read(page: int) -> str:
    """Read a page of 1 to 20 KB."""
    return f"page-{page:06d} {lines(Random(page).randint(1_000, 20_000))}"


async def note(page: int) -> str:
    """Read a page of 1.5 KB."""
    return f"page-{page:06d} {lines(1_500)}"


async def test_a_thousand_turns_with_large_results_never_exceed_a_window_of_16k(run_team: RunTeam):
    count = token_counter()
    largest = 0

    def checked(page: int):
        def reply(messages: Sequence[Message]) -> Message:
            nonlocal largest
            largest = max(largest, sum(count(m.text) for m in messages))
            assert messages[0].text == "Answer the task."
            assert messages[1].text == "Where is X?"
            assert page == 0 or f"page-{page - 1:06d}" in messages[-1].text
            assert_pairs(messages)
            return calls("desk.read", page=page)

        return reply

    lead = scripted(*[checked(page) for page in range(TURNS)], says("Done."))

    told = await run_team(alone("{window: 16k, compact_at: 0.8}"), desk=[read], lead=lead)

    asked = requests(told.recorded)
    assert told.result.output == "Done."
    assert len(asked) == TURNS + 1
    assert 8_000 < largest <= 16_000
    assert max(request.input_tokens for request in asked) <= 16_000
    repeated = sum(request.prefix_tokens or 0 for request in asked)
    assert repeated / sum(request.input_tokens for request in asked) > 0.6
    assert (
        f"desk.read ×{max(e.changes[-1].entry for e in compactions(told)) // 2 - 1}"[:6]
        in lead.requests[-1][2].text
    )
    assert_lawful(told)


async def test_results_that_are_too_many_at_once_are_cut_so_that_the_request_fits(run_team: RunTeam):
    lead = scripted(together(*[calls("desk.read", page=page) for page in range(12)]), says("Done."))

    told = await run_team(alone("{window: 4k}"), desk=[read], lead=lead)

    assert told.result.output == "Done."
    assert requests(told.recorded)[1].input_tokens <= 4_000
    assert all(f"page-{page:06d}" in lead.requests[1][3 + page].text for page in range(12))
    assert all("read_result" in message.text for message in lead.requests[1][3:])


async def test_an_agent_stops_with_the_sizes_where_nothing_helps(run_team: RunTeam):
    lead = scripted(calls("desk.read", page=1), says("Done."))

    told = await run_team(alone("{window: 1k, strategies: []}"), desk=[read], lead=lead)

    assert told.result.stop_reason == "failed"
    assert "holds about" in told.result.error
    assert "the team file allows 1,000" in told.result.error


async def test_a_prefix_is_what_the_last_request_began_with(run_team: RunTeam):
    lead = scripted(*[calls("desk.note", page=page) for page in range(12)], says("Done."))

    told = await run_team(alone("{window: 3k}"), desk=[note], lead=lead)

    asked = requests(told.recorded)
    compacted = {event.turn: event for event in compactions(told)}
    assert compacted
    assert asked[0].prefix_tokens == 0
    for before, now in zip(asked, asked[1:], strict=False):
        event = compacted.get(now.turn)
        assert now.prefix_tokens == (event.prefix_tokens if event else before.input_tokens)


READS = FunctionToolset("desk", note, effect="read")
"""What only reads is done again after a crash; of anything else a person would be asked."""


def summarised_models() -> dict[str, ScriptedModel]:
    """A lead that reads ten pages, and a model that sums up."""
    pages = [calls("desk.note", page=page) for page in range(10)]
    return {
        "lead": scripted(*pages, says("Done.")),
        "default": scripted(says("Summed up."), name="cheap", usage=Usage(500, 20, calls=1)),
    }


def kinds(recorded: Sequence[Recorded]) -> list[str]:
    return [item.event.type for item in recorded]


async def summarised(open_team: OpenTeam) -> tuple[Told, ScriptedModel]:
    models = summarised_models()
    async with open_team(alone(SUMMED_UP), desk=[note], **models) as opened:
        return await told(await opened.start("Where is X?")), models["default"]


async def test_a_compacted_run_is_carried_out_again_as_it_was(open_team: OpenTeam):
    models = summarised_models()
    async with open_team(alone(SUMMED_UP), desk=[note], **models) as opened:
        run = await told(await opened.start("Where is X?"))
        again = await carry_out_again(run.recorded, opened.team, opened._wiring.crew.models)  # type: ignore[reportPrivateUsage]

    assert run.all(SummaryFinished)
    assert run.all(WindowCompacted)
    assert again.exact
    assert again.ended
    assert again.state == run.state


@pytest.mark.parametrize("kept", ["window", "drop"])
async def test_a_run_that_is_killed_after_any_of_its_events_comes_to_the_same_end(
    open_team: OpenTeam, kept: str
):
    context = SUMMED_UP if kept == "window" else "{window: 2k, target: 0.4}"
    async with open_team(alone(context), toolsets=[READS], **summarised_models()) as opened:
        run = await told(await opened.start("Where is X?"))
    first = next(
        i for i, item in enumerate(run.recorded) if isinstance(item.event, SummaryStarted | WindowCompacted)
    )

    for cut in range(first - 2, min(first + 24, len(run.recorded))):
        journal = MemoryJournal()
        journal.append(run.recorded[:cut])
        models = summarised_models()
        async with open_team(alone(context), toolsets=[READS], store=journal, **models) as opened:
            resumed = await told(await opened.resume(run.recorded[0].run_id))
            again = await carry_out_again(
                list(journal.read(run.recorded[0].run_id)), opened.team, opened._wiring.crew.models
            )  # type: ignore[reportPrivateUsage]

        assert resumed.result.output == "Done."
        assert again.exact
        assert fold(resumed.recorded) == resumed.state
        was_asking = isinstance(run.recorded[cut - 1].event, SummaryStarted)
        lost = [e for e in resumed.all(SummaryFinished) if e.error_type == "lost"]
        assert len(lost) == was_asking
        assert resumed.state.agents["lead"].window == run.state.agents["lead"].window
        # What was recorded before the kill was not asked again.
        answered = sum(isinstance(i.event, ModelCallFinished) for i in run.recorded[:cut])
        assert len(models["lead"].requests) == len(requests(run.recorded)) - answered
        if was_asking:
            assert lost[0].usage.input_tokens > 0


async def test_a_fork_takes_over_what_was_compacted_and_makes_room_in_its_own_way_from_there(
    open_team: OpenTeam,
):
    journal = MemoryJournal()
    async with open_team(alone(SUMMED_UP), desk=[note], store=journal, **summarised_models()) as opened:
        run = await told(await opened.start("Where is X?"))
        turns = [event.turn for event in compactions(run)]
        forked = await told(
            await opened.fork(
                run.result.run_id,
                f"lead/turn-{turns[1]}",
                set={"agents.lead.context.strategies": ["drop_turns"]},
            )
        )

    taken = [event for event in compactions(forked) if event.turn < turns[1]]
    assert taken == [event for event in compactions(run) if event.turn < turns[1]]
    assert all(event.strategies == ("drop_turns",) for event in compactions(forked) if event.turn >= turns[1])
    assert forked.result.output == "Done."
    assert fold(forked.recorded) == forked.state


async def test_a_run_goes_on_with_other_rules_for_its_window_than_it_began_with(open_team: OpenTeam):
    async with open_team(alone(SUMMED_UP), toolsets=[READS], **summarised_models()) as opened:
        run = await told(await opened.start("Where is X?"))
    journal = MemoryJournal()
    second = [i for i, item in enumerate(run.recorded) if isinstance(item.event, WindowCompacted)][1]
    journal.append(run.recorded[: second + 6])

    changed = alone("{window: 4k, strategies: [drop_turns]}")
    async with open_team(changed, toolsets=[READS], store=journal, **summarised_models()) as opened:
        resumed = await told(await opened.resume(run.recorded[0].run_id))

    assert resumed.result.output == "Done."
    assert [event.limit for event in compactions(resumed)][:2] == [2_000, 2_000]
    assert all(event.limit == 4_000 for event in compactions(resumed)[2:])


class Narrow(ScriptedModel):
    """A model that refuses requests of more than some characters, as providers do."""

    def __init__(self, most: int, *replies: Message) -> None:
        super().__init__(*replies)
        self.most = most
        self.refused = 0

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        from harness import ContextOverflow
        from harness.models.transcripts import MessageTranscript

        assert isinstance(transcript, MessageTranscript)
        if sum(len(message.text) for message in transcript.messages) > self.most:
            self.refused += 1
            await anyio.lowlevel.checkpoint()
            raise ContextOverflow("the request does not fit")
        return await super().respond(transcript, options, observe)


async def test_a_request_that_the_provider_refuses_as_too_long_is_made_again_with_more_room(
    open_team: OpenTeam,
):
    pages = [calls("desk.note", page=page) for page in range(12)]
    lead = Narrow(9_000, *pages, says("Done."))

    async with open_team(alone("{window: 200k}"), desk=[note], lead=lead) as opened:
        run = await told(await opened.start("Where is X?"))
        again = await carry_out_again(run.recorded, opened.team, {"lead": lead})

    assert run.result.output == "Done."
    assert lead.refused == 1, "what was refused once is not tried again"
    assert [event.reason for event in compactions(run)][0] == "refused"
    assert again.exact
    assert_lawful(run)
    assert len(run.all(TurnStarted)) == 14


async def test_a_request_that_is_refused_twice_stops_the_agent(run_team: RunTeam):
    lead = Narrow(300, calls("desk.note", page=1), says("Done."))

    told = await run_team(alone("{}"), desk=[note], lead=lead)

    assert told.result.stop_reason == "failed"
    assert told.result.error
    assert lead.refused == 2 or "refused" in told.result.error

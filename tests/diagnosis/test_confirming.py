"""Confirming findings: the request without what was found, what it saves, and what the model does then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

import harness
from harness import (
    Changes,
    FunctionToolset,
    Message,
    Recorded,
    ScriptedModel,
    UsageError,
    calls,
    says,
    scripted,
)
from harness.confirming import Confirmation, Confirmed, Unconfirmed, Which, confirm_run
from harness.context.counting import message_tokens
from harness.contracts import Contract, parse_contract
from harness.diagnosis.undoing import LEFT_OUT
from harness.messages import Reasoning, Text, ToolDefinition, ToolResult, Usage
from harness.models.port import CallOptions, ModelResponse, Observe, Price, Transcript
from harness.models.tokens import token_counter
from harness.record import keep_ledger
from harness.team import Team, restore_team
from harness.tracing import export_run
from harness.tracing.otlp_json import encode_line
from tests.replay.scenes import play

pytestmark = pytest.mark.anyio

DEEP_RESEARCH = Path(__file__).resolve().parents[2] / "examples" / "deep_research" / "team.yaml"


def team(**lead: Any) -> Team:
    agents = {
        "lead": {"instructions": "Lead.", "tools": ["desk"], **lead},
        "scout": {"instructions": "Scout.", "tools": ["desk"]},
    }
    source = {"harness": 1, "name": "confirmed", "entry": "lead", "agents": agents}
    return restore_team(source, base=Path("/"), servers=["desk"])


class Desk:
    """Tools whose results are large, distinct, or known only later."""

    def read_page(self, name: str) -> str:
        """Read a page."""
        return f"Page {name} tells of " + "quiet rivers, old mills and the people by them; " * 450

    def read_note(self, name: str) -> str:
        """Read a note."""
        return f"Note {name}: the heron nests under the ninth arch of the western bridge since April."

    def find_order(self, customer: str) -> str:
        """Find the order of a customer."""
        return "The order is ORD-77123-X."

    def get_order(self, id: str) -> str:
        """Look at an order."""
        return f"Order {id} is on its way."


def desk() -> FunctionToolset:
    tools = Desk()
    return FunctionToolset("desk", tools.read_page, tools.read_note, tools.find_order, tools.get_order)


async def recorded(model: ScriptedModel, of: Team | None = None, **others: ScriptedModel) -> list[Recorded]:
    models = {"lead": model, "scout": others.get("scout", scripted(says("Nothing.")))}
    async with harness.open(of or team(), store=":memory:", models=models, toolsets=[desk()]) as opened:
        run = await opened.start("Go.")
        return [item async for item in run.events()]


async def confirm(
    detector: str,
    events: Sequence[Recorded],
    asked: ScriptedModel | None = None,
    *,
    agent: str = "lead",
    contracts: Sequence[Contract] = (),
) -> Confirmation:
    """Return what confirms the one finding of a detector, whose own cost must be what its requests say."""
    confirmed = await confirm_run(
        events,
        which=Which(detectors=(detector,)),
        live=asked is not None,
        models={agent: asked} if asked else None,
        contracts=contracts,
    )
    (found,) = confirmed.findings
    assert isinstance(found, Confirmation), found.reason
    assert agrees(found, confirmed)
    return found


def agrees(found: Confirmation, confirmed: Confirmed) -> bool:
    """Whether what a finding said it cost is what its requests say, but for the residual of the ledger."""
    said = found.finding.price.tokens
    if found.measured is None or said is None:
        return found.measured is said
    return abs(found.measured - said) <= keep_ledger(confirmed.record).residual


def said(found: Confirmation) -> str:
    """Return what the model answered to the changed request."""
    assert found.asked is not None
    assert found.asked.reply is not None, found.asked.error
    return found.asked.reply.text


def tokens(messages: Sequence[Message]) -> int:
    return sum(message_tokens(message, token_counter()) for message in messages)


def tells_all(messages: Sequence[Message]) -> Message:
    """Answer with what the request ends in, so that a change shows."""
    return says(f"{len(messages)} messages, the last is {messages[-1].text[:40]!r}")


LARGE = (
    calls("desk.read_page", name="mill"),
    calls("desk.read_note", name="a"),
    calls("desk.read_note", name="b"),
    says("Done."),
)
DELEGATE = calls(
    "delegate", agent="scout", objective="Read.", expected_output="A line.", sources="", boundaries=""
)


async def test_a_request_without_a_large_result_is_smaller_by_what_it_held_and_changes_nothing_else():
    model, asked = scripted(*LARGE), scripted(tells_all)

    found = await confirm("oversized-result", await recorded(model), asked)

    before, after = model.requests[1], asked.requests[0]
    result = before[-1].parts[0]
    assert isinstance(result, ToolResult)
    assert found.at == "lead/turn-2"
    assert after == (*before[:-1], Message("tool", (ToolResult(result.call_id, LEFT_OUT),)))
    assert found.recorded.tokens - found.changed.tokens == tokens(before) - tokens(after) > 4_000
    # In each of the three requests that held it.
    assert (found.requests, found.saved.tokens) == (3, 3 * (tokens(before) - tokens(after)))


async def test_what_the_model_does_with_the_changed_request_stands_beside_what_it_did():
    found = await confirm("oversized-result", await recorded(scripted(*LARGE)), scripted(tells_all))

    assert found.reply is not None
    assert found.reply.tool_calls[0].name == "desk.read_note"
    assert said(found) == f"4 messages, the last is {LEFT_OUT!r}"
    assert found.asked is not None
    assert (found.asked.usage.input_tokens, found.asked.usd) == (found.changed.tokens, 0.0)


async def test_reads_made_twice_are_left_out_from_the_second_on():
    read = calls("desk.read_page", name="mill")
    events = await recorded(scripted(read, read, calls("desk.read_note", name="a"), says("Done.")))

    found = await confirm("duplicate-read", events)

    assert (found.at, found.requests) == ("lead/turn-3", 2)


async def test_what_leaked_into_a_window_is_left_out():
    leak = "Go on: the heron nests under the ninth arch of the western bridge since April."
    models = {
        "lead": scripted(calls("desk.read_note", name="a"), DELEGATE, says("Done.")),
        "scout": scripted(says(""), says("Read it.")),
    }
    delegating = team(delegates=["scout"])
    async with harness.open(delegating, store=":memory:", models=models, toolsets=[desk()]) as opened:
        run = await opened.start("Go.")
        await run.result()
        forked = await opened.fork(run.id, "lead/scout-1/turn-2", changes=Changes(edit={"3": leak}))
        await forked.result()
        events = list(opened.journal.read(forked.id))
    asked = scripted(tells_all)

    found = await confirm("leakage", events, asked, agent="scout")

    assert found.at == "lead/scout-1/turn-2"
    assert "heron" not in "".join(message.text for message in asked.requests[0])


async def test_a_report_nobody_used_leaves_its_call_with_a_placeholder():
    lead = scripted(DELEGATE, *LARGE[1:])
    long = scripted(says("Wheels, sluices and sacks of flour stood by the water. " * 60))
    asked = scripted(tells_all)

    found = await confirm("report-bloat", await recorded(lead, team(delegates=["scout"]), scout=long), asked)

    assert said(found) == f"4 messages, the last is {LEFT_OUT!r}"
    assert asked.requests[0][-2].tool_calls[0].name == "delegate"


async def test_an_early_call_is_asked_for_again_with_what_it_needed_before_it():
    early, late = calls("desk.get_order", id="ORD-77123-X"), calls("desk.find_order", customer="Ada")
    asked = scripted(tells_all)

    found = await confirm(
        "used-before-available", await recorded(scripted(early, late, says("Done."))), asked
    )

    assert found.at == "lead/turn-1"
    assert [message.role for message in asked.requests[0]] == ["system", "user", "assistant", "tool"]
    assert asked.requests[0][-2].tool_calls[0].name == "desk.find_order"
    # It would have stood there two requests earlier than it did.
    assert found.changed.tokens - found.recorded.tokens == tokens(asked.requests[0][-2:])
    assert found.saved.tokens == -2 * tokens(asked.requests[0][-2:])
    assert found.reply is not None
    assert found.reply.tool_calls[0].name == "desk.get_order"
    assert said(found).endswith("'The order is ORD-77123-X.'")


async def test_a_contract_that_the_order_of_calls_broke_is_confirmed_by_the_other_order():
    events = await recorded(
        scripted(calls("desk.get_order", id="1"), calls("desk.find_order", customer="Ada"), says("Done."))
    )

    found = await confirm(
        "order-contract", events, contracts=[parse_contract("desk.find_order before desk.get_order")]
    )

    assert found.change == "desk.find_order and its result before desk.get_order"


async def test_calls_made_again_and_again_are_not_made_and_their_requests_are_not_sent():
    read = calls("desk.read_note", name="a")
    asked = scripted(tells_all)

    found = await confirm("loop", await recorded(scripted(read, read, read, says("Done."))), asked)

    assert (found.at, found.unasked, found.requests) == ("lead/turn-4", 2, 3)
    assert [message.role for message in asked.requests[0]] == ["system", "user", "assistant", "tool"]
    assert found.measured is not None
    assert found.saved.tokens == found.measured + found.recorded.tokens - found.changed.tokens


async def test_reads_made_one_after_another_are_made_in_one_turn():
    reads = [calls("desk.read_note", name=name) for name in ("heron", "otter", "stork")]
    of = team(instructions="Read the notes heron, otter and stork.")
    asked = scripted(tells_all)

    found = await confirm("serialised-calls", await recorded(scripted(*reads, says("Done.")), of), asked)

    roles = [message.role for message in asked.requests[0]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "tool"]
    assert len(asked.requests[0][2].tool_calls) == 3
    assert found.unasked == 2


async def test_tools_that_were_never_called_are_not_offered():
    def many(name: str) -> Callable[[str], str]:
        def tool(subject: str) -> str:
            return subject

        tool.__name__ = name
        tool.__doc__ = f"Tell of {name}. " + "It takes a subject and tells all there is to tell. " * 8
        return tool

    tools = FunctionToolset("desk", *map(many, ("one", "two", "three", "four", "five", "six")))
    lead = scripted(calls("desk.one", subject="mills"), says("Done."))
    models = {"lead": lead, "scout": lead}
    async with harness.open(team(), store=":memory:", models=models, toolsets=[tools]) as opened:
        run = await opened.start("Go.")
        events = [item async for item in run.events()]
    asked = scripted(tells_all)

    found = await confirm("tool-overhead", events, asked)

    assert [name for name in asked.offered[0] if name.startswith("desk.")] == ["desk.one"]
    assert found.requests == 2


DEFINITIONS = 220
"""About what the tools of the desk take in every request."""


class Counting(ScriptedModel):
    """A provider that counts in a vocabulary of its own, gives all it has seen from its cache, and has prices."""

    price = Price(input=2.0, output=8.0, cached=0.5)
    sends_reasoning = False

    def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
        transcript = super().open(tools)
        transcript.sends_reasoning = self.sends_reasoning
        return transcript

    async def respond(self, transcript: Transcript, options: CallOptions, observe: Observe) -> ModelResponse:
        response = await super().respond(transcript, options, observe)
        now = self.requests[-1]
        cached = self._counted(now[:-2]) if len(now) > 2 else 0
        return replace(response, usage=Usage(self._counted(now), 20, cached, calls=1))

    def _counted(self, messages: Sequence[Message]) -> int:
        def count(message: Message) -> int:
            return message_tokens(message, token_counter(), sends_reasoning=self.sends_reasoning)

        return round(1.3 * (DEFINITIONS + sum(map(count, messages))))


async def test_a_provider_counts_the_changed_request_as_was_foretold_and_prices_are_its_own():
    found = await confirm("oversized-result", await recorded(Counting(*LARGE)), Counting(tells_all))

    assert found.asked is not None
    assert found.asked.usage.input_tokens == pytest.approx(found.changed.tokens, abs=10)
    # At first it was new and cost the price of input; then the cache gave it.
    each = found.recorded.tokens - found.changed.tokens
    assert found.recorded.usd
    assert found.changed.usd
    assert found.saved.usd
    assert found.recorded.usd - found.changed.usd == pytest.approx(each * 2.0 / 1e6)
    assert found.saved.usd == pytest.approx(each * (2.0 + 0.5 + 0.5) / 1e6, rel=0.01)


async def test_thinking_is_left_out_as_a_whole_block_once_it_is_sent_again():
    def thought(reply: Message) -> Message:
        thinking = Reasoning("The mill stands by the river, so I read on. " * 40)
        return Message("assistant", (thinking, *reply.parts))

    model, asked = Counting(*map(thought, LARGE[1:])), Counting(tells_all)
    model.sends_reasoning = asked.sends_reasoning = True

    found = await confirm("thinking-residue", await recorded(model), asked)

    replies = [message for message in asked.requests[0] if message.role == "assistant"]
    # What was thought last is still sent once.
    assert [isinstance(reply.parts[0], Reasoning) for reply in replies] == [False, True]
    assert found.asked is not None
    assert found.asked.usage.input_tokens == pytest.approx(found.changed.tokens, rel=0.05)


async def test_what_cannot_be_confirmed_is_named_with_its_reason():
    unknown = calls("desk.get_order", id="ORD-55555-Z")
    confirmed = await confirm_run(await recorded(scripted(unknown, harness.ModelError("gone"))))

    reasons = {item.finding.detector: item.reason for item in confirmed.unconfirmed}
    assert reasons["failure-origin"] == "it names no entry and no order of calls"
    assert all(item.reason for item in confirmed.unconfirmed)


async def test_a_request_of_a_model_that_is_not_at_hand_is_not_made_up():
    class Other(ScriptedModel):
        provider = "elsewhere"

        def open(self, tools: Sequence[ToolDefinition]) -> Transcript:
            transcript = super().open(tools)
            transcript.append(Message("system", (Text("What only this model knows."),)))
            return transcript

    confirmed = await confirm_run(await recorded(Other(*LARGE)))

    assert confirmed.confirmations == ()
    assert "hand in the model" in confirmed.unconfirmed[0].reason


@pytest.mark.parametrize("seed", [59, *range(8)])
async def test_every_request_of_any_run_is_rebuilt_to_the_byte(seed: int):
    scene = await play(seed)
    for summary in scene.journal.runs():
        confirmed = await confirm_run(scene.recorded(summary.run_id))

        assert [item.reason for item in confirmed.unconfirmed if "byte" in item.reason] == []
        for item in confirmed.confirmations:
            if item.measured is not None and not item.unasked:
                assert agrees(item, confirmed), item


def of(confirmed: Confirmed, detector: str) -> Confirmation:
    return next(item for item in confirmed.confirmations if item.finding.detector == detector)


def stored(folder: Path) -> Path:
    async def main() -> None:
        async with harness.open(
            team(), store=folder, models={"lead": scripted(*LARGE), "scout": scripted()}, toolsets=[desk()]
        ) as opened:
            await opened.run("Go.")

    anyio.run(main)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.db"))}


def test_confirming_writes_nothing_to_the_store(tmp_path: Path):
    store = stored(tmp_path)
    before = contents(store)

    (confirmed,) = harness.confirm_sync("last", store=store, live=True, models={"lead": scripted(tells_all)})

    assert of(confirmed, "oversized-result").asked is not None
    assert before
    assert contents(store) == before


def test_only_the_findings_that_are_named_are_confirmed(tmp_path: Path):
    store = stored(tmp_path)
    (whole,) = harness.confirm_sync("last", store=store)
    name = of(whole, "oversized-result").finding

    (some,) = harness.confirm_sync("last", store=store, findings=[name.fingerprint[:8]])

    assert [item.finding for item in some.findings] == [name]
    for unknown in ("ffff", ""):
        with pytest.raises(UsageError, match="has no finding"):
            harness.confirm_sync("last", store=store, findings=[unknown])


def test_the_trace_of_a_run_can_be_diagnosed_but_not_confirmed(tmp_path: Path):
    from harness.journal import open_journal

    store = stored(tmp_path)
    journal = open_journal(store, write=False)
    spans: list[Any] = []
    export_run(journal.read(next(iter(journal.runs())).run_id), spans.append, content="full")
    (tmp_path / "trace.json").write_bytes(encode_line(spans))

    (confirmed,) = harness.confirm_sync(tmp_path / "trace.json")

    assert any(item.finding.detector == "oversized-result" for item in confirmed.findings)
    assert all(isinstance(item, Unconfirmed) and "trace" in item.reason for item in confirmed.findings)

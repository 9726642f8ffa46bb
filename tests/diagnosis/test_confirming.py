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
from harness.confirming import Confirmation, Confirmed, Unconfirmed, confirm_run
from harness.context.counting import message_tokens
from harness.diagnosis import Finding
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

    def page(self, name: str) -> str:
        """Read a page."""
        return f"Page {name} tells of " + "quiet rivers, old mills and the people by them; " * 450

    def note(self, name: str) -> str:
        """Read a note."""
        return f"Note {name}: the heron nests under the ninth arch of the western bridge since April."

    def find(self, customer: str) -> str:
        """Find the order of a customer."""
        return "The order is ORD-77123-X."

    def order(self, id: str) -> str:
        """Look at an order."""
        return f"Order {id} is on its way."


def desk() -> FunctionToolset:
    tools = Desk()
    return FunctionToolset("desk", tools.page, tools.note, tools.find, tools.order)


async def recorded(model: ScriptedModel, of: Team | None = None, **others: ScriptedModel) -> list[Recorded]:
    models = {"lead": model, "scout": others.get("scout", scripted(says("Nothing.")))}
    async with harness.open(of or team(), store=":memory:", models=models, toolsets=[desk()]) as opened:
        run = await opened.start("Go.")
        return [item async for item in run.events()]


def tells_all(messages: Sequence[Message]) -> Message:
    """Answer with the last word that the request holds, so that a change shows."""
    return says(f"{len(messages)} messages, the last is {messages[-1].text[:40]!r}")


def one(confirmed: Confirmed, detector: str) -> Confirmation:
    found = [item for item in confirmed.confirmations if item.finding.detector == detector]
    assert len(found) == 1, [
        (item.finding.detector, getattr(item, "reason", "")) for item in confirmed.findings
    ]
    return found[0]


def tokens(messages: Sequence[Message]) -> int:
    return sum(message_tokens(message, token_counter()) for message in messages)


def agrees(item: Confirmation, confirmed: Confirmed) -> bool:
    """Whether what the finding said it cost is what its requests say, but for the residual of the ledger."""
    assert item.measured is not None and item.finding.price.tokens is not None
    return abs(item.measured - item.finding.price.tokens) <= keep_ledger(confirmed.record).residual


LARGE = (
    calls("desk.page", name="mill"),
    calls("desk.note", name="a"),
    calls("desk.note", name="b"),
    says("Done."),
)


async def test_a_request_without_a_large_result_is_smaller_by_what_it_held_and_changes_nothing_else():
    model = scripted(*LARGE)
    events = await recorded(model)
    asked = scripted(tells_all)

    confirmed = await confirm_run(events, models={"lead": asked}, live=True)

    found = one(confirmed, "oversized-result")
    (request,) = [request for request, _ in zip(asked.requests, confirmed.confirmations, strict=True)]
    before = model.requests[1]
    assert found.at == "lead/turn-2"
    assert request[:-1] == before[:-1]
    assert request[-1].parts == (ToolResult(before[-1].parts[0].call_id, LEFT_OUT),)  # type: ignore[union-attr]
    assert found.recorded.tokens - found.changed.tokens == tokens(before) - tokens(request) > 4_000
    assert agrees(found, confirmed)
    # In each of the three requests that held it.
    assert (found.requests, found.saved.tokens) == (3, 3 * (tokens(before) - tokens(request)))


async def test_what_the_model_does_with_the_changed_request_stands_beside_what_it_did():
    confirmed = await confirm_run(
        await recorded(scripted(*LARGE)), models={"lead": scripted(tells_all)}, live=True
    )

    found = one(confirmed, "oversized-result")
    assert found.reply is not None and found.reply.tool_calls[0].name == "desk.note"
    assert found.asked is not None and found.asked.reply == says(f"4 messages, the last is {LEFT_OUT!r}")
    assert (found.asked.usage.input_tokens, found.asked.usd) == (found.changed.tokens, 0.0)


async def test_reads_made_twice_are_left_out_from_the_second_on():
    read = calls("desk.page", name="mill")
    confirmed = await confirm_run(
        await recorded(scripted(read, read, calls("desk.note", name="a"), says("Done.")))
    )

    found = one(confirmed, "duplicate-read")
    assert (found.at, found.requests) == ("lead/turn-3", 2)
    assert agrees(found, confirmed)


async def test_what_leaked_into_a_window_is_left_out():
    words = "the heron nests under the ninth arch of the western bridge since April"
    brief = dict(objective="Read.", expected_output="A line.", sources="", boundaries="")
    lead = scripted(calls("delegate", agent="scout", **brief), says(""), says("Done."))
    models = {"lead": lead, "scout": scripted(calls("desk.note", name="a"), says("Read it."))}
    async with harness.open(
        team(delegates=["scout"]), store=":memory:", models=models, toolsets=[desk()]
    ) as opened:
        whole = await opened.start("Go.")
        await whole.result()
        leak = Changes(edit={"5": f"Go on: {words}."})
        forked = await opened.fork(whole.id, "lead/turn-3", changes=leak)
        await forked.result()
        events = list(opened.journal.read(forked.id))

    confirmed = await confirm_run(events, models={"lead": scripted(tells_all)}, live=True)

    found = one(confirmed, "leakage")
    assert found.at == "lead/turn-3"
    assert found.asked is not None and found.asked.reply is not None
    assert "heron" not in found.asked.reply.text
    assert agrees(found, confirmed)


async def test_a_report_nobody_used_leaves_its_call_with_a_placeholder():
    brief = dict(objective="Read.", expected_output="A line.", sources="", boundaries="")
    lead = scripted(
        calls("delegate", agent="scout", **brief),
        calls("desk.note", name="a"),
        calls("desk.note", name="b"),
        says("Done."),
    )
    long = says("Wheels, sluices and sacks of flour stood by the water. " * 60)
    asked = scripted(tells_all)

    confirmed = await confirm_run(
        await recorded(lead, team(delegates=["scout"]), scout=scripted(long)),
        models={"lead": asked},
        live=True,
    )

    found = one(confirmed, "report-bloat")
    position = [item.finding.detector for item in confirmed.confirmations].index("report-bloat")
    assert asked.requests[position][-1].text == LEFT_OUT
    assert asked.requests[position][-2].tool_calls[0].name == "delegate"
    assert agrees(found, confirmed)


async def test_an_early_call_is_asked_for_again_with_what_it_needed_before_it():
    early = calls("desk.order", id="ORD-77123-X")
    found_late = calls("desk.find", customer="Ada")
    events = await recorded(scripted(early, found_late, says("Done.")))
    asked = scripted(tells_all)

    confirmed = await confirm_run(events, models={"lead": asked}, live=True)

    found = one(confirmed, "used-before-available")
    assert found.at == "lead/turn-1"
    assert [message.role for message in asked.requests[0]] == ["system", "user", "assistant", "tool"]
    assert asked.requests[0][-2].tool_calls[0].name == "desk.find"
    assert found.changed.tokens > found.recorded.tokens
    assert found.asked is not None and found.asked.reply is not None and found.reply is not None
    assert found.reply.tool_calls[0].name == "desk.order"
    assert found.asked.reply.text.endswith("'The order is ORD-77123-X.'")


async def test_a_contract_broken_by_the_order_of_calls_is_confirmed_by_the_other_order():
    replies = calls("desk.order", id="1"), calls("desk.find", customer="Ada"), says("Done.")
    # Live, the contract would have refused the call; here it is only looked at afterwards.
    from harness.contracts import parse_contract

    events = await recorded(scripted(*replies))
    confirmed = await confirm_run(events, contracts=[parse_contract("desk.find before desk.order")])

    assert one(confirmed, "order-contract").change == "desk.find and its result before desk.order"


async def test_calls_made_again_and_again_are_not_made_and_their_requests_are_not_sent():
    read = calls("desk.note", name="a")
    confirmed = await confirm_run(await recorded(scripted(read, read, read, says("Done."))))

    found = one(confirmed, "loop")
    assert (found.at, found.unasked, found.requests) == ("lead/turn-4", 2, 3)
    assert agrees(found, confirmed)
    assert found.saved.tokens > (found.measured or 0)


async def test_reads_made_one_after_another_are_made_in_one_turn():
    lead = scripted(*(calls("desk.note", name=name) for name in ("heron", "otter", "stork")), says("Done."))
    of = team(instructions="Read the notes heron, otter and stork.")
    asked = scripted(tells_all)

    confirmed = await confirm_run(await recorded(lead, of), models={"lead": asked}, live=True)

    found = one(confirmed, "serialised-calls")
    position = [item.finding.detector for item in confirmed.confirmations].index("serialised-calls")
    roles = [message.role for message in asked.requests[position]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "tool"]
    assert len(asked.requests[position][2].tool_calls) == 3
    assert agrees(found, confirmed)


async def test_tools_that_were_never_called_are_not_offered():
    def many(name: str) -> Callable[[str], str]:
        def tool(subject: str) -> str:
            return subject

        tool.__name__ = name
        tool.__doc__ = f"Tell of {name}. " + "It takes a subject and tells all there is to tell. " * 8
        return tool

    tools = FunctionToolset("desk", *(many(name) for name in ("one", "two", "three", "four", "five", "six")))
    lead = scripted(calls("desk.one", subject="mills"), says("Done."))
    async with harness.open(
        team(), store=":memory:", models={"lead": lead, "scout": lead}, toolsets=[tools]
    ) as opened:
        run = await opened.start("Go.")
        events = [item async for item in run.events()]
    asked = scripted(tells_all)

    confirmed = await confirm_run(events, models={"lead": asked}, live=True)

    found = one(confirmed, "tool-overhead")
    assert asked.offered[0][:1] == ("desk.one",)
    assert not {"desk.two", "desk.six"} & set(asked.offered[0])
    assert agrees(found, confirmed)


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
        seen, now = (self._counted(messages) for messages in (self.requests[-1][:-2], self.requests[-1]))
        return replace(response, usage=Usage(now, 20, seen if seen > 100 else 0, calls=1))

    def _counted(self, messages: Sequence[Message]) -> int:
        def count(message: Message) -> int:
            return message_tokens(message, token_counter(), sends_reasoning=self.sends_reasoning)

        return round(1.3 * sum(map(count, messages))) + 60


async def test_a_provider_counts_the_changed_request_as_was_foretold_and_prices_are_its_own():
    model = Counting(*LARGE)

    confirmed = await confirm_run(await recorded(model), models={"lead": Counting(tells_all)}, live=True)

    found = one(confirmed, "oversized-result")
    assert found.asked is not None
    assert found.asked.usage.input_tokens == pytest.approx(found.changed.tokens, abs=10)
    assert agrees(found, confirmed)
    # At first it was new and cost the price of input; then the cache gave it.
    each = found.recorded.tokens - found.changed.tokens
    assert found.recorded.usd and found.changed.usd and found.saved.usd
    assert found.recorded.usd - found.changed.usd == pytest.approx(each * 2.0 / 1e6)
    assert found.saved.usd == pytest.approx(each * (2.0 + 0.5 + 0.5) / 1e6, rel=0.01)


async def test_thinking_is_left_out_as_a_whole_block_once_it_is_sent_again():
    def thought(reply: Message) -> Message:
        return Message(
            "assistant", (Reasoning("The mill stands by the river, so I read on. " * 40), *reply.parts)
        )

    model, asked = Counting(*map(thought, LARGE[1:])), Counting(tells_all)
    model.sends_reasoning = asked.sends_reasoning = True

    confirmed = await confirm_run(await recorded(model), models={"lead": asked}, live=True)

    found = one(confirmed, "thinking-residue")
    position = [item.finding.detector for item in confirmed.confirmations].index("thinking-residue")
    parts = [part for message in asked.requests[position] for part in message.parts]
    assert not any(isinstance(part, Reasoning) for part in parts)
    assert found.asked is not None
    assert found.asked.usage.input_tokens == pytest.approx(found.changed.tokens, rel=0.05)
    assert agrees(found, confirmed)


async def test_what_cannot_be_confirmed_is_named_with_its_reason():
    unknown = calls("desk.order", id="ORD-55555-Z")
    confirmed = await confirm_run(await recorded(scripted(unknown, RuntimeError("gone"))))

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


async def test_the_offline_example_goes_on_otherwise_without_a_result_it_did_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    async with harness.open(DEEP_RESEARCH, store=":memory:") as opened:
        run = await opened.start("How are sub-agents isolated, and what goes back to the parent?")
        events = [item async for item in run.events()]

    confirmed = await confirm_run(events, live=True)

    for item in confirmed.confirmations:
        assert item.asked is not None and item.asked.reply is not None, item.asked
        if item.measured is not None and not item.unasked:
            assert agrees(item, confirmed)
    assert any(item.asked and item.asked.reply != item.reply for item in confirmed.confirmations)


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

    assert one(confirmed, "oversized-result").asked is not None
    assert before and contents(store) == before


def test_only_the_findings_that_are_named_are_confirmed(tmp_path: Path):
    store = stored(tmp_path)
    (whole,) = harness.confirm_sync("last", store=store)
    name: Finding = one(whole, "oversized-result").finding

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

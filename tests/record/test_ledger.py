"""Every token of every request has an origin: in the examples, and over a thousand turns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

import harness
from harness import Message, Recorded, ToolCall, Usage, calls, says, scripted, together
from harness.events import (
    AgentRunStarted,
    EntryAppended,
    Event,
    ModelCallFinished,
    ModelCallStarted,
    SummaryFinished,
    ToolCallFinished,
    ToolCallStarted,
    WindowCompacted,
)
from harness.messages import ToolResult, user
from harness.record import keep_ledger, record_of
from tests.loop.stage import ALONE, delegates, reports
from tests.record.accounts import Reporting, assert_accounts, run_team, thinks

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TURNS = 1_000

ORIGINS = {
    "system",
    "tool_definition",
    "task",
    "brief",
    "thinking",
    "text",
    "call",
    "result",
    "report",
    "summary",
}
"""What can fill a window; sessions and nudges come in other tests."""


async def recorded_by(team: Path, question: str, *, overrides: tuple[str, ...] = ()) -> list[Recorded]:
    """Run an example to its end; whatever a person is asked is approved."""
    with anyio.fail_after(60):
        async with harness.open(team, store=":memory:", overrides=overrides) as opened:
            run = await opened.start(question)
            await run.result()
            while run.waiting:
                run = await opened.approve(run.id, run.waiting[0].key)
                await run.result()
            return list(opened.journal.read(run.id))


@pytest.mark.parametrize(
    ("team", "question", "overrides"),
    [
        ("deep_research", "How are sub-agents isolated, and what goes back to the parent?", ()),
        ("deep_research", "What may a sub-agent see?", ()),
        ("service", "How long does a refund take?", ()),
        ("service", "When is a parcel lost?", ("entry=careful",)),
    ],
)
async def test_every_token_of_an_example_is_attributed(team: str, question: str, overrides: tuple[str, ...]):
    recorded = await recorded_by(EXAMPLES / team / "team.yaml", question, overrides=overrides)

    ledger = assert_accounts(recorded)

    assert recorded[-1].event.stop_reason == "done"
    assert ledger.residual == 0, "nothing was reported, so our count is all there is"
    assert {
        "system",
        "tool_definition",
        "task",
        "brief",
        "call",
        "result",
        "report",
    } <= ledger.by_kind().keys()
    assert set(ledger.by_server()) == {"corpus"}
    state_tokens = sum(
        item.event.input_tokens for item in recorded if isinstance(item.event, ModelCallStarted)
    )
    assert ledger.sent == state_tokens


async def note(page: int) -> str:
    """Read a page."""
    return f"page-{page:06d} " + "It was a plain day and nothing of note was seen near the harbour. " * 12


async def fail(page: int) -> str:
    """Read a page that is not there."""
    raise FileNotFoundError(f"there is no page {page}")


TEAM = """\
agents:
  lead:
    instructions: Lead the search, page by page.
    tools: [desk]
    delegates: [scout]
    limits: {turns: 3000}
    context: CONTEXT
  scout: {description: Finds things., instructions: Scout., tools: [desk]}
"""

COMPACTED = (
    "{window: 12k, target: 0.4, strategies: [drop_superseded, {clear_results: {keep: 2}}, fold_branches, "
    "{summarise: {model: default, keep: 3}}, {drop_turns: {keep: 2}}]}"
)


def reply_at(turn: int) -> Message:
    """What the lead says in a turn: pages mostly, thinking, failures, sub-agents, and words."""
    if turn % 50 == 7:
        return thinks("A scout should look at this. " * 8, delegates("scout", f"Find page {turn}."))
    if turn % 17 == 3:
        return together(says("Both of them."), calls("desk.note", page=turn), calls("desk.fail", page=turn))
    if turn % 5 == 1:
        return thinks(f"Page {turn} may say more about it. " * 4, calls("desk.note", page=turn))
    return calls("desk.note", page=turn // 2)


async def long_run(folder: Path, context: str) -> list[Recorded]:
    """A run of a thousand turns through the harness, with models that report what they are sent."""
    recorded = await run_team(
        folder,
        TEAM.replace("CONTEXT", context),
        tools=[note, fail],
        lead=Reporting(*[reply_at(turn) for turn in range(TURNS - 1)], says("Done.")),
        scout=Reporting(calls("desk.note", page=1), reports("It is at page-000001."), name="scout"),
        default=Reporting(lambda messages: says("Summed up: page-000001 was read."), name="cheap"),
    )
    assert recorded[-1].event.output == "Done."
    return recorded


async def test_every_token_of_a_thousand_compacted_turns_is_attributed(tmp_path: Path):
    recorded = await long_run(tmp_path, COMPACTED)

    ledger = assert_accounts(recorded)

    compactions = [item.event for item in recorded if isinstance(item.event, WindowCompacted)]
    used = {strategy for event in compactions for strategy in event.strategies}
    assert len(ledger.turns["lead"]) == TURNS
    assert used >= {"clear_results", "summarise"}
    assert ledger.by_kind().keys() >= ORIGINS
    assert all(ledger.by_kind()[kind] > 0 for kind in ORIGINS)
    summaries = [aside for aside in ledger.asides if aside.kind == "summary"]
    assert len(summaries) == sum(isinstance(item.event, SummaryFinished) for item in recorded)
    # The model counts by letters and we by words, and its template is unseen: every difference was in proportion.
    assert ledger.residual == 0
    assert all(line.total == line.definitions + line.entries for line in ledger.turns["lead"])


async def test_a_thousand_turns_in_one_growing_window_are_attributed(tmp_path: Path):
    ledger = assert_accounts(await long_run(tmp_path, "{window: 2M}"))

    assert len(ledger.record.agents["lead"].window(TURNS)) > 2 * TURNS
    assert ledger.by_kind()["thinking"] > 0
    assert ledger.residual == 0


async def test_what_a_server_adds_unseen_is_the_residual_of_every_turn(tmp_path: Path):
    pages = [calls("desk.note", page=page) for page in range(12)]
    lead = Reporting(*pages, says("Done."), unseen=lambda number: 3_000)

    recorded = await run_team(tmp_path, ALONE, tools=[note], lead=lead)

    lines = assert_accounts(recorded).turns["lead"]
    assert len(lines) == 13
    assert all(2_800 < line.residual < 3_200 for line in lines)


async def test_what_comes_and_goes_unseen_is_a_residual_only_while_it_is_there(tmp_path: Path):
    pages = [calls("desk.note", page=page) for page in range(12)]
    lead = Reporting(*pages, says("Done."), unseen=lambda number: 3_000 if 5 <= number <= 8 else 0)

    recorded = await run_team(tmp_path, ALONE, tools=[note], lead=lead)

    lines = assert_accounts(recorded).turns["lead"]
    assert [abs(line.residual) > 2_500 for line in lines] == [5 <= turn <= 8 for turn in range(1, 14)]
    assert all(abs(line.residual) < 50 for line in lines if not 5 <= line.turn.number <= 8)


async def test_a_residual_stays_where_a_request_between_was_not_counted(tmp_path: Path):
    pages = [calls("desk.note", page=page) for page in range(12)]
    lead = Reporting(*pages, says("Done."), reports=lambda number: number % 2 == 1, unseen=lambda number: 600)

    recorded = await run_team(tmp_path, ALONE, tools=[note], lead=lead)

    lines = assert_accounts(recorded).turns["lead"]
    assert all(500 < line.residual < 700 for line in lines if line.turn.number % 2 == 1)


async def test_a_reply_is_divided_among_thinking_text_and_calls(tmp_path: Path):
    reply = thinks("x" * 300, together(says("y" * 600), calls("desk.note", page=1)))

    ledger = assert_accounts(
        await run_team(tmp_path, ALONE, tools=[note], lead=Reporting(reply, says("Done.")))
    )

    sizes = {line.kind: line.size for line in ledger.lines["lead"] if line.entry.turn == 1}
    assert 1.5 < sizes["text"] / sizes["thinking"] < 2.5
    assert 0 < sizes["call"] < sizes["thinking"]


async def test_thinking_that_is_not_sent_back_takes_nothing_from_what_is(tmp_path: Path):
    reply = thinks("Well, well. " * 500, together(says("y " * 300), calls("desk.note", page=1)))

    ledger = assert_accounts(
        await run_team(tmp_path, ALONE, tools=[note], lead=scripted(reply, says("Done.")))
    )

    sizes = {line.kind: line.size for line in ledger.lines["lead"] if line.entry.turn == 1}
    assert sizes["thinking"] == 0
    assert sizes["text"] > 100


async def test_entries_cost_what_the_team_file_says_and_less_where_a_cache_gave_them(tmp_path: Path):
    pages = [calls("desk.note", page=page) for page in range(6)]
    lead = Reporting(*pages, says("Done."))
    overrides = ("models.default.price={input: 1, output: 4, cached: 0.1}",)

    recorded = await run_team(tmp_path, ALONE, tools=[note], overrides=overrides, lead=lead)

    ledger = keep_ledger(record_of(recorded))
    parts = [*ledger.lines["lead"], *ledger.definitions["lead"]]
    assert sum(part.cached for part in parts) > 1_000
    for part in parts:
        fresh = part.token_turns - part.cached
        assert part.cost == pytest.approx((fresh * 1.0 + part.cached * 0.1) / 1e6)
    output = sum(turn.output or 0 for turn in ledger.record.turns())
    assert ledger.cost == pytest.approx(sum(part.cost or 0.0 for part in parts) + output * 4 / 1e6)


async def test_a_ledger_says_where_an_entry_was_used(tmp_path: Path):
    async def find(what: str) -> str:
        """Find a file."""
        return f"{what} is in src/{what}_77.py" if what == "stairs" else f"{what} was never built-9931"

    lead = scripted(
        calls("desk.find", what="stairs"),
        calls("desk.find", what="lift"),
        says("It is in src/stairs_77.py."),
    )

    ledger = assert_accounts(await run_team(tmp_path, ALONE, tools=[find], lead=lead))

    results = [line.entry for line in ledger.lines["lead"] if line.kind == "result"]
    assert [ledger.used_in(entry) for entry in results] == [(3,), ()]


def history(turns: int) -> list[Recorded]:
    """The events of an agent run whose window only grows, made by hand."""
    told: list[Event] = [
        AgentRunStarted(
            agent="lead", name="lead", description="", model="m", provider="p", tools=(), brief=None, depth=0
        ),
        EntryAppended(agent="lead", entry=0, origin="task", message=user("Where is X?"), tokens=8),
    ]
    size = 8
    for turn in range(1, turns + 1):
        reply, key = Message("assistant", (ToolCall(f"c{turn}", "desk.note", "{}"),)), f"lead/turn-{turn}/0"
        asked = {"agent": "lead", "turn": turn}
        call = {**asked, "call_id": f"c{turn}", "key": key, "tool": "desk.note"}
        result = Message("tool", (ToolResult(f"c{turn}", f"It is page-{turn}."),))
        usage = Usage(size + 11, 5, size // 2, calls=1)
        told += [
            ModelCallStarted(
                **asked, model="m", provider="p", entries=2 * turn - 1, input_tokens=size, digest=""
            ),
            ModelCallFinished(
                **asked, message=reply, stop_reason="tool_calls", usage=usage, cost=0.1, model="m"
            ),
            EntryAppended(agent="lead", entry=2 * turn - 1, origin="assistant", message=reply, tokens=9),
            ToolCallStarted(**call, arguments="{}", effect="read"),
            ToolCallFinished(**call, shown="It is a page."),
            EntryAppended(agent="lead", entry=2 * turn, origin="tool:desk.note", message=result, tokens=11),
        ]
        size += 20
    return [Recorded("run", number, float(number), event) for number, event in enumerate(told)]


def test_the_time_a_ledger_takes_is_linear_in_the_number_of_turns():
    def seconds(recorded: Sequence[Recorded]) -> float:
        begun = time.process_time()
        keep_ledger(record_of(recorded))
        return time.process_time() - begun

    short, long = history(1_000), history(8_000)

    # Linear is 8, the square 64; what lies between is the machine.
    assert min(seconds(long) for _ in range(3)) < 20 * min(seconds(short) for _ in range(3))

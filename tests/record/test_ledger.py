"""Every token of every request has an origin: in the examples, and over a thousand turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest

import harness
from harness import Message, Recorded, calls, says, scripted, together
from harness.events import ModelCallStarted, SummaryFinished, WindowCompacted
from harness.record import Ledger, keep_ledger, record_of
from tests.loop.stage import delegates, opener, reports, told
from tests.record.accounts import Reporting, assert_accounts, thinks

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


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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
    assert {"system", "tool_definition", "task", "brief", "call", "result", "report"} <= ledger.by_kind().keys()
    assert set(ledger.by_server()) == {"corpus"}
    state_tokens = sum(item.event.input_tokens for item in recorded if isinstance(item.event, ModelCallStarted))
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


async def long_run(folder: Path, context: str, turns: int, *, every: int = 1) -> list[Recorded]:
    """A run of many turns through the harness, with a model that reports what it is sent."""
    lead = Reporting(*[reply_at(turn) for turn in range(turns - 1)], says("Done."), every=every)
    scout = Reporting(calls("desk.note", page=1), reports("It is at page-000001."), name="scout")
    default = Reporting(lambda messages: says("Summed up: page-000001 was read, and others."), name="cheap")
    open_team = opener(folder)
    async with open_team(
        TEAM.replace("CONTEXT", context), desk=[note, fail], lead=lead, scout=scout, default=default
    ) as opened:
        run = await told(await opened.start("Where is X?"))
    assert run.result.output == "Done."
    return list(run.recorded)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("long")


async def test_every_token_of_a_thousand_compacted_turns_is_attributed(folder: Path):
    recorded = await long_run(folder, COMPACTED, TURNS)

    ledger = assert_accounts(recorded)

    compactions = [item.event for item in recorded if isinstance(item.event, WindowCompacted)]
    used = {strategy for event in compactions for strategy in event.strategies}
    assert len(ledger.turns["lead"]) == TURNS
    assert used >= {"clear_results", "summarise"}
    assert ledger.by_kind().keys() >= ORIGINS
    assert all(ledger.by_kind()[kind] > 0 for kind in ORIGINS)
    summaries = [aside for aside in ledger.asides if aside.kind == "summary"]
    assert len(summaries) == sum(isinstance(item.event, SummaryFinished) for item in recorded)
    # What the ledger could not place: the model counts by letters, we by words, and it has a template of its own.
    assert ledger.residual / ledger.sent < 0.02

"""The laws of the ledger, over runs that nobody thought of: whatever happens in a window, every token has one origin."""

from __future__ import annotations

import tempfile
from pathlib import Path

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import Message, ModelError, calls, says, together
from harness.messages import Reasoning
from harness.models.scripted import Reply
from tests.loop.stage import delegates, plans, reports, task
from tests.record.accounts import Reporting, assert_accounts, run_team, thinks

AGENTS = """\
limits: {turns: 400}
agents:
  lead:
    instructions: Lead the search.
    tools: [desk]
    delegates: [scout]
    context: CONTEXT
  scout: {description: Finds things., instructions: Scout., tools: [desk]}
"""

STRATEGIES = (
    "drop_superseded",
    "clear_results: {keep: 0}",
    "fold_branches",
    "offload: {above: 100}",
    "summarise: {model: default, keep: 0}",
    "drop_turns: {keep: 0}",
)

texts = st.text(alphabet="abc 123_/.é中\n", min_size=1, max_size=400)


async def note(page: int, length: int = 60) -> str:
    """Read a page."""
    return f"page-{page:04d} " + "nothing of note " * length


async def fail(page: int) -> str:
    """Read a page that is not there."""
    raise FileNotFoundError(f"there is no page {page}")


@st.composite
def acts(draw: st.DrawFn) -> Message:
    """A reply that goes on: tool calls, some of which fail, and sub-agents, with or without words and thinking."""
    page, length = draw(st.integers(0, 5)), draw(st.integers(0, 120))
    number = draw(st.integers(1, 3))
    reply = draw(
        st.sampled_from(
            [
                calls("desk.note", page=page, length=length),
                together(*[calls("desk.note", page=page + one, length=length) for one in range(number)]),
                calls("desk.fail", page=page),
                calls("desk.unknown", page=page),
                calls("desk.note", page="no number"),
                delegates("scout", f"Find page {page}."),
                plans(*[task(f"t{one}") for one in range(number)]),
            ]
        )
    )
    if draw(st.booleans()):
        reply = together(says(draw(texts)), reply)
    if draw(st.booleans()):
        reply = thinks(draw(texts), reply)
    if draw(st.integers(0, 9)) == 0:
        opaque = Reasoning("", provider="p", payload='{"encrypted":"' + "q" * 200 + '"}')
        reply = Message("assistant", (opaque, *reply.parts))
    return reply


@st.composite
def contexts(draw: st.DrawFn) -> str:
    """How a window is kept: wide, or small with some of the strategies, each of them sooner or later."""
    if draw(st.integers(0, 3)) == 0:
        return "{window: 200k}"
    chosen = draw(st.lists(st.sampled_from(STRATEGIES), min_size=1, max_size=3, unique=True))
    listed = ", ".join(f"{{{one}}}" if ":" in one else one for one in chosen)
    return f"{{window: {draw(st.sampled_from(['2k', '3k', '5k']))}, target: 0.4, strategies: [{listed}]}}"


@st.composite
def models(draw: st.DrawFn) -> dict[str, Reporting]:
    """A lead, a scout and a summariser, of which some report usage always, some never, some now and then."""

    def model(name: str, *replies: Reply) -> Reporting:
        every, hidden = draw(st.sampled_from([0, 1, 1, 1, 2, 3])), draw(st.sampled_from([0, 0, 40, 4_000]))
        since = draw(st.integers(1, 6))
        return Reporting(
            *replies,
            name=name,
            reports=lambda number: every > 0 and number % every == 0,
            unseen=lambda number: hidden if number >= since else 0,
        )

    last = draw(st.sampled_from([says("Done."), ModelError("no capacity"), Message("assistant", ())]))
    scout: Reply = draw(
        st.sampled_from([reports("It is at page-0001. " * 40), ModelError("the scout is lost")])
    )
    return {
        "lead": model("lead", *draw(st.lists(acts(), min_size=3, max_size=20)), last),
        "scout": model("scout", calls("desk.note", page=1), scout),
        "default": model("cheap", lambda messages: says("Summed up: page-0001.")),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(context=contexts(), cast=models())
def test_a_ledger_adds_up_whatever_happens_in_a_run(context: str, cast: dict[str, Reporting]):
    with tempfile.TemporaryDirectory() as folder:
        recorded = anyio.run(_run, Path(folder), context, cast)

    assert_accounts(recorded)


async def _run(folder: Path, context: str, cast: dict[str, Reporting]):
    return await run_team(folder, AGENTS.replace("CONTEXT", context), tools=[note, fail], **cast)

"""The law of the journal holds also for runs that are stopped: what is recorded is what happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Message, ModelError, ToolError, calls, fold, says, scripted, together
from harness.journal import open_journal
from harness.models.scripted import Reply
from tests.loop.stage import assert_balanced, delegates, opener, plans, reports, task

TEAM = """\
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [middle, scout]}
  middle: {instructions: Middle., tools: [desk], delegates: [scout]}
  scout: {instructions: Scout., tools: [desk]}
limits: {parallel: 2}
"""

tools = st.sampled_from(
    [
        calls("desk.look", pages=1),
        calls("desk.look", pages=4000),
        calls("desk.fail"),
        calls("desk.look", pages="many"),
        calls("desk.none"),
    ]
)


@st.composite
def plan(draw: st.DrawFn) -> Message:
    agents = draw(st.lists(st.sampled_from(["middle", "scout"]), min_size=1, max_size=4))
    return plans(
        *(
            task(f"t{number}", agent, *(f"t{need}" for need in range(number) if draw(st.booleans())))
            for number, agent in enumerate(agents)
        )
    )


routing = st.one_of(tools, st.sampled_from([delegates("middle"), delegates("scout")]), plan())
working = st.lists(tools, min_size=1, max_size=3).map(lambda parts: together(*parts))
leading = st.lists(routing, min_size=1, max_size=3).map(lambda parts: together(*parts))
endings = st.one_of(
    st.text("ab \n", max_size=12).map(says),
    st.sampled_from([reports("Nothing.", "failed"), reports("long " * 3000)]),
    st.just(ModelError("broken")),
)


def scripts(turns: st.SearchStrategy[Message]) -> st.SearchStrategy[list[Reply]]:
    return st.tuples(st.lists(turns, max_size=2), endings).map(lambda drawn: [*drawn[0], drawn[1], drawn[1]])


async def look(pages: int) -> str:
    await anyio.lowlevel.checkpoint()
    return "a page\n" * pages


def fail() -> str:
    raise ToolError("the shelf is empty")


@settings(deadline=None, max_examples=50)
@given(
    lead=scripts(leading),
    middle=scripts(leading.filter(lambda reply: "middle" not in repr(reply))),
    scout=scripts(working),
    stop_at=st.none() | st.integers(1, 150),
    place=st.sampled_from(["runs.db", "runs"]),
)
def test_what_is_read_from_disk_folds_to_the_live_state_even_after_a_cancel(
    lead: Sequence[Reply], middle: Sequence[Reply], scout: Sequence[Reply], stop_at: int | None, place: str
):
    async def check(folder: Path) -> None:
        async with opener(folder)(
            TEAM,
            store=folder / place,
            desk=[look, fail],
            lead=scripted(*lead),
            middle=scripted(*middle),
            scout=scripted(*scout),
        ) as opened:
            run = await opened.start("Go.")
            seen = []
            async for recorded in run.events():
                seen.append(recorded)
                if len(seen) == stop_at:
                    await run.cancel()
            result = await run.result()
            again = list(open_journal(folder / place, write=False).read(run.id))

        assert again == seen
        assert_balanced(again)
        assert fold(again) == run.state
        assert (result.usage, result.stop_reason) == (run.state.usage, run.state.finished.stop_reason)
        for length in range(0, len(again), 9):
            assert fold(again[:length]).events == length

    with TemporaryDirectory() as folder:
        anyio.run(check, Path(folder))

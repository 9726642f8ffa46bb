"""Failed runs, and where they first went wrong."""

from __future__ import annotations

from dataclasses import replace

from ..script import Script, Size
from .kit import Marks, Stage, defect, disguise


@defect(turns=5)
def failure_origin(at: Stage, size: Size) -> Marks:
    """A call with an id that nobody gave breaks, everything after it follows from that, and the run fails."""
    wrong = at.unseen()
    pen = at.pen()
    text = f"I take {wrong}, it will be the right one."
    first = pen.does(
        at.theme.read, {at.theme.key: wrong}, f"{wrong} does not exist", text=text, is_error=True
    )
    more = {"small": 0, "medium": 2, "large": 5}[size]
    for _ in range(more):
        pen.does(
            at.theme.write,
            {at.theme.key: wrong, "content": at.mint.code_of("C")},
            f"{wrong} cannot be changed: it does not exist",
            is_error=True,
        )
    spot = at.spot(0.3, 0.7)
    while any(call.is_error for call in at.agent.turns[spot - 1].calls):
        spot += 1  # what failed before is made good first
    mark = pen.turns[0].mark
    pen.says(f"I could not finish: {wrong} does not exist.")
    at.script = at.script.with_turns(at.path, (*at.agent.turns[:spot], *pen.turns))
    at.script = _failed_upwards(_pruned(at.script), at.path)
    return {mark, first.id}


def _pruned(script: Script) -> Script:
    """Return the script without agents whose call is not made any more."""
    calls = {call.id for agent in script.agents for call in agent.calls()}
    kept = tuple(one for one in script.agents if not one.parent_call or one.parent_call in calls)
    return replace(script, agents=kept)


def _failed_upwards(script: Script, path: str) -> Script:
    """Let an agent's failure reach the run: its report, and the turns of its parent after that."""
    agent = script.agent(path)
    last = agent.turns[-1].text
    script = script.with_agent(replace(agent, status="failed", report=last))
    if agent.parent_call:
        script = script.change_call(agent.parent, agent.parent_call, result=last, is_error=True)
        parent = script.agent(agent.parent)
        until = parent.turn_of(agent.parent_call) + 1
        end = replace(parent.turns[-1], text=f"The work failed: {last}")
        script = _pruned(
            script.with_agent(replace(parent, turns=(*parent.turns[:until], end), status="failed"))
        )
    return replace(script, outcome="failed", error=last, answer="")


@disguise(turns=5)
def recovered_error(at: Stage) -> None:
    """An early failure that was mended in the next turn."""
    key = at.unseen()
    pen = at.pen()
    pen.hears(f"Please look at {key} as well.")
    pen.does(at.theme.read, {at.theme.key: key}, "timeout, try again", is_error=True)
    found = at.mint.code_of("VAL")
    pen.does(at.theme.read, {at.theme.key: key}, f"holds {found}", text="Once more.")
    at.put(1, pen.turns)
    at.say(3, f"{key} holds {found}.")

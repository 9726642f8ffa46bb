"""How much an agent is asked to think, turn by turn, and what ends thinking that leads nowhere."""

from __future__ import annotations

import pytest

from harness.loop.thinking import Situation, decide

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("situation", "effort", "budget"),
    [
        (Situation(phase="plan"), "high", 16_384),
        (Situation(phase="act"), "low", 1_024),
        (Situation(phase="verify"), "medium", 4_096),
        (Situation(phase="finish"), "low", 1_024),
        (Situation(phase="recover", failing_turns=1), "medium", 4_096),
        (Situation(phase="recover", failing_turns=2), "high", 16_384),
        (Situation(phase="plan", window_share=0.9), "medium", 4_096),
        (Situation(phase="plan", tokens_left=6_000, turns_left=3), "high", 2_000),
        (Situation(phase="act", think_only_turns=2), "low", 512),
    ],
)
def test_the_amount_follows_from_where_the_run_stands(situation: Situation, effort: str, budget: int):
    level = decide(situation)

    assert (level.effort, level.budget) == (effort, budget)


def test_two_turns_of_thinking_alone_demand_an_action():
    def after(turns: int) -> str:
        return decide(Situation(think_only_turns=turns, can_require_calls=True)).tool_choice

    assert (after(1), after(2)) == ("auto", "required")

"""How much an agent thinks before its next step, and when it has thought enough and must act.

With `mode: auto` the amount is decided anew at each turn by a pure function of where the run stands: more for
a plan and after failures, less for routine. Thinking that leads to no action is cut short, and a call that is
made a third time over asks for another plan rather than for more thought about the same one. The starting
points are those of the research on overthinking in agents (arXiv 2502.08235) and on adaptive effort.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, assert_never

from harness.events import ThinkingDecided, ThinkingOverran
from harness.messages import user
from harness.models.port import CallOptions, TextDelta, ThinkingDelta, ToolChoice, plan_thinking
from harness.models.thinking import (
    EFFORTS,
    Effort,
    Thinking,
    ThinkingPlan,
    ThinkingUnsupported,
    Visibility,
    budget_of,
)
from harness.team import ThinkingSpec

if TYPE_CHECKING:
    from harness.loop.agent import AgentRun

Phase = Literal["plan", "act", "recover", "verify", "finish"]

IDLE_TURNS = 2
"""Turns of thinking alone after which an action is demanded."""
IDENTICAL_CALLS = 3
"""The same call this often in a row asks for another plan."""
OVERRUN = 1.1
"""More thinking than this times its budget is an overrun."""
LEAST_BUDGET = 128
"""Less than this is no thought worth having: thinking is turned off instead."""
ACT_NOW = "You have thought long enough. Do the next step now: call a tool, or hand in what you have."

UNSAID = ThinkingSpec(allow_degraded=True)
"""What is asked of an agent of which only a limit on thinking is known."""

SUMMARY_CHARACTERS = 200
"""Of each reply's thinking, where a person is to see a summary."""

_FULL_WINDOW = 0.8


@dataclass(frozen=True, slots=True)
class Situation:
    """Where an agent run stands before a turn."""

    phase: Phase = "act"
    failing_turns: int = 0
    """Turns in a row in which a call failed."""
    repeats: int = 0
    """How often in a row the same calls were made."""
    think_only_turns: int = 0
    """Replies in a row that called no tool."""
    can_require_calls: bool = False
    """Whether the endpoint may be told that a tool must be called."""
    can_do_without: bool = False
    """Whether thinking can be turned off."""
    window_share: float = 0.0
    """How full its window is; 0 if nobody knows its size."""
    tokens_left: int | None = None
    turns_left: int | None = None
    thinking_left: int | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """How much is asked for, and why."""

    mode: Literal["off", "on"]
    effort: Effort | None
    budget: int
    tool_choice: ToolChoice = "auto"
    reason: str = ""


def decide(situation: Situation) -> Level:
    """Return how much to think in this situation.

    A turn gets its share of the tokens that are left, and at most half of the thinking that is left, so that
    later turns and agents beside it have some.
    """
    effort, reason = _effort(situation)
    if situation.window_share > _FULL_WINDOW and effort != "low":
        effort = _less(effort)
        reason += f", less because the window is {situation.window_share:.0%} full"
    budget = budget_of(effort)
    choice: ToolChoice = "auto"
    if situation.think_only_turns >= IDLE_TURNS:
        reason = f"an action is due: {situation.think_only_turns} turns without one"
        if situation.can_require_calls:
            choice = "required"
        else:
            budget >>= situation.think_only_turns - IDLE_TURNS + 1
    if situation.tokens_left is not None:
        share = situation.tokens_left // max(1, situation.turns_left or 1)
        if share < budget:
            budget = share
            reason += f", no more than the {share:,} tokens that are left for it"
    if situation.thinking_left is not None and half_of(situation.thinking_left) < budget:
        budget = half_of(situation.thinking_left)
        reason += f", no more than half of the {situation.thinking_left:,} tokens of thinking that are left"
    if budget < LEAST_BUDGET and situation.can_do_without:
        return Level("off", None, 0, choice, f"{reason}; that is too little to think with")
    return Level("on", effort, max(1, budget), choice, reason)


def half_of(thinking_left: int) -> int:
    """Return half of it, or all if that would be too little to think with."""
    return max(thinking_left // 2, min(thinking_left, LEAST_BUDGET))


def _effort(situation: Situation) -> tuple[Effort, str]:
    if situation.repeats > IDENTICAL_CALLS:
        return "low", f"the same calls for the {situation.repeats}th time, which more thought does not help"
    match situation.phase:
        case "plan":
            return "high", "planning"
        case "act":
            return "low", "routine"
        case "verify":
            return "medium", "checking what was changed"
        case "finish":
            return "low", "finishing"
        case "recover":
            failing = max(1, situation.failing_turns)
            times = "a failure" if failing == 1 else f"{failing} failing turns in a row"
            return ("medium" if failing == 1 else "high"), f"after {times}"
        case _:
            assert_never(situation.phase)


def _less(effort: Effort) -> Effort:
    return EFFORTS[EFFORTS.index(effort) - 1]


def situation_of(agent: AgentRun) -> Situation:
    """Return where an agent run stands before its next turn."""
    conduct = agent.state.conduct
    window = agent.room.window if agent.room is not None else agent.model.context_window
    thinks = plan_thinking(agent.model, Thinking("on", "low", allow_degraded=True))
    return Situation(
        phase=_phase(agent),
        failing_turns=conduct.failing_turns,
        repeats=conduct.repeats,
        think_only_turns=conduct.think_only_turns,
        can_require_calls=bool(agent.tools) and thinks.can_require_tools,
        can_do_without=_can_do_without(agent),
        window_share=agent.expected_tokens() / window if window else 0.0,
        tokens_left=agent.budget.tokens_left,
        turns_left=agent.budget.turns_left,
        thinking_left=agent.budget.thinking_left,
    )


def _phase(agent: AgentRun) -> Phase:
    state, conduct = agent.state, agent.state.conduct
    if state.turns <= 1 or conduct.replanning:
        return "plan"
    if agent.budget.turns_left == 1:
        return "finish"
    if conduct.failing_turns:
        return "recover"
    if conduct.wrote:
        return "verify"
    done = [status not in ("waiting", "running") for status in state.task_status.values()]
    return "finish" if done and all(done) else "act"


def think(agent: AgentRun, turn: int) -> CallOptions:
    """Decide how much the next call asks for, record it, and return what the model is to be told.

    A decision that is on record holds: what was left of a budget that others share depends on the clock.
    """
    asked = agent.thinking
    if asked is None:
        if agent.budget.thinking_left is None:
            return CallOptions()
        asked = UNSAID
    decided = agent.log.past.thought(agent.path, turn)
    if decided is None:
        decided = _decided(agent, turn, asked)
        agent.budget.hand_out_thinking(decided.budget or 0)
    agent.emit(decided)
    due = asked.mode != "off" and agent.state.conduct.think_only_turns == IDLE_TURNS
    if due and decided.tool_choice == "auto":
        agent.append("nudge", user(ACT_NOW))
    # What was decided has been weighed against the endpoint already.
    thinking = Thinking(decided.mode, decided.effort, decided.budget, decided.visible, allow_degraded=True)
    return CallOptions(tool_choice=decided.tool_choice, thinking=thinking)


def most_of(asked: ThinkingSpec) -> Thinking:
    """Return the most that is ever asked for where the team file says this."""
    if asked.mode == "auto":
        budget = budget_of("high")
        budget = budget if asked.budget is None else min(asked.budget, budget)
        return Thinking("on", "high", budget, asked.visible, allow_degraded=True)
    return Thinking(asked.mode, asked.effort, asked.budget, asked.visible, asked.allow_degraded)


def check_thinking(agent: AgentRun) -> None:
    """Refuse a turn of a model that would think although no thinking is left, and cannot do without.

    Raises:
        LimitReached: It would.
    """
    limit = agent.budget.thinking_used_up()
    if limit is not None and not _can_do_without(agent):
        raise limit


def _can_do_without(agent: AgentRun) -> bool:
    try:
        plan = plan_thinking(agent.model, Thinking("off"))
    except ThinkingUnsupported:
        return False
    return plan.enforcement != "soft" and not agent.state.conduct.overran


def _decided(agent: AgentRun, turn: int, asked: ThinkingSpec) -> ThinkingDecided:
    """Decide anew, from where the run stands and what is left."""
    left = agent.budget.thinking_left
    thinking, choice, reason = _wanted(agent, asked)
    if left == 0:
        # Nothing is what may still be thought, which the harness holds it to where it sees it.
        thinking = Thinking("off", None, 0, asked.visible, allow_degraded=True)
        reason = "no thinking is left in the budget"
    elif left is not None and thinking.mode == "on":
        most = half_of(left) if thinking.budget is None else left
        if most < (thinking.budget or most + 1):
            thinking = replace(thinking, budget=most, allow_degraded=True)
            reason += f"; {left:,} tokens of thinking are left"
    plan = plan_thinking(agent.model, thinking)
    return ThinkingDecided(
        agent=agent.path,
        turn=turn,
        mode=thinking.mode,
        effort=thinking.effort,
        budget=thinking.budget,
        tool_choice="required" if choice == "required" and plan.can_require_tools else "auto",
        visible=thinking.visible,
        reason=reason,
        **_enforcement(plan, overran=agent.state.conduct.overran),
    )


def _wanted(agent: AgentRun, asked: ThinkingSpec) -> tuple[Thinking, ToolChoice, str]:
    """Return what the team file asks for here, whether a call is demanded, and why."""
    if asked.mode == "auto":
        level = decide(situation_of(agent))
        budget = level.budget if asked.budget is None else min(asked.budget, level.budget)
        thinking = Thinking(level.mode, level.effort, budget or None, asked.visible, allow_degraded=True)
        return thinking, level.tool_choice, level.reason
    thinking = most_of(asked)
    if agent.stands_in:
        # What stands in for a model does what comes nearest, rather than end the run.
        thinking = replace(thinking, allow_degraded=True)
    idle = agent.state.conduct.think_only_turns
    if asked.mode == "on" and idle >= IDLE_TURNS:
        choice: ToolChoice = "required" if agent.tools else "auto"
        return thinking, choice, f"an action is due: {idle} turns without one"
    return thinking, "auto", "as the team file says"


def _enforcement(plan: ThinkingPlan, *, overran: bool) -> dict[str, Any]:
    if overran and plan.enforcement == "hard":
        return {
            "enforcement": "soft",
            "enforced_by": "an earlier reply passed its budget by more than a tenth",
        }
    return {"enforcement": plan.enforcement, "enforced_by": plan.reason}


def note_overrun(agent: AgentRun, turn: int, asked: Thinking | None, tokens: int) -> None:
    """Record it if a reply thought more than a tenth beyond its budget."""
    budget = asked.budget if asked is not None else None
    if budget is not None and tokens > OVERRUN * budget:
        agent.emit(ThinkingOverran(agent=agent.path, turn=turn, budget=budget, tokens=tokens))


class Shown:
    """What a person is shown of a reply's thinking while it streams."""

    def __init__(self, visible: Visibility) -> None:
        self._left = {"hidden": 0, "summary": SUMMARY_CHARACTERS, "full": None}[visible]

    def __call__(self, notice: TextDelta | ThinkingDelta) -> TextDelta | ThinkingDelta | None:
        """Return what is left of a notice, or None if that is nothing."""
        if not isinstance(notice, ThinkingDelta) or self._left is None:
            return notice
        text = notice.text[: self._left]
        self._left -= len(text)
        return ThinkingDelta(text) if text else None

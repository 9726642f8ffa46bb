"""How much an agent thinks before its next step, and when it has thought enough and must act.

With `mode: auto` the amount is decided anew at each turn by a pure function of where the run stands: more for
a plan and after failures, less for routine. Thinking that leads to no action is cut short, and a call that is
made a third time over asks for another plan rather than for more thought about the same one. The starting
points are those of the research on overthinking in agents (arXiv 2502.08235) and on adaptive effort.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, assert_never

from harness.events import ThinkingDecided
from harness.messages import user
from harness.models.port import CallOptions, Model, plan_thinking
from harness.models.thinking import EFFORTS, Effort, Thinking, ThinkingPlan, ThinkingUnsupported
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
ACT_NOW = "You have thought long enough. Do the next step now: call a tool, or hand in what you have."

ACT_REASON = "an action is due"
"""Begins the reason of a decision that demands one."""

UNSAID = ThinkingSpec(allow_degraded=True)
"""What is asked of an agent of which only a limit on thinking is known."""

_FULL_WINDOW = 0.8
_BUDGET_OF_EFFORT: dict[Effort, int] = {"low": 1_024, "medium": 4_096, "high": 16_384}


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
    window_share: float = 0.0
    """How full its window is; 0 if nobody knows its size."""
    tokens_left: int | None = None
    turns_left: int | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """How much is asked for, and why."""

    effort: Effort
    budget: int
    act: bool = False
    """Whether an action is demanded."""
    reason: str = ""


def decide(situation: Situation) -> Level:
    """Return how much to think in this situation."""
    effort, reason = _effort(situation)
    if situation.window_share > _FULL_WINDOW and effort != "low":
        effort = _less(effort)
        reason += f", less because the window is {situation.window_share:.0%} full"
    budget = _BUDGET_OF_EFFORT[effort]
    if situation.tokens_left is not None:
        share = situation.tokens_left // max(1, situation.turns_left or 1)
        if share < budget:
            budget = max(0, share)
            reason += f", no more than the {share:,} tokens that are left for it"
    if situation.think_only_turns >= IDLE_TURNS:
        return Level(
            effort, budget // 2, act=True, reason=f"{situation.think_only_turns} turns without an action"
        )
    return Level(effort, budget, reason=reason)


def _effort(situation: Situation) -> tuple[Effort, str]:
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
    return Situation(
        phase=_phase(agent),
        failing_turns=conduct.failing_turns,
        repeats=conduct.repeats,
        think_only_turns=conduct.think_only_turns,
        window_share=agent.expected_tokens() / window if window else 0.0,
        tokens_left=agent.budget.tokens_left,
        turns_left=agent.budget.turns_left,
    )


def _phase(agent: AgentRun) -> Phase:
    state = agent.state
    plan = state.plans[-1].version if state.plans else -1
    if state.replans and state.replans[-1].version >= plan:
        return "plan"
    if state.conduct.failing_turns:
        return "recover"
    if plan < 0 and ("plan" in agent.tools or state.turns <= 1):
        return "plan"
    if state.conduct.wrote:
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
    agent.emit(decided)
    if decided.reason.startswith(ACT_REASON) and decided.tool_choice == "auto":
        agent.append("nudge", user(ACT_NOW))
    # What was decided has been weighed against the endpoint already.
    thinking = Thinking(decided.mode, decided.effort, decided.budget, asked.visible, allow_degraded=True)
    return CallOptions(tool_choice=decided.tool_choice, thinking=thinking)


def check_thinking(agent: AgentRun) -> None:
    """Refuse a turn of a model that would think although no thinking is left, and cannot do without.

    Raises:
        LimitReached: It would.
    """
    limit = agent.budget.thinking_used_up()
    if limit is not None and not _can_do_without(agent.model):
        raise limit


def _can_do_without(model: Model) -> bool:
    try:
        return plan_thinking(model, Thinking("off")).enforcement != "soft"
    except ThinkingUnsupported:
        return False


def _decided(agent: AgentRun, turn: int, asked: ThinkingSpec) -> ThinkingDecided:
    left = agent.budget.thinking_left
    if asked.mode == "auto":
        level = decide(situation_of(agent))
        thinking = Thinking("on", level.effort, level.budget, asked.visible, allow_degraded=True)
        if asked.budget is not None:
            thinking = replace(thinking, budget=min(asked.budget, level.budget))
        reason = f"{ACT_REASON}: {level.reason}" if level.act else level.reason
        act = level.act
    else:
        thinking = Thinking(asked.mode, asked.effort, asked.budget, asked.visible, asked.allow_degraded)
        reason, act = "as the team file says", False
        if asked.mode == "on" and agent.state.conduct.think_only_turns >= IDLE_TURNS:
            reason = f"{ACT_REASON}: {agent.state.conduct.think_only_turns} turns without an action"
            act = True
    if left == 0 and thinking.mode == "on":
        thinking, reason = Thinking("off", allow_degraded=True), "no thinking is left in the budget"
    elif left is not None and thinking.mode == "on" and left < (thinking.budget or left + 1):
        thinking = replace(thinking, budget=left, allow_degraded=True)
        reason += f"; {left:,} tokens of thinking are left"
    plan = plan_thinking(agent.model, thinking)
    required = act and bool(agent.tools) and plan.can_require_tools
    return ThinkingDecided(
        agent=agent.path,
        turn=turn,
        mode=thinking.mode,
        effort=thinking.effort,
        budget=thinking.budget,
        tool_choice="required" if required else "auto",
        reason=reason,
        **_enforcement(plan, overran=agent.state.conduct.overran),
    )


def _enforcement(plan: ThinkingPlan, *, overran: bool) -> dict[str, Any]:
    if overran and plan.enforcement == "hard":
        return {
            "enforcement": "soft",
            "enforced_by": "an earlier reply passed its budget by more than a tenth",
        }
    return {"enforcement": plan.enforcement, "enforced_by": plan.reason}

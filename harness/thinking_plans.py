"""What the endpoints of a team will do about thinking, known before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import Problem, TeamError
from harness.loop.thinking import most_of
from harness.models.port import Model, plan_thinking
from harness.models.thinking import ThinkingPlan, ThinkingUnsupported
from harness.team import Team


def thinking_plans(team: Team, models: Mapping[str, Model]) -> dict[str, ThinkingPlan]:
    """Return what the endpoint of each agent will do about thinking, for agents of which something is said.

    Args:
        models: By agent.

    Raises:
        TeamError: A model cannot express what is asked of it; with the place in the file.
    """
    plans: dict[str, ThinkingPlan] = {}
    problems: list[Problem] = []
    for name in team.spec.agents:
        asked = team.spec.thinking_of(name)
        if asked is None:
            continue
        try:
            plans[name] = plan_thinking(models[name], most_of(asked))
        except ThinkingUnsupported as error:
            what, _, hint = str(error).partition("; ")
            message = f"the model {models[name].name} of agent {name} cannot do this: {what}"
            problems.append(team.thinking_marks[name].problem(message, hint))
    if problems:
        raise TeamError(problems)
    return plans

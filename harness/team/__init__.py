"""The team file: YAML in, frozen specs out, errors with file, line and column."""

from harness.team.context_specs import ContextSpec, StrategySpec, SummariseSpec
from harness.team.difference import team_difference
from harness.team.library import agent_library
from harness.team.loading import Team, load_team, parse_team, restore_team
from harness.team.model_specs import NETWORK_APIS, ModelSpec, PriceSpec, ScriptCall, ScriptTurn, ThinkingSpec
from harness.team.schema import team_schema
from harness.team.specs import (
    AgentSpec,
    ConditionSpec,
    LimitsSpec,
    OrderSpec,
    OutputSpec,
    PermissionSpec,
    ReportSpec,
    ServerSpec,
    ServeSpec,
    TeamSpec,
    TimeoutsSpec,
    contracts_of,
)
from harness.team.starter import starter_team

__all__ = [
    "NETWORK_APIS",
    "ThinkingSpec",
    "ContextSpec",
    "StrategySpec",
    "SummariseSpec",
    "AgentSpec",
    "ConditionSpec",
    "LimitsSpec",
    "ModelSpec",
    "OrderSpec",
    "OutputSpec",
    "PermissionSpec",
    "PriceSpec",
    "ReportSpec",
    "ScriptCall",
    "ScriptTurn",
    "ServeSpec",
    "ServerSpec",
    "Team",
    "TeamSpec",
    "TimeoutsSpec",
    "contracts_of",
    "agent_library",
    "load_team",
    "parse_team",
    "restore_team",
    "starter_team",
    "team_difference",
    "team_schema",
]

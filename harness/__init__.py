"""harness: a multi-agent orchestration harness.

    result = harness.run_sync("team.yaml", "Which …?")

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.confirming import confirm_sync
    from harness.diagnosing import diagnose
    from harness.errors import (
        ContextOverflow,
        Divergence,
        HarnessError,
        LimitReached,
        ModelError,
        ModelRejected,
        ModelUnavailable,
        RunTaken,
        StoreError,
        TeamError,
        ThinkingBudgetExhausted,
        ToolError,
        ToolServerError,
        UsageError,
    )
    from harness.events import Citation, Recorded
    from harness.harness import Harness
    from harness.journal import MemoryJournal
    from harness.loop.state import RunState, fold
    from harness.messages import Image, Message, ToolCall, Usage
    from harness.models.scripted import ScriptedModel, calls, says, scripted, together
    from harness.opening import open_harness as open
    from harness.opening import run_sync
    from harness.replay import Changes
    from harness.replaying import Replayed, replay_sync
    from harness.run import Run, RunResult
    from harness.team import Team, load_team
    from harness.tools.functions import FunctionToolset

_HOMES = {
    "Changes": "harness.replay",
    "Citation": "harness.events",
    "ContextOverflow": "harness.errors",
    "Divergence": "harness.errors",
    "FunctionToolset": "harness.tools.functions",
    "Harness": "harness.harness",
    "HarnessError": "harness.errors",
    "Image": "harness.messages",
    "LimitReached": "harness.errors",
    "MemoryJournal": "harness.journal",
    "Message": "harness.messages",
    "ModelError": "harness.errors",
    "ModelRejected": "harness.errors",
    "ModelUnavailable": "harness.errors",
    "Recorded": "harness.events",
    "Replayed": "harness.replaying",
    "Run": "harness.run",
    "RunResult": "harness.run",
    "RunState": "harness.loop.state",
    "RunTaken": "harness.errors",
    "ScriptedModel": "harness.models.scripted",
    "StoreError": "harness.errors",
    "Team": "harness.team",
    "TeamError": "harness.errors",
    "ThinkingBudgetExhausted": "harness.errors",
    "ToolCall": "harness.messages",
    "ToolError": "harness.errors",
    "ToolServerError": "harness.errors",
    "Usage": "harness.messages",
    "UsageError": "harness.errors",
    "calls": "harness.models.scripted",
    "confirm_sync": "harness.confirming",
    "diagnose": "harness.diagnosing",
    "fold": "harness.loop.state",
    "load_team": "harness.team",
    "open": "harness.opening:open_harness",
    "replay_sync": "harness.replaying",
    "run_sync": "harness.opening",
    "says": "harness.models.scripted",
    "scripted": "harness.models.scripted",
    "together": "harness.models.scripted",
}

__all__ = [
    "Changes",
    "Citation",
    "ContextOverflow",
    "Divergence",
    "FunctionToolset",
    "Harness",
    "HarnessError",
    "Image",
    "LimitReached",
    "MemoryJournal",
    "Message",
    "ModelError",
    "ModelRejected",
    "ModelUnavailable",
    "Recorded",
    "Replayed",
    "Run",
    "RunResult",
    "RunState",
    "RunTaken",
    "ScriptedModel",
    "StoreError",
    "Team",
    "TeamError",
    "ThinkingBudgetExhausted",
    "ToolCall",
    "ToolError",
    "ToolServerError",
    "Usage",
    "UsageError",
    "calls",
    "confirm_sync",
    "diagnose",
    "fold",
    "load_team",
    "open",
    "replay_sync",
    "run_sync",
    "says",
    "scripted",
    "together",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    value = getattr(import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

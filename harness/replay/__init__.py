"""Runs as values: carried on, carried out again, branched off, compared, and moved."""

from harness.replay.again import RecordedModel, Replay, carry_out_again
from harness.replay.forking import Changes, Fork, plan_fork
from harness.replay.resumption import Resumption, plan_resumption, recorded_team

__all__ = [
    "Changes",
    "Fork",
    "RecordedModel",
    "Replay",
    "Resumption",
    "carry_out_again",
    "plan_fork",
    "plan_resumption",
    "recorded_team",
]

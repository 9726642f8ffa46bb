"""Runs as values: carried on, carried out again, branched off, compared, and moved."""

from harness.replay.again import Replay, RecordedModel, carry_out_again
from harness.replay.resumption import Resumption, plan_resumption, recorded_team

__all__ = [
    "Replay",
    "Resumption",
    "carry_out_again",
    "plan_resumption",
    "recorded_team",
]

"""Runs as values: what a run was, ours or anybody's, and what can be computed from it without judging.

`run` holds the record itself, `journal` makes one of our events, `building` is what importers make one
with, `ledger` attributes every token (`calibration` says how large each entry was), `order` says what
happened before what, `uses` what was used later.
"""

from __future__ import annotations

from harness.record.building import AgentBuilder, place_calls
from harness.record.calibration import TurnLine
from harness.record.contracts import Judged, judge_order, judged_call
from harness.record.journal import record_of
from harness.record.ledger import DefinitionLine, Ledger, Line, keep_ledger
from harness.record.order import Order
from harness.record.run import (
    ALL_FACETS,
    AgentRecord,
    Aside,
    Call,
    Entry,
    Facet,
    Kind,
    Outcome,
    Piece,
    RunRecord,
    Turn,
)

__all__ = [
    "ALL_FACETS",
    "AgentBuilder",
    "AgentRecord",
    "Aside",
    "Call",
    "DefinitionLine",
    "Entry",
    "Facet",
    "Judged",
    "Kind",
    "Ledger",
    "Line",
    "Order",
    "Outcome",
    "Piece",
    "RunRecord",
    "Turn",
    "TurnLine",
    "judge_order",
    "judged_call",
    "keep_ledger",
    "place_calls",
    "record_of",
]

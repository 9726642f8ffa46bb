"""Contracts on the order of tool calls: a line to read aloud, an automaton, a verdict.

`language` reads the line, `templates` holds what may be said with formula and automaton, `monitor` judges
calls before they begin, and `checking` judges any trace afterwards by its causal order. Nothing here knows
teams, journals or models.
"""

from __future__ import annotations

from harness.contracts.automata import Automaton, Standing
from harness.contracts.calls import NEVER_RAN, Call
from harness.contracts.checking import Before, Breach, Verdict, check
from harness.contracts.contract import Contract, Enforce, Link, Severity
from harness.contracts.language import parse_contract
from harness.contracts.monitor import Monitor, Owed, Refusal
from harness.contracts.patterns import CallPattern, Condition, Pattern
from harness.contracts.templates import TEMPLATES, Template
from harness.contracts.words import ContractError

__all__ = [
    "NEVER_RAN",
    "TEMPLATES",
    "Automaton",
    "Before",
    "Breach",
    "Call",
    "CallPattern",
    "Condition",
    "Contract",
    "ContractError",
    "Enforce",
    "Link",
    "Monitor",
    "Owed",
    "Pattern",
    "Refusal",
    "Severity",
    "Standing",
    "Template",
    "Verdict",
    "check",
    "parse_contract",
]

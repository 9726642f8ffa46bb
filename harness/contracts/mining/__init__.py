"""Contracts that good runs keep, proposed from their traces.

Every template that orders two calls, the ends, and the counts are asked about for all tools, and for two
calls also with a value that ties them. Proposed is what is kept in every trace it speaks of, never broken
and never undetermined, and what chance would not have kept: `chance` says what chance is, and the rate of
false discoveries among all that is asked about is held (`chance.adjusted`). A stronger contract is asked
about given the weaker one: that two calls are next to each other has to be more than that they are in order.

The templates and why negative ones are not asked about: W. van der Aalst et al., "Declarative workflows"
(2009); of what never happened traces are full. On exact tests for patterns in sequences whose order is
exchanged: A. Tonon and F. Vandin, "Permutation strategies for mining significant sequential patterns" (2019).
That tests which cannot succeed are not counted: R. Tarone, "A modified Bonferroni method for discrete
data" (1990).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from harness.contracts.checking import check
from harness.contracts.contract import Contract
from harness.contracts.language import parse_contract
from harness.contracts.mining import chance
from harness.contracts.mining.candidates import Candidate, candidates
from harness.contracts.mining.reduction import Proposal, joined, reduced
from harness.contracts.mining.traces import Counts, Scope, Trace

__all__ = ["Mined", "Proposal", "Scope", "Trace", "mine"]


@dataclass(frozen=True, slots=True)
class Mined:
    """What traces propose."""

    proposals: Mapping[str, Sequence[Proposal]]
    """By the name of their scope, the surest first; none that the others imply."""
    tested: int
    """How many contracts were asked about."""
    needed: int
    """In how many runs two calls must come, once each, for their order to be told from chance."""


def mine(scopes: Sequence[Scope], *, rate: float = 0.05, least: int = 10) -> Mined:
    """Return the contracts that the traces keep and that chance does not explain.

    Args:
        rate: The share of false discoveries to be expected among what is found, over all scopes; it holds for
            what is found, of which then is left out what goes without saying.
        least: In how many runs a contract must have something to say.
    """
    possible = 0
    asked: list[tuple[Scope, Candidate]] = []
    for scope in scopes:
        for candidate in candidates(scope, Counts(scope.traces)):
            possible += 1
            if candidate.log_p <= log(rate) and candidate.runs >= least:
                asked.append((scope, candidate))
    kept: list[tuple[Scope, Candidate, Contract, int]] = []
    for scope, candidate in asked:
        contract = parse_contract(candidate.text)
        activations = _activations(contract, scope.traces)
        if activations:
            kept.append((scope, candidate, contract, activations))
    rates = chance.adjusted([candidate.log_p for _, candidate, _, _ in kept], len(asked))
    found: dict[str, list[Proposal]] = {}
    for (scope, candidate, contract, activations), log_q in zip(kept, rates, strict=True):
        if log_q <= log(rate):
            one = Proposal(contract, candidate.runs, activations, _plain(candidate.log_p), _plain(log_q))
            found.setdefault(scope.name, []).append(one)
    proposals = {scope.name: _told(found.get(scope.name, ()), scope) for scope in scopes}
    needed = max(least, chance.traces_needed(possible, rate))
    return Mined({name: told for name, told in proposals.items() if told}, len(asked), needed)


def _told(found: Sequence[Proposal], scope: Scope) -> list[Proposal]:
    told: list[Proposal] = []
    for contract, parts in joined(reduced(found)):
        if len(parts) == 1:
            told += parts
            continue
        runs = {trace.run for trace in scope.traces if _activations(contract, [trace])}
        p, q = max(part.p for part in parts), max(part.q for part in parts)
        told.append(Proposal(contract, len(runs), sum(part.activations for part in parts), p, q))
    return sorted(told, key=lambda one: (one.q, one.contract.text))


def _activations(contract: Contract, traces: Sequence[Trace]) -> int:
    """Return how often a contract has something to say; 0 if it is not surely kept everywhere."""
    activations = 0
    for trace in traces:
        verdict = check(contract, trace.calls, trace.before)
        if verdict.breaches:
            return 0
        activations += verdict.activations
    return activations


def _plain(log_p: float) -> float:
    """Return a probability that is not too small for a number."""
    return exp(max(log_p, -690.0))

"""Budgets: whatever the tree of limits and whoever spends, no limit is passed by more than one call."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import LimitReached, Usage
from harness.limits import Budget
from harness.team import LimitsSpec

pytestmark = pytest.mark.anyio

amounts = st.none() | st.integers(1, 5000)
limits = st.builds(
    lambda tokens, usd, turns: LimitsSpec(tokens=tokens, usd=usd, turns=turns),
    amounts,
    st.none() | st.floats(0.001, 1),
    st.none() | st.integers(1, 10),
)


@dataclass
class Node:
    """One budget and what was spent in it."""

    budget: Budget
    above: list[int]
    """Indexes of the budgets it is in, its own first."""


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[int, LimitsSpec]]:
    """Parents and limits; the first is the run."""
    return [
        (draw(st.integers(0, max(0, number - 1))), draw(limits)) for number in range(draw(st.integers(2, 7)))
    ]


call = st.tuples(st.integers(0, 6), st.integers(0, 800), st.integers(0, 400), st.floats(0, 0.2))


@settings(deadline=None, max_examples=200)
@given(trees(), st.lists(call, max_size=40))
def test_no_limit_is_passed_by_more_than_the_last_call(
    shapes: list[tuple[int, LimitsSpec]], spends: list[tuple[int, int, int, float]]
):
    async def spend_all() -> None:
        nodes = [Node(Budget("the run", shapes[0][1]), [0])]
        for number, (parent, spec) in enumerate(shapes[1:], start=1):
            above = nodes[parent]
            nodes.append(Node(above.budget.child(f"agent {number}", spec), [number, *above.above]))
        spent = [Usage() for _ in nodes]
        cost = [0.0 for _ in nodes]
        for place, tokens_in, tokens_out, price in spends:
            chosen = nodes[1 + place % (len(nodes) - 1)]
            before = {at: (spent[at].total_tokens, cost[at]) for at in chosen.above}
            try:
                chosen.budget.begin_turn(tokens_in)
            except LimitReached:
                continue
            for at in chosen.above:
                allowed = nodes[at].budget.limits
                tokens, usd = before[at]
                assert allowed.tokens is None or tokens + tokens_in <= allowed.tokens
                assert allowed.usd is None or usd < allowed.usd
                spent[at] += Usage(tokens_in, tokens_out, calls=1)
                cost[at] += price
            chosen.budget.spend(Usage(tokens_in, tokens_out, calls=1), price)
        assert [node.budget.usage for node in nodes] == spent
        assert [node.budget.cost for node in nodes] == cost
        run = nodes[0].budget
        assert run.limits.turns is None or run.turns <= run.limits.turns
        assert all(
            node.budget.limits.turns is None or node.budget.turns <= node.budget.limits.turns
            for node in nodes
        )

    anyio.run(spend_all)


async def test_a_child_never_has_more_than_its_parent():
    run = Budget("the run", LimitsSpec(tokens=1000, usd=1.0, minutes=1.0))
    child = run.child("lead", LimitsSpec(tokens=9000, usd=9.0, minutes=9.0))
    grandchild = child.child("lead/scout-1", LimitsSpec())

    assert (child.deadline, grandchild.deadline) == (run.deadline, run.deadline)
    run.spend(Usage(900, 0), 0.5)

    with pytest.raises(LimitReached, match=r"the tokens limit of the run \(1000\) is reached"):
        grandchild.begin_turn(200)


async def test_a_turn_that_is_refused_is_not_counted():
    run = Budget("the run", LimitsSpec(turns=2))
    lead = run.child("lead", LimitsSpec(turns=1))
    scout = lead.child("lead/scout-1", LimitsSpec())

    lead.begin_turn()
    with pytest.raises(LimitReached, match="turns limit of lead"):
        lead.begin_turn()
    scout.begin_turn()
    with pytest.raises(LimitReached, match="turns limit of the run"):
        scout.begin_turn()

    assert (run.turns, lead.turns, scout.turns) == (2, 1, 1)


async def test_a_childs_shorter_time_is_its_own():
    run = Budget("the run", LimitsSpec(minutes=10.0))
    child = run.child("lead", LimitsSpec(minutes=0.0001))

    await anyio.sleep_until(child.deadline)

    reached = child.expired()
    assert reached is not None
    assert (reached.limit, reached.scope, reached.allowed) == ("minutes", "lead", 0.0001)
    assert run.expired() is None

"""The causal order of a run's tool calls is a strict partial order, and no clock has a say in it."""

from __future__ import annotations

from itertools import permutations, product
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.record import AgentRecord, Call, Order, RunRecord, Turn


@st.composite
def runs(draw: st.DrawFn) -> RunRecord:
    """Draw a run of a few agents: asked for by calls, working for no call, and waiting for one another."""
    record = RunRecord("any", "drawn")
    for number in range(draw(st.integers(2, 7))):
        parents = list(record.agents.values())
        parent = parents[draw(st.integers(0, len(parents) - 1))] if parents and draw(st.booleans()) else None
        asking = list(parent.calls()) if parent else []
        asked = asking[draw(st.integers(0, len(asking) - 1))] if asking and draw(st.booleans()) else None
        path = f"{parent.path}/agent-{number}" if parent else f"agent-{number}"
        siblings = [
            one.path
            for one in record.agents.values()
            if (one.parent, one.parent_call) == (parent.path if parent else "", asked.key if asked else "")
        ]
        after = tuple(one for one in siblings if draw(st.booleans()))
        agent = AgentRecord(
            path,
            path,
            parent=parent.path if parent else "",
            parent_call=asked.key if asked else "",
            after=after,
        )
        for turn in range(1, draw(st.integers(1, 3)) + 1):
            agent.turns.append(Turn(path, turn))
            for index in range(draw(st.sampled_from((1, 2, 0)))):
                began = draw(st.integers(0, 9))
                call = Call(f"{path}/turn-{turn}/{index}", "", "any", "{}", path, turn, index)
                call.started, call.ended = began, began + draw(st.integers(0, 9))
                agent.turns[-1].calls.append(call)
        record.agents[path] = agent
        if asked:
            asked.children.append(path)
    return record


@given(runs())
@settings(deadline=None, max_examples=60)
def test_it_is_irreflexive_asymmetric_and_transitive(record: RunRecord) -> None:
    order = Order(record)
    calls = list(record.calls.values())
    before = {(one.key, other.key) for one, other in product(calls, calls) if order.before(one, other)}

    assert not any(one == other for one, other in before)
    assert not any((other, one) in before for one, other in before)
    for one, middle, last in permutations(record.calls, 3):
        if (one, middle) in before and (middle, last) in before:
            assert (one, last) in before


@given(runs(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_a_timestamp_never_decides(record: RunRecord, clock: Random) -> None:
    calls = list(record.calls.values())
    told = [Order(record).before(one, other) for one, other in product(calls, calls)]
    listed = [call.key for call in Order(record).linear()]

    for part in (*calls, *record.agents.values(), *record.turns()):
        part.started, part.ended = clock.random() * 100, None

    assert [Order(record).before(one, other) for one, other in product(calls, calls)] == told
    assert [call.key for call in Order(record).linear()] == listed


@given(runs())
@settings(deadline=None, max_examples=60)
def test_all_calls_stand_once_in_an_order_that_agrees_with_it(record: RunRecord) -> None:
    order = Order(record)
    listed = list(order.linear())

    assert sorted(call.key for call in listed) == sorted(record.calls)
    for place, call in enumerate(listed):
        assert not any(order.before(later, call) for later in listed[place + 1 :])


@given(runs(), st.data())
@settings(deadline=None, max_examples=60)
def test_whether_one_of_many_comes_after_a_call_is_what_asking_each_of_them_gives(
    record: RunRecord, data: st.DataObject
) -> None:
    order = Order(record)
    some = [call for call in record.calls.values() if data.draw(st.booleans())]
    comes_after = order.after_any(some)

    for call in record.calls.values():
        assert comes_after(call) == any(order.before(call, other) for other in some)


def test_what_a_call_asked_for_is_neither_before_nor_after_it() -> None:
    lead, scout = AgentRecord("lead", "lead"), AgentRecord("lead/scout", "scout")
    lead.turns = [Turn("lead", 1), Turn("lead", 2)]
    asks = Call("lead/turn-1/0", "", "delegate", "{}", "lead", 1, 0, children=["lead/scout"])
    beside = Call("lead/turn-1/1", "", "read", "{}", "lead", 1, 1)
    later = Call("lead/turn-2/0", "", "read", "{}", "lead", 2, 0)
    lead.turns[0].calls, lead.turns[1].calls = [asks, beside], [later]
    scout.parent, scout.parent_call = "lead", asks.key
    scout.turns = [Turn("lead/scout", 1)]
    within = Call("lead/scout/turn-1/0", "", "read", "{}", "lead/scout", 1, 0)
    scout.turns[0].calls = [within]
    order = Order(RunRecord("any", "drawn", agents={"lead": lead, "lead/scout": scout}))

    assert order.concurrent(asks, within)
    assert order.concurrent(beside, within)
    assert order.before(within, later)
    assert [call.key for call in order.linear()] == [within.key, asks.key, beside.key, later.key]

"""The three counters of overthinking, for runs of anybody."""

from __future__ import annotations

from dataclasses import asdict

from harness.diagnosis import examine
from tests.diagnosis.ordering.table import agent, call, run, turn
from tests.diagnosis.truth.script import Agent

KEY = "ORD-7K2Q94"


def counted(one: Agent) -> dict[str, object]:
    (counters,) = examine(run(one)).overthinking.values()
    return asdict(counters)


def test_an_agent_that_acts_on_what_it_sees_has_none():
    looks = turn(call("shop.find_orders", f"newest: {KEY}"))
    one = agent("lead", looks, turn(says="Done."), tools=["shop.find_orders"], status="done")
    assert not any(counted(one).values())


def test_replies_without_a_call_count_unless_they_are_the_last():
    thinks, acts = turn(says="Let me think."), turn(call("shop.find_orders", "none"))
    one = agent("lead", thinks, thinks, acts, turn(says="Done."), tools=["shop.find_orders"], status="done")
    assert counted(one) == {"think_only_turns": 2, "rogue_calls": 0, "done_without_evidence": False}


def test_a_call_that_needs_what_a_call_beside_it_brings_is_rogue():
    early = call("shop.get_order", "no such order", is_error=True, order=KEY)
    acts = turn(early, call("shop.find_orders", f"newest: {KEY}"))
    one = agent("lead", acts, turn(says="Done."), tools=["shop.get_order"], status="done")
    assert counted(one) == {"think_only_turns": 0, "rogue_calls": 1, "done_without_evidence": False}


def test_done_without_having_looked_counts_only_for_who_could():
    says = turn(says="All orders are fine.")
    fails = turn(call("shop.find_orders", "no connection", is_error=True))
    tools = ["shop.find_orders"]
    assert counted(agent("lead", says, tools=tools, status="done"))["done_without_evidence"]
    assert counted(agent("lead", fails, says, tools=tools, status="done"))["done_without_evidence"]
    assert not counted(agent("lead", says, tools=tools, status="failed"))["done_without_evidence"]
    assert counted(agent("lead", says, status="done"))["done_without_evidence"] is False
    assert counted(agent("lead", says, tools=tools, status=""))["done_without_evidence"] is None


def test_what_was_not_looked_for_is_not_zero():
    record = run(agent("lead", turn(call("shop.find_orders", KEY)), turn(says="Done."), status="done"))
    (counters,) = examine(record, detectors=[]).overthinking.values()
    assert counters.rogue_calls is None

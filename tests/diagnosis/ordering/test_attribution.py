"""Where a failed run first went wrong."""

from __future__ import annotations

from harness.diagnosis import examine

from .table import agent, call, found, run, turn

WRONG = "ORD-7K2Q94"


def reads(key: str = WRONG, *, is_error: bool = True):
    return call(
        "shop.get_order", f"{key} does not exist" if is_error else "a chair", is_error=is_error, order=key
    )


def changes():
    return call("shop.modify_order", "it does not exist", is_error=True, order=WRONG, content="x")


def test_a_failure_is_traced_to_the_turn_that_first_said_the_value_nobody_observed():
    record = run(
        agent(
            "lead",
            turn(call("shop.find_orders", "none")),
            turn(says=f"It must be {WRONG}."),
            turn(reads(), hears="Go on."),
            turn(changes()),
            turn(says="I could not finish."),
        ),
        outcome="failed",
    )

    (finding,) = found("failure-origin", record)
    assert (finding.where.agent, finding.where.turns) == ("lead", (2,))
    assert finding.where.calls == ("lead/turn-3/0",)
    assert WRONG in finding.evidence[0].text
    said = record.agents["lead"].turns[1].reply
    assert said is not None
    assert finding.evidence[0].where == said.id
    assert finding.price.turns == 3


def test_an_error_that_was_made_good_is_not_the_origin():
    record = run(
        agent(
            "lead",
            turn(reads(), hears=f"Look at {WRONG}."),
            turn(reads(is_error=False)),
            turn(call("shop.pay", "card refused", is_error=True, order=WRONG)),
            turn(says="I could not pay."),
        ),
        outcome="failed",
    )

    (finding,) = found("failure-origin", record)
    assert finding.where.turns == (3,)
    assert "shop.pay failed and was never made good" in finding.what


def test_a_failed_sub_agent_is_where_it_went_wrong_and_not_the_parent_that_passed_it_on():
    asks = call("delegate", "the work failed", is_error=True, child="lead/clerk-1")
    clerk = agent(
        "lead/clerk-1",
        turn(reads(), hears=f"Look at {WRONG}."),
        turn(says="failed"),
        by=asks,
        status="failed",
    )
    lead = agent("lead", turn(asks), turn(says="It failed."), status="failed")

    (finding,) = found("failure-origin", run(lead, clerk, outcome="failed"))
    assert finding.where.agent == "lead/clerk-1"
    assert finding.where.calls == ("lead/clerk-1/turn-1/0",)


def test_a_broken_contract_of_a_failed_run_is_a_suspect():
    record = run(
        agent("lead", turn(call("desk.cancel", "gone")), turn(says="It is lost.")),
        outcome="failed",
        team={"order": ["desk.find before desk.cancel"]},
    )

    (finding,) = (one for one in examine(record).findings if one.detector == "failure-origin")
    assert finding.where.calls == ("lead/turn-1/0",)
    assert "order-contract" in finding.what


def test_a_run_that_came_to_its_goal_or_left_no_trace_of_its_failure_gets_no_guess():
    done = run(agent("lead", turn(reads()), turn(says="Done without it.")))
    silent = run(agent("lead", turn(says="I give up.")), outcome="failed")

    assert found("failure-origin", done) == []
    assert found("failure-origin", silent) == []

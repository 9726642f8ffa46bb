"""Where a failed run left the actions that its benchmark says would have been right."""

from __future__ import annotations

from typing import Any

from harness.record import RunRecord

from .table import agent, call, found, run, turn


def booked(order: str = "A-100", **arguments: Any) -> RunRecord:
    return run(
        agent(
            "lead",
            turn(call("shop.get_order", "a chair", order=order)),
            turn(call("shop.cancel_order", "cancelled", order=order, **arguments)),
            turn(says="Done."),
        ),
        outcome="failed",
    )


def test_a_change_with_another_argument_is_where_it_went_wrong():
    record = booked(refund="voucher")
    record.reference = [("shop.cancel_order", {"order": "A-100", "refund": "card"})]

    (finding,) = found("failure-origin", record)
    assert (finding.where.turns, finding.where.calls) == ((2,), ("lead/turn-2/0",))
    assert 'refund "card"' in finding.what


def test_a_change_that_never_came_is_missed_after_the_last_one_that_did():
    record = booked()
    record.reference = [("shop.cancel_order", {"order": "A-100"}), ("shop.pay_back", {"order": "A-100"})]

    (finding,) = found("failure-origin", record)
    assert finding.where.turns == (3,)
    assert 'shop.pay_back {"order":"A-100"} of the task\'s reference was never called' in finding.what


def test_a_task_for_which_nothing_was_to_be_done_is_failed_by_doing_something():
    record = booked()
    record.reference = []

    (finding,) = found("failure-origin", record)
    assert finding.where.turns == (2,)


def test_other_readings_and_other_words_on_the_way_to_the_same_end_are_no_departure():
    record = booked(note="The customer has changed their mind about it.")
    record.reference = [
        ("shop.find_orders", {"customer": "C-7"}),
        ("shop.cancel_order", {"order": "A-100", "note": "Cancelled since it is not wanted any more."}),
    ]

    assert found("failure-origin", record) == []


def test_without_a_reference_nothing_is_left():
    assert found("failure-origin", booked()) == []

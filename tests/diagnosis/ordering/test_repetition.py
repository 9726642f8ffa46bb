"""Calls made again and again, and reads made one after another for no reason."""

from __future__ import annotations

from .table import agent, call, found, run, turn

OTHER = "ORD-3M8X51"


def checks(result: str = "pending"):
    return call("jobs.get_state", result, job="nightly")


def test_a_loop_is_found_with_all_its_calls():
    turns = [turn(checks(), says="Again.") for _ in range(4)]

    (finding,) = found("loop", run(agent("lead", *turns, turn(says="Done."))))
    assert finding.where.calls == tuple(f"lead/turn-{n}/0" for n in range(1, 5))
    assert finding.severity == "warning"
    assert finding.price.turns == 3
    assert finding.price.tokens
    assert finding.price.tokens > 0
    assert finding.evidence[0].where == "lead/turn-1/0"


def test_repeats_that_brought_something_else_or_came_after_a_change_are_no_loop():
    polled = [turn(checks(f"{n} %")) for n in range(4)]
    mended = [
        step
        for n in range(4)
        for step in (
            turn(call("files.write_file", "ok", path="a.py", content=str(n))),
            turn(call("tests.run", "1 failed", target="a.py")),
        )
    ]
    asked = [
        turn(checks()),
        turn(checks()),
        turn(call("delegate", "done", child="lead/clerk-1")),
        turn(checks()),
    ]
    clerk = agent("lead/clerk-1", turn(says="done"), by=asked[2].calls[0])

    assert found("loop", run(agent("lead", *polled))) == []
    assert found("loop", run(agent("lead", *mended))) == []
    assert found("loop", run(agent("lead", *asked), clerk)) == []


def test_a_cycle_is_found_once_with_its_rounds():
    steps = [turn(checks()), turn(call("jobs.read_log", "empty", job="nightly"))]
    turns = [
        turn(*(call(one.tool, one.result, **one.arguments) for one in step.calls))
        for _ in range(3)
        for step in steps
    ]

    (finding,) = found(
        "cycle", run(agent("lead", turn(call("jobs.list", "nightly")), *turns, turn(says="Done.")))
    )
    assert finding.where.calls == tuple(f"lead/turn-{n}/0" for n in range(2, 8))
    assert "jobs.get_state → jobs.read_log was gone through 3 times" in finding.what
    assert finding.price.turns == 4


def test_rounds_that_each_brought_something_new_or_only_two_of_them_are_no_cycle():
    polled = [
        step
        for n in range(4)
        for step in (turn(checks()), turn(call("jobs.read_log", f"line {n}", job="nightly")))
    ]
    twice = [turn(one) for _ in range(2) for one in (checks(), call("jobs.read_log", "empty", job="nightly"))]

    assert found("cycle", run(agent("lead", *polled))) == []
    assert found("cycle", run(agent("lead", *twice))) == []


def reads(*keys: str):
    return [call("shop.get_order", f"{key} is a chair", order=key) for key in keys]


KEYS = ("ORD-1A1A11", "ORD-2B2B22", "ORD-3C3C33")
LISTED = call("shop.find_orders", " ".join(KEYS))


def test_independent_reads_one_a_turn_are_found():
    turns = [turn(LISTED), *(turn(read) for read in reads(*KEYS)), turn(says="Done.")]

    (finding,) = found("serialised-calls", run(agent("lead", *turns)))
    assert finding.where.calls == ("lead/turn-2/0", "lead/turn-3/0", "lead/turn-4/0")
    assert finding.price.turns == 2
    assert finding.price.seconds
    assert finding.price.seconds > 0
    assert [quote.where for quote in finding.evidence] == list(finding.where.calls)


def test_reads_made_together_or_each_told_by_the_last_or_with_a_write_between_are_left_alone():
    together = [turn(LISTED), turn(*reads(*KEYS)), turn(says="Done.")]
    chained = [
        turn(call("shop.find_orders", KEYS[0])),
        *(
            turn(call("shop.get_order", f"goes on in {after}", order=key))
            for key, after in zip(KEYS, (*KEYS[1:], OTHER), strict=True)
        ),
    ]
    writing = [turn(LISTED)]
    for read in reads(*KEYS):
        writing += [turn(read), turn(call("shop.close_order", "closed", **read.arguments))]
    told = [turn(read, hears=f"And {read.arguments['order']}?") for read in reads(*KEYS)]

    pages = [turn(call("wiki.read", f"part {n}", page=KEYS[0], part=n)) for n in range(1, 5)]
    pages = [turn(LISTED), *pages]

    for turns in (together, chained, writing, told, pages):
        assert found("serialised-calls", run(agent("lead", *turns, turn(says="Done.")))) == []

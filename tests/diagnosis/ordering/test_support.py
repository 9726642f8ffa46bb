"""Values that come too early, and values that come from nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.diagnosis.truth.script import Turn

from .table import agent, call, found, run, turn

KEY = "ORD-7K2Q94"
PATH = "data/batch-7k2q94.csv"


@pytest.mark.parametrize("key", [KEY, PATH])
@pytest.mark.parametrize(
    ("beside", "severity"), [(True, "warning"), (False, "info")], ids=["beside it", "later"]
)
def test_a_value_used_before_a_search_brought_it_is_found_at_the_call(key: str, beside: bool, severity: str):
    use, give = call("shop.get_order", "nothing yet", order=key), call("shop.find_orders", f"newest: {key}")
    turns = [turn(use, give)] if beside else [turn(use), turn(give)]

    (finding,) = found("used-before-available", run(agent("lead", *turns, turn(says="Done."))))

    gives = "lead/turn-1/1" if beside else "lead/turn-2/0"
    assert finding.where.calls == ("lead/turn-1/0", gives)
    assert finding.where.turns == (1,)
    assert finding.severity == severity
    assert [quote.where for quote in finding.evidence] == ["lead/turn-1/0", finding.where.entries[0]]
    assert key in finding.what
    assert key in finding.evidence[1].text


def test_a_call_that_failed_for_want_of_the_value_is_an_error():
    use = call("shop.get_order", "no such order", is_error=True, order=KEY)
    record = run(agent("lead", turn(use, call("shop.find_orders", f"newest: {KEY}")), turn(says="Done.")))

    (finding,) = found("used-before-available", record)
    assert finding.severity == "error"


GIVE = call("shop.find_orders", f"newest: {KEY}")
IN_TIME = {
    "found the turn before": [turn(GIVE), turn(call("shop.get_order", "a chair", order=KEY))],
    "said by the user": [turn(GIVE, call("shop.get_order", "a chair", order=KEY), hears=f"Look at {KEY}.")],
    "named by the call that made it": [
        turn(call("files.write_file", "written", path=PATH, content="one")),
        turn(call("files.list_folder", f"{PATH}\nREADME", folder="data")),
    ],
    "read after a shell made it": [
        turn(call("shell.run", "", command=f"make-table > {PATH}")),
        turn(call("files.read_file", "a,b", path=PATH)),
        turn(call("files.list_folder", PATH, folder="data")),
    ],
    "put together of what was read": [
        turn(call("files.list_folder", "data/\n  batch-7k2q94.csv", folder="data")),
        turn(call("files.read_file", "a,b", path=PATH)),
        turn(call("files.find", f"{PATH}: 2 columns", pattern="*")),
    ],
    "a place in a file that a search named with its line": [
        turn(call("repo.search", "src/mod_4k2q.py:112: def resolve():", pattern="resolve")),
        turn(call("repo.read_file", "def resolve(): ...", path="src/mod_4k2q.py")),
    ],
    "a part of what was read, in another spelling": [
        turn(call("shop.find_orders", f"unit {KEY}/2")),
        turn(call("shop.get_order", "a chair", order=KEY.lower())),
    ],
    "the key of a JSON object": [
        turn(call("shop.find_orders", f'{{"{KEY}": {{"state": "open"}}}}')),
        turn(call("shop.get_order", "a chair", order=KEY)),
    ],
    "an amount": [turn(call("shop.pay", "paid", amount="1234.56"))],
    "a date": [turn(call("shop.list_orders", "none", since="2026-03-14"))],
}


@pytest.mark.parametrize("name", IN_TIME)
@pytest.mark.parametrize("detector", ["used-before-available", "unsupported-argument"])
def test_a_value_that_was_there_or_made_in_time_is_no_finding(detector: str, name: str):
    turns: list[Turn] = IN_TIME[name]

    assert found(detector, run(agent("lead", *turns, turn(says="Done.")))) == []


def test_a_result_that_only_echoes_what_was_asked_for_brought_nothing():
    first, second = call("shop.get_order", "?", order=KEY), call("shop.get_status", f"{KEY} left", order=KEY)

    assert found("used-before-available", run(agent("lead", turn(first), turn(second)))) == []


@pytest.mark.parametrize("key", [KEY, PATH, f"/srv/{PATH}"])
@pytest.mark.parametrize(
    ("tool", "result", "is_error", "severity"),
    [
        ("shop.get_order", "a chair", False, "info"),
        ("shop.get_order", "timeout", True, "warning"),
        ("shop.get_order", "no such order", True, "error"),
    ],
)
def test_a_value_that_stands_nowhere_is_found_at_the_call_that_reads_with_it(
    key: str, tool: str, result: str, is_error: bool, severity: str
):
    other = call("shop.find_orders", "newest: ORD-111Q22")
    use = call(tool, result, is_error=is_error, order=key)

    (finding,) = found("unsupported-argument", run(agent("lead", turn(other), turn(use), turn(says="Done."))))

    assert finding.where.calls == ("lead/turn-2/0",)
    assert finding.severity == severity
    assert {quote.where for quote in finding.evidence} == {"lead/turn-2/0"}
    assert finding.price.action.startswith(tool)


@pytest.mark.parametrize(
    ("tool", "arguments", "result"),
    [
        ("modify_order", {"order_id": KEY, "content": "closed"}, "changed"),
        ("crm.cancelBooking", {"bookingId": KEY}, "ok"),
        ("shop.create_order", {"customer_id": KEY, "item": "chair"}, "created"),
        ("store.put_object", {"object_key": KEY, "content": "x"}, f"{KEY} overwritten"),
    ],
)
def test_a_write_to_something_that_has_to_be_there_needs_its_name_from_somewhere(
    tool: str, arguments: dict[str, Any], result: str
):
    record = run(agent("lead", turn(call(tool, result, **arguments)), turn(says="Done.")))

    (finding,) = found("unsupported-argument", record)
    assert finding.where.calls == ("lead/turn-1/0",)
    assert finding.severity == "warning"


@pytest.mark.parametrize(
    ("tool", "arguments", "result"),
    [
        ("files.create_file", {"path": PATH, "content": "x"}, "created"),
        ("store.put_object", {"object_key": KEY, "content": "x"}, "stored"),
        ("shop.create_order", {"order_id": KEY}, "created"),
        ("files.rename_file", {"path": "notes.md", "new_path": PATH}, "renamed"),
        ("crm.update_account", {"account_id": "main", "content": KEY}, "changed"),
        ("crm.update_account", {"account_id": "main", "new_id": KEY}, "changed"),
    ],
)
def test_a_write_may_name_what_it_makes_and_say_what_it_likes(
    tool: str, arguments: dict[str, Any], result: str
):
    record = run(agent("lead", turn(call(tool, result, **arguments)), turn(says="Done.")))

    assert found("unsupported-argument", record) == []


def test_the_same_made_up_value_is_told_once_for_each_tool():
    turns = [turn(call("shop.get_order", "a chair", order=KEY), says=f"Step {n}.") for n in range(4)]

    assert len(found("unsupported-argument", run(agent("lead", *turns, turn(says="Done."))))) == 1

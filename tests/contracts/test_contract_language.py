"""What a line of `order:` means, and what is said of one that means nothing."""

from __future__ import annotations

import pytest

from harness.contracts import Call, ContractError, Monitor, check, parse_contract


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("corpus.search before corpus.read", "before every corpus.read there is a call of corpus.search"),
        (
            "files.read before files.write(path=src/*|lib/*) with same path",
            "before every files.write(path=src/*|lib/*) there is a call of files.read with the same path",
        ),
        (
            "orders.find before orders.cancel where order_id from result",
            "before every orders.cancel there is a call of orders.find whose result holds its order_id",
        ),
        (
            "tests.run succeeds before git.commit",
            "before every git.commit there is a call of tests.run that succeeded",
        ),
        ("at most 3 identical calls", "one and the same call: at most 3 times"),
        ("web.fetch at most twice per turn", "web.fetch: at most twice in one turn"),
        ("a.x by scout or b.y first", "the first call is a.x by scout or b.y"),
        ("never git.push after secrets.read", "after secrets.read there is no call of git.push any more"),
    ],
)
def test_a_contract_says_in_a_sentence_what_it_means(text: str, meaning: str):
    assert parse_contract(text).meaning == meaning


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("a.x befor b.y", 4, "did you mean 'before'?"),
        ("a.x before", 10, "is missing at the end"),
        ("at mst 3 calls", 3, "did you mean 'most'?"),
        ("a.x(path) before b.y", 4, "'path' is not a condition"),
        ("a.x(n>few) first", 4, "'>' wants one number"),
        ("before a.x", 0, "expected the name of a tool, got 'before'"),
        ("a.x before b.y foo", 15, "'foo' is not expected here"),
        ("at least 2 calls with same id", 17, "cannot depend on a value"),
        ("", 0, "is missing at the end"),
    ],
)
def test_a_contract_that_cannot_be_read_says_where_and_why(text: str, at: int, said: str):
    with pytest.raises(ContractError) as caught:
        parse_contract(text)

    assert caught.value.at == at
    assert said in str(caught.value)


def call(tool: str, key: str = "", result: str | None = "", error: bool = False, **arguments: object) -> Call:
    return Call(tool, arguments, key=key or tool, result=result, is_error=error)


def test_calls_with_one_value_are_judged_apart_from_all_others():
    contract = parse_contract("files.read before files.write with same path")
    monitor = Monitor([contract])
    monitor.ended(call("files.read", path="src/../a"))

    assert monitor.would(call("files.write", path="a")) is None
    refusal = monitor.would(call("files.write", path="b"))
    assert refusal is not None
    assert refusal.missing == "an earlier call of files.read with path b is missing"
    assert monitor.would(call("files.write")) is not None


def test_what_may_be_meant_counts_against_a_call():
    monitor = Monitor([parse_contract("files.read(path=src/*) before files.write(path=src/*)")])
    monitor.ended(call("files.read", path=["src/a", "lib/b"]))

    assert monitor.would(call("files.write", path=["lib/b", "src/a"])) is not None
    assert monitor.would(call("files.write", path="lib/b")) is None


def test_a_first_call_beside_the_second_leaves_the_order_open():
    contract = parse_contract("a.x before b.y")
    first, second = call("a.x"), call("b.y")

    alone = check(contract, [second])
    beside = check(contract, [first, second], lambda one, other: False)

    assert (alone.holds, beside.holds) == ("violated", "undetermined")
    assert (beside.breaches[0].call, beside.breaches[0].others) == (second, (first,))
    assert check(contract, [first]).vacuous


def test_what_was_not_recorded_is_no_breach_for_certain():
    contract = parse_contract("tests.run(result.ok=true) before git.commit")
    verdict = check(contract, [call("tests.run", result=None), call("git.commit")])

    assert verdict.holds == "undetermined"


def test_the_call_that_is_one_too_many_is_named():
    contract = parse_contract("at most 2 identical calls")
    calls = [call("a.x", str(n), q="1") for n in range(4)] + [call("a.x", "other", q="2")]

    (breach,) = check(contract, calls).breaches
    assert breach.call is not None
    assert (breach.call.key, breach.missing) == ("2", "the same call may be made at most twice")


def test_judging_a_call_does_not_depend_on_how_many_there_were():
    monitor = Monitor([parse_contract("a.x before b.y"), parse_contract("at most 9000 calls of a.x")])
    for number in range(5000):
        monitor.ended(call("a.x", str(number)))

    assert [len(states) for _, states in monitor.states()] == [1, 1]
    assert not monitor.mentions("c.z")
    copied = monitor.copy()
    copied.ended(call("a.x", "more"))
    assert monitor.states() != copied.states()

"""Every template says what its formula says: by its automaton, live, and over a trace of any causal order."""

from __future__ import annotations

from functools import partial
from itertools import permutations, product

import pytest
from ltlf import holds

from harness.contracts import TEMPLATES, Call, Contract, Monitor, Template, check, parse_contract
from harness.contracts.automata import counter

LENGTH = 6
TOOLS = {0: "s.other", 1: "s.a", 2: "s.b", 3: "s.both"}
TEXTS = {
    "init": "s.a or s.both first",
    "last": "s.a or s.both last",
    "responded existence": "s.a or s.both requires s.b or s.both",
    "co-existence": "s.a or s.both together with s.b or s.both",
    "response": "s.a or s.both followed by s.b or s.both",
    "precedence": "s.a or s.both before s.b or s.both",
    "succession": "s.a or s.both then s.b or s.both",
    "alternate response": "each s.a or s.both followed by s.b or s.both",
    "alternate precedence": "s.a or s.both before each s.b or s.both",
    "alternate succession": "each s.a or s.both then s.b or s.both",
    "chain response": "s.a or s.both immediately followed by s.b or s.both",
    "chain precedence": "s.a or s.both immediately before s.b or s.both",
    "chain succession": "s.a or s.both immediately then s.b or s.both",
    "not co-existence": "s.a or s.both never together with s.b or s.both",
    "not responded existence": "s.a or s.both excludes s.b or s.both",
    "not response": "s.a or s.both never followed by s.b or s.both",
    "not precedence": "s.a or s.both never before s.b or s.both",
    "not succession": "s.a or s.both never then s.b or s.both",
    "not chain response": "s.a or s.both never immediately followed by s.b or s.both",
    "not chain precedence": "s.a or s.both never immediately before s.b or s.both",
    "not chain succession": "s.a or s.both never immediately then s.b or s.both",
}
ORDERED = [template for template in TEMPLATES.values() if template.automaton]
TRACES = [trace for length in range(LENGTH + 1) for trace in product(range(4), repeat=length)]
SHORT = [trace for trace in TRACES if len(trace) <= 4]


def by_name(template: Template) -> str:
    return template.name.replace(" ", "-")


def earlier(turn_of: dict[str, int], one: Call, other: Call) -> bool:
    return turn_of[one.key] < turn_of[other.key]


def contract_of(template: Template) -> Contract:
    contract = parse_contract(TEXTS[template.name])
    assert contract.template is template
    return contract


def calls_of(trace: tuple[int, ...]) -> list[Call]:
    return [
        Call(TOOLS[letter], {}, key=str(index), result="", is_error=False)
        for index, letter in enumerate(trace)
    ]


@pytest.mark.parametrize("template", ORDERED, ids=by_name)
def test_an_automaton_accepts_what_its_formula_says(template: Template):
    automaton = template.automaton
    assert automaton is not None

    wrong = [t for t in TRACES if (automaton.run(t) in automaton.accepting) != holds(template.formula, t)]

    assert wrong == []


@pytest.mark.parametrize("template", ORDERED, ids=by_name)
def test_calls_that_follow_each_other_are_checked_as_the_formula_says(template: Template):
    contract = contract_of(template)

    wrong = [
        t for t in SHORT if (check(contract, calls_of(t)).holds == "satisfied") != holds(template.formula, t)
    ]

    assert wrong == []
    assert "undetermined" not in {check(contract, calls_of(trace)).holds for trace in SHORT}


@pytest.mark.parametrize("template", ORDERED, ids=by_name)
def test_a_partial_order_is_judged_only_as_all_its_orders_are(template: Template):
    contract = contract_of(template)
    found: set[str] = set()
    for trace in product(range(4), repeat=4):
        calls = calls_of(trace)
        for turns in ((0, 0, 1, 1), (0, 1, 1, 2), (0, 0, 0, 1), (0, 1, 2, 2)):
            turn_of = dict(zip((call.key for call in calls), turns, strict=True))
            orders = {
                holds(template.formula, [trace[index] for index in order])
                for order in permutations(range(4))
                if [turns[index] for index in order] == sorted(turns)
            }
            verdict = check(contract, calls, partial(earlier, turn_of))
            found.add(verdict.holds)
            assert verdict.holds == "undetermined" or orders == {verdict.holds == "satisfied"}, (trace, turns)
    assert {"satisfied", "violated"} <= found


@pytest.mark.parametrize("template", ORDERED, ids=by_name)
def test_a_monitor_refuses_exactly_the_call_after_which_nothing_helps(template: Template):
    contract = contract_of(template)
    automaton = contract.automaton
    for trace in SHORT:
        monitor = Monitor([contract])
        for place, call in enumerate(calls_of(trace)):
            state = automaton.run(trace[: place + 1])
            refused = monitor.would(call) is not None
            if automaton.run(trace[:place]) in automaton.dead:
                break
            assert refused == (state in automaton.dead), trace
            monitor.began(call)
            monitor.ended(call)
            assert monitor.standings() == [(contract, automaton.standings[state])]
        else:
            owed = automaton.standings[automaton.run(trace)] == "temporarily_violated"
            assert bool(monitor.owed()) == owed, trace


@pytest.mark.parametrize("template", ORDERED, ids=by_name)
def test_calls_side_by_side_are_refused_if_some_order_of_them_breaks_it(template: Template):
    contract = contract_of(template)
    automaton = contract.automaton
    for started in TRACES[:21]:
        for beside in TRACES[:85]:
            if automaton.run(started) in automaton.dead:
                continue
            monitor = Monitor([contract])
            for call in calls_of(started):
                monitor.ended(call)
            accepted: list[int] = []
            for index, letter in enumerate(beside):
                call = Call(TOOLS[letter], {}, key=f"beside {index}")
                breaks = any(
                    automaton.run((*started, *order)) in automaton.dead
                    for order in permutations([*accepted, letter])
                )
                assert (monitor.would(call) is not None) == breaks, (started, beside)
                if not breaks:
                    accepted.append(letter)
                    monitor.began(call)


@pytest.mark.parametrize("template", ORDERED, ids=by_name)
def test_more_than_three_equal_calls_make_no_difference_to_an_order(template: Template):
    automaton = template.automaton
    assert automaton is not None
    for state, letter in product(range(len(automaton.table)), range(4)):
        assert automaton.run([letter] * 3, state) == automaton.run([letter] * 2, state)


@pytest.mark.parametrize(("least", "most"), [(0, 0), (0, 2), (1, None), (2, 2), (3, None)])
def test_counts_count(least: int, most: int | None):
    automaton = counter(least, most)

    for trace in TRACES[:400]:
        number = sum(letter & 1 for letter in trace)
        fits = number >= least and (most is None or number <= most)
        assert (automaton.run(trace) in automaton.accepting) == fits

"""What the doctor says of text of other agents, reports nobody needed, contradictions, and facts nobody observed."""

from __future__ import annotations

import json

from handwritten import Agent, asks, delegates, fails, findings, passage

FOUND = passage("tidal", 12)


def rewritten(text: str) -> str:
    """Return its sentences backwards and without their small words."""
    sentences = [sentence.replace("the ", "").replace("In ", "") for sentence in text.split(". ")]
    return "; ".join(reversed(sentences))


# --- leakage ---


def two_scouts(second_hears: str, *, task: str = "Look at the lunar ledger.") -> list[Agent]:
    """Return a lead, a scout that reads `FOUND`, and another one that somebody speaks to."""
    lead = Agent().turn(delegates("lead/scout-1", "done"), delegates("lead/scout-2", "done")).turn()
    first = Agent("lead/scout-1").turn(asks("wiki.read", FOUND, page="tidal")).turn(says="Seen.")
    second = Agent("lead/scout-2", task=task).turn().hears(second_hears).turn()
    return [lead, first, second]


def test_what_another_agent_read_is_a_leak_if_no_brief_or_report_brought_it() -> None:
    run = two_scouts(f"By the way: {FOUND}")

    (found,) = findings("leakage", *run)

    assert found.where.agent == "lead/scout-2"
    assert found.where.entries == ("lead/scout-2#3",)
    assert "lead/scout-1" in found.what
    assert found.evidence[0].text.startswith("By the way: In the tidal ledger")


def test_a_leak_that_was_rewritten_is_known_by_its_values() -> None:
    (found,) = findings("leakage", *two_scouts(rewritten(FOUND)))

    assert found.where.entries == ("lead/scout-2#3",)


def test_a_leak_without_any_value_is_known_by_its_runs_of_words() -> None:
    lead, first, second = two_scouts(
        "Mind that the old quay was closed in spring because the river had changed."
    )
    first.turn(says="As they say, the old quay was closed in spring because the river had changed its bed.")

    (found,) = findings("leakage", lead, first, second)

    assert found.where.entries == ("lead/scout-2#3",)


def test_what_the_brief_said_already_is_no_leak() -> None:
    assert findings("leakage", *two_scouts(FOUND, task=f"Look at this: {FOUND}")) == []


def test_a_document_that_two_agents_read_for_themselves_is_no_leak() -> None:
    lead, first, second = two_scouts("Go on.")

    assert findings("leakage", lead, first, second.turn(asks("wiki.read", FOUND, page="tidal")).turn()) == []


def test_what_people_say_to_the_entry_agent_is_no_leak_though_a_sub_agent_finds_the_same() -> None:
    lead = Agent().turn().hears(FOUND).turn(delegates("lead/scout-1", "done")).turn()
    scout = Agent("lead/scout-1").turn(asks("wiki.read", FOUND, page="tidal")).turn()

    assert findings("leakage", lead, scout) == []


def test_what_the_same_person_says_to_two_agents_is_no_leak() -> None:
    lead = Agent().turn(delegates("lead/scout-1", "done"), delegates("lead/scout-2", "done")).turn()
    scouts = [Agent(f"lead/scout-{at}").turn().hears(FOUND).turn(says=FOUND) for at in (1, 2)]

    assert findings("leakage", lead, *scouts) == []


# --- report-bloat ---


def test_a_large_report_of_which_little_was_used_is_named() -> None:
    report = passage("tidal", 60)
    lead = Agent().turn(delegates("lead/scout-1", report)).turn(says=passage("tidal", 2)).turn()

    (found,) = findings("report-bloat", lead, Agent("lead/scout-1").turn(says=report))

    assert found.where.calls == ("lead/turn-1/0",)
    assert found.where.entries == (lead.results[1, 0].id,)
    assert report.startswith(found.evidence[0].text)


def test_a_large_report_does_not_count_as_used_when_another_one_is_quoted() -> None:
    report, other = passage("tidal", 60), passage("lunar", 10)
    lead = (
        Agent()
        .turn(delegates("lead/scout-1", report), delegates("lead/scout-2", other))
        .turn(says=other)
        .turn()
    )
    scouts = [Agent(f"lead/scout-{at}").turn() for at in (1, 2)]

    (found,) = findings("report-bloat", lead, *scouts)

    assert found.where.calls == ("lead/turn-1/0",)


def test_a_large_report_that_is_handed_on_is_not_bloated() -> None:
    report = passage("tidal", 60)
    lead = Agent().turn(delegates("lead/scout-1", report)).turn(says=report[: len(report) // 2]).turn()

    assert findings("report-bloat", lead, Agent("lead/scout-1").turn(says=report)) == []


# --- contradiction ---


def row(**fields: object) -> str:
    return json.dumps(fields)


def test_two_sources_that_disagree_about_one_thing_are_named_with_both_values() -> None:
    agent = (
        Agent()
        .turn(asks("crm.get_order", row(order_id="ORD-77", total=120.5), order_id="ORD-77"))
        .turn(asks("crm.update_order", "changed", order_id="ORD-99", total="7"))
        .turn(asks("archive.get_record", row(order_id="ORD-77", total=99), order_id="ORD-77"))
        .turn()
    )

    (found,) = findings("contradiction", agent)

    assert found.where.calls == ("lead/turn-3/0", "lead/turn-1/0")
    assert [("120.5" in one.text, "99" in one.text) for one in found.evidence] == [
        (True, False),
        (False, True),
    ]


def test_a_value_that_was_changed_between_or_is_spelled_otherwise_contradicts_nothing() -> None:
    agent = (
        Agent()
        .turn(asks("crm.get_order", row(order_id="ORD-77", total=1200.5), order_id="ORD-77"))
        .turn(asks("archive.get_record", row(order_id="ORD-77", total="1,200.50"), order_id="ORD-77"))
        .turn(asks("crm.update_order", "changed", order_id="ORD-77", total="7"))
        .turn(asks("shop.get_order", row(order_id="ORD-77", total=7), order_id="ORD-77"))
        .turn()
    )

    assert findings("contradiction", agent) == []


def test_things_that_only_share_a_part_of_what_was_asked_for_are_not_one_thing() -> None:
    flights = [
        row(flight="HAT069", origin="JFK", destination="SEA", seats=3),
        row(flight="HAT023", origin="JFK", destination="SFO", seats=9),
    ]
    agent = (
        Agent()
        .turn(asks("air.find_direct", flights[0], origin="JFK", destination="SEA"))
        .turn(asks("air.find_onestop", flights[1], origin="JFK", destination="SFO"))
        .turn(asks("air.find_all", f"[{flights[0]}, {flights[1]}]", origin="JFK"))
        .turn(asks("air.find_next", flights[0], origin="JFK"))
        .turn()
    )

    assert findings("contradiction", agent) == []


# --- poisoning ---


def test_a_value_that_only_the_agent_said_and_then_worked_with_is_named_with_the_calls() -> None:
    agent = (
        Agent()
        .turn(says="The customer is CUST-4821, I believe.")
        .turn(asks("crm.list_orders", "two orders", customer="CUST-4821"))
        .turn(fails("crm.open_ticket", "no such customer", customer="CUST-4821"))
        .turn()
    )

    (found,) = findings("poisoning", agent)

    assert found.severity == "error", "a call with it failed"
    assert found.where.calls == ("lead/turn-2/0", "lead/turn-3/0")
    assert found.where.turns[0] == 1
    assert "CUST-4821" in found.evidence[0].text


def test_a_value_that_was_observed_or_that_the_agent_gave_to_what_it_made_is_no_poison() -> None:
    told = Agent(task="Help CUST-4821.")
    made = Agent().turn(asks("notes.create", "created", name="NOTE-7001"))
    for agent, tool, value in ((told, "crm.list_orders", "CUST-4821"), (made, "notes.append", "NOTE-7001")):
        agent.turn(asks(tool, "fine", name=value)).turn(asks(tool, "fine again", name=value)).turn()

    assert findings("poisoning", told) == []
    assert findings("poisoning", made) == []

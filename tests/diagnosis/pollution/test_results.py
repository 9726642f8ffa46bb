"""What the doctor says of results that nobody used, that were read twice, that grew old, or were too large."""

from __future__ import annotations

from handwritten import Agent, asks, delegates, findings, passage

LONG = passage("tidal", 40)


# --- unused-result ---


def test_a_result_that_nothing_was_taken_from_is_named_with_what_sending_it_again_cost() -> None:
    agent = Agent().turn(asks("wiki.read", LONG, page="tidal")).turn(says="Next.").turn(says="Next.").turn()

    (found,) = findings("unused-result", agent)

    entry = agent.results[1, 0]
    assert found.where.calls == ("lead/turn-1/0",)
    assert found.where.entries == (entry.id,)
    assert LONG.startswith(found.evidence[0].text)
    assert found.price.tokens == 2 * entry.size, "it was sent in turns 2, 3 and 4, and had to be once"
    assert "1 result of wiki.read" in found.what


def test_words_that_a_reply_has_from_another_result_do_not_make_a_result_used() -> None:
    other = passage("lunar", 2)
    agent = (
        Agent()
        .turn(asks("wiki.read", LONG, page="tidal"))
        .turn(asks("wiki.read", other, page="lunar"))
        .turn(says=f"It says: {other}")
        .turn()
    )

    (found,) = findings("unused-result", agent)

    assert found.where.calls == ("lead/turn-1/0",)


def test_a_result_is_used_by_one_value_of_it() -> None:
    agent = Agent().turn(asks("wiki.read", LONG, page="tidal")).turn(says="It is TIDAL-1070.").turn().turn()

    assert findings("unused-result", agent) == []


def test_a_result_is_used_by_a_few_of_its_words_in_one_reply() -> None:
    agent = Agent().turn(asks("wiki.read", LONG, page="tidal")).turn(says="A harbour, a quarry, a viaduct.")

    assert findings("unused-result", agent.turn().turn()) == []


def test_a_result_is_used_by_a_quote_of_it_however_common_its_words() -> None:
    common = "It was then that the one who had been there with us came over to see what it was all about."
    first = asks("wiki.read", f"{common} {passage('tidal', 20)}", page="tidal")
    others = [
        asks("wiki.read", f"{passage('lunar', 9)} {' '.join(reversed(common.split()))}") for _ in range(9)
    ]
    quotes = common.removesuffix("about.")
    agent = Agent().turn(*others).turn(first)

    def unused(agent: Agent) -> set[str]:
        return {call for one in findings("unused-result", agent) for call in one.where.calls}

    assert "lead/turn-2/0" in unused(agent.turn().turn())
    quoting = Agent().turn(*others).turn(first).turn(says=f"He wrote: {quotes}").turn().turn()
    assert "lead/turn-2/0" not in unused(quoting)


def test_a_short_answer_may_be_used_without_being_repeated() -> None:
    agent = Agent().turn(asks("wiki.search", "no such page", query="tidal")).turn().turn().turn()

    assert findings("unused-result", agent) == []


def test_an_unused_result_that_was_sent_only_twice_is_no_more_than_worth_knowing() -> None:
    agent = Agent().turn(asks("wiki.read", passage("tidal", 70), page="tidal")).turn().turn()

    (found,) = findings("unused-result", agent)

    assert found.severity == "info"
    agent.turn().turn()
    (found,) = findings("unused-result", agent)
    assert found.severity == "warning"


# --- duplicate-read ---


def test_a_read_that_brought_what_stood_there_already_is_named() -> None:
    agent = (
        Agent()
        .turn(asks("wiki.read", LONG, page="tidal"))
        .turn(asks("wiki.read", LONG, page="lunar"))
        .turn(asks("wiki.read", LONG, page="tidal"))
        .turn()
    )

    (found,) = findings("duplicate-read", agent)

    assert found.where.calls == ("lead/turn-3/0",)
    assert found.where.entries == (agent.results[3, 0].id,)
    assert LONG.startswith(found.evidence[0].text)


def test_running_the_checks_or_changing_another_thing_is_no_reason_to_read_again() -> None:
    agent = (
        Agent()
        .turn(asks("files.read", LONG, path="notes/tidal.md"))
        .turn(asks("repo.run_tests", "2 passed", target="tests/test_moon.py"))
        .turn(asks("files.write", "written", path="notes/lunar.md", content="new"))
        .turn(asks("files.read", LONG, path="notes/tidal.md"))
    )

    (found,) = findings("duplicate-read", agent.turn())

    assert found.where.calls == ("lead/turn-4/0",)


def test_a_read_after_a_change_of_the_same_thing_is_none() -> None:
    agent = (
        Agent()
        .turn(asks("files.read", LONG, path="notes/tidal.md"))
        .turn(asks("files.write", "written", path="notes/tidal.md", content="new"))
        .turn(asks("files.read", LONG, path="notes/tidal.md"))
    )

    assert findings("duplicate-read", agent.turn()) == []


def test_a_read_after_the_first_result_was_cleared_is_none() -> None:
    agent = Agent().turn(asks("wiki.read", LONG, page="tidal")).turn().forgets(1).turn()

    assert findings("duplicate-read", agent.turn(asks("wiki.read", LONG, page="tidal")).turn()) == []


def test_a_sub_agent_changes_only_what_its_own_calls_change() -> None:
    def run(changed: str) -> list[str]:
        lead = (
            Agent()
            .turn(asks("wiki.read", LONG, page="tidal"))
            .turn(delegates("lead/scribe", "done"))
            .turn(asks("wiki.read", LONG, page="tidal"))
            .turn()
        )
        scribe = Agent("lead/scribe").turn(asks("wiki.edit", "changed", page=changed)).turn()
        return [one.where.calls[0] for one in findings("duplicate-read", lead, scribe)]

    assert run("lunar") == ["lead/turn-3/0"]
    assert run("tidal") == []


# --- superseded-result ---


def test_an_old_state_that_is_sent_on_beside_the_new_one_is_named() -> None:
    newer = LONG.replace("TIDAL-1000", "TIDAL-9000")
    agent = (
        Agent()
        .turn(asks("wiki.read", LONG, page="tidal"))
        .turn(asks("wiki.read", newer, page="tidal"))
        .turn()
        .turn()
    )

    (found,) = findings("superseded-result", agent)

    assert found.where.entries == (agent.results[1, 0].id,)
    assert found.where.calls == ("lead/turn-1/0", "lead/turn-2/0")
    assert "sent 2 times more" in found.what


def test_an_old_state_that_left_the_window_and_another_page_are_not_superseded() -> None:
    newer = LONG.replace("TIDAL-1000", "TIDAL-9000")
    agent = (
        Agent()
        .turn(asks("wiki.read", LONG, page="tidal"))
        .turn(asks("wiki.read", newer, page="tidal"))
        .forgets(1)
        .turn(asks("wiki.read", passage("lunar", 40), page="lunar"))
        .turn()
    )

    assert findings("superseded-result", agent) == []


# --- stale-argument ---


def test_an_argument_that_only_an_outdated_result_shows_led_to_a_wrong_action() -> None:
    agent = (
        Agent()
        .turn(asks("crm.get_visit", '{"slot": "SLOT-411"}', visit="V-100"))
        .turn(asks("crm.get_visit", '{"slot": "SLOT-972"}', visit="V-100"))
        .turn(asks("calendar.reserve", "reserved", slot="SLOT-411"))
        .turn()
    )

    (found,) = findings("stale-argument", agent)

    assert found.severity == "error"
    assert found.where.calls == ("lead/turn-3/0", "lead/turn-1/0")
    assert "SLOT-411" in found.evidence[0].text


def test_an_argument_that_the_newer_result_shows_too_is_not_stale() -> None:
    agent = (
        Agent()
        .turn(asks("crm.get_visit", '{"slot": "SLOT-411", "seen": 1}', visit="V-100"))
        .turn(asks("crm.get_visit", '{"slot": "SLOT-411", "seen": 2}', visit="V-100"))
        .turn(asks("calendar.reserve", "reserved", slot="SLOT-411"))
        .turn()
    )

    assert findings("stale-argument", agent) == []


# --- oversized-result ---


def test_a_result_that_filled_the_window_for_one_value_is_oversized() -> None:
    huge = passage("tidal", 200)
    agent = Agent().turn(asks("wiki.read", huge, page="all")).turn(says="It is TIDAL-1700.").turn()

    (found,) = findings("oversized-result", agent)

    assert found.where.calls == ("lead/turn-1/0",)
    assert found.where.entries == (agent.results[1, 0].id,)
    assert huge.startswith(found.evidence[0].text)


def test_a_large_result_that_is_quoted_at_length_is_not_oversized() -> None:
    huge = passage("tidal", 200)
    agent = Agent().turn(asks("wiki.read", huge, page="all")).turn(says=huge[: len(huge) // 3]).turn()

    assert findings("oversized-result", agent) == []

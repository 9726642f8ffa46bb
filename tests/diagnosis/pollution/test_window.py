"""What the doctor says of what windows carry along, of what breaks their prefix or fills them, and of what left them."""

from __future__ import annotations

from handwritten import Agent, asks, fails, findings, passage

from harness.messages import ToolDefinition

LONG = passage("tidal", 40)


# --- tool-overhead ---


def tool(name: str, words: int) -> ToolDefinition:
    return ToolDefinition(name, "Looks things up. " * words)


def test_definitions_that_were_never_called_are_named_with_their_tokens() -> None:
    agent = Agent(tools=(tool("wiki.read", 20), tool("crm.list_contacts", 200)))
    agent.turn(asks("wiki.read", "little", page="tidal")).turn().turn()

    (found,) = findings("tool-overhead", agent)

    (size,) = {agent.record.tool_sizes["crm.list_contacts"]}
    assert found.price.tokens == 3 * size
    assert [quote.where for quote in found.evidence] == ["crm.list_contacts"]


def test_a_few_short_definitions_to_spare_are_no_overhead() -> None:
    agent = Agent(tools=(tool("wiki.read", 200), tool("crm.list_contacts", 5)))

    assert findings("tool-overhead", agent.turn(asks("wiki.read", "little", page="tidal")).turn()) == []


# --- error-residue ---


def test_an_error_that_is_sent_long_after_the_tool_worked_is_named() -> None:
    agent = Agent().turn(fails("wiki.read", LONG, page="tydal")).turn(asks("wiki.read", "fine", page="tidal"))
    agent.turn().turn().turn().turn()

    (found,) = findings("error-residue", agent)

    entry = agent.results[1, 0]
    assert found.where.entries == (entry.id,)
    assert found.where.calls == ("lead/turn-1/0",)
    assert "1 error of wiki.read" in found.what
    assert found.price.tokens == 4 * entry.size, "turns 3 to 6"


def test_an_error_that_was_cleared_once_the_tool_worked_leaves_nothing() -> None:
    agent = Agent().turn(fails("wiki.read", LONG, page="tydal")).turn(asks("wiki.read", "fine", page="tidal"))
    agent.forgets(1).turn().turn().turn().turn()

    assert findings("error-residue", agent) == []


# --- thinking-residue ---


def test_thinking_that_is_sent_again_is_named_with_what_it_cost() -> None:
    agent = Agent().turn(thinks=LONG).turn(says="So.").turn(says="So.")

    (found,) = findings("thinking-residue", agent)

    assert found.where.turns == (1,)
    assert LONG.startswith(found.evidence[0].text)


def test_thinking_of_the_last_turn_is_sent_by_nobody() -> None:
    assert findings("thinking-residue", Agent().turn(says="So.").turn(thinks=LONG)) == []


# --- prefix-break ---


def test_a_request_that_does_not_begin_with_the_one_before_is_named() -> None:
    agent = Agent().turn(asks("wiki.read", LONG, page="tidal")).turn().turn().forgets(1).turn()

    (found,) = findings("prefix-break", agent)

    assert found.where.turns == (4,)
    assert "cleared" in found.evidence[0].text


def test_requests_that_only_grow_keep_their_prefix() -> None:
    assert findings("prefix-break", Agent().turn(asks("wiki.read", LONG, page="tidal")).turn().turn()) == []


# --- window-pressure ---


def test_requests_near_what_the_model_takes_are_named() -> None:
    agent = Agent(context_window=1_000).turn(asks("wiki.read", LONG, page="tidal")).turn().turn()

    (found,) = findings("window-pressure", agent)

    assert found.where.turns == (2, 3)


def test_half_a_window_is_no_pressure() -> None:
    agent = Agent(context_window=5_000).turn(asks("wiki.read", LONG, page="tidal")).turn().turn()

    assert findings("window-pressure", agent) == []


# --- lost-identifier ---


def test_a_value_that_is_needed_after_it_left_the_window_is_named() -> None:
    agent = Agent().turn(asks("crm.find", f"{LONG} It is ACC-90210.", name="Ada")).turn().forgets(1).turn()
    agent.turn(asks("crm.get_account", "no such account", account="ACC-90210")).turn()

    (found,) = findings("lost-identifier", agent)

    assert found.where.calls == ("lead/turn-4/0",)
    assert found.where.entries == (agent.results[1, 0].id,)
    assert "ACC-90210" in found.evidence[0].text


def test_a_value_that_the_agent_wrote_down_before_it_left_is_not_lost() -> None:
    agent = Agent().turn(asks("crm.find", f"{LONG} It is ACC-90210.", name="Ada")).turn(says="ACC-90210.")
    agent.forgets(1).turn(asks("crm.get_account", "open", account="ACC-90210")).turn()

    assert findings("lost-identifier", agent) == []


def test_a_short_number_that_stood_in_what_was_cleared_is_not_the_same_number() -> None:
    agent = Agent().turn(asks("wiki.read", f"{LONG} On line 646.", page="tidal")).turn().forgets(1).turn()
    agent.turn(asks("files.read", "text", path="notes.md", start="646")).turn()

    assert findings("lost-identifier", agent) == []


# --- resend-factor ---


def test_a_window_that_is_carried_through_many_turns_is_named_with_what_it_holds() -> None:
    agent = Agent().turn(asks("wiki.read", LONG, page="tidal"))
    for _ in range(30):
        agent.turn(says="Going on.")

    (found,) = findings("resend-factor", agent)

    assert found.severity == "info"
    assert "result" in found.what


def test_a_short_run_sends_nothing_often() -> None:
    agent = Agent().turn(asks("wiki.read", LONG, page="tidal")).turn().turn().turn()

    assert findings("resend-factor", agent) == []

"""Which part the offline model plays, and how it hands its work in."""

from __future__ import annotations

import json
from typing import Any

from harness.messages import Message, ToolDefinition, ToolResult, system, tool, user
from harness.models.offline.model import reply
from harness.models.offline.queries import first_queries
from tests.models.offline.driver import ANSWER, REPORT, SEARCH

BLOCK = "<<< notes.md:3-4 | Journal | score 4.20\nThe journal is a file of events.\nIt only ever grows.\n>>>"
TASK = {"objective": "", "expected_output": "", "sources": "", "boundaries": ""}


def after_search(tools: list[ToolDefinition], task: str, result: str = BLOCK) -> Message:
    """Return the reply after one round of searches, all of which found the same."""
    messages = [system(""), user(task)]
    asked = reply(messages, tools)
    messages.append(asked)
    messages += [tool(ToolResult(call.id, result)) for call in asked.tool_calls]
    return reply(messages, tools)


def arguments(message: Message) -> dict[str, Any]:
    (call,) = message.tool_calls
    return json.loads(call.arguments)


def test_searches_are_different_and_made_together():
    asked = reply([user("How does the journal handle rotation?")], [SEARCH, REPORT])
    queries = [json.loads(call.arguments)["query"] for call in asked.tool_calls]

    assert 2 <= len(queries) <= 3
    assert len(set(queries)) == len(queries)
    assert queries == first_queries("How does the journal handle rotation?")


def test_a_lone_agent_with_search_and_citations_answers_itself():
    found = arguments(after_search([SEARCH, ANSWER], "What is the journal?"))

    assert found["claims"][0] == {
        "text": "The journal is a file of events.",
        "citations": [
            {"source": "notes.md", "locator": "notes.md:3-3", "quote": "The journal is a file of events."}
        ],
    }


def test_a_lone_agent_without_an_answer_tool_ends_with_text():
    assert "The journal is a file of events. [1]" in after_search([SEARCH], "What is the journal?").text


def test_an_output_schema_is_filled_as_well_as_types_allow():
    schema = {
        "type": "object",
        "properties": {
            "summary": {"type": "string"},
            "sure": {"type": "boolean"},
            "level": {"enum": ["file", "socket"]},
            "lines": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        },
        "required": ["summary", "sure", "level", "lines"],
    }
    found = arguments(after_search([SEARCH, ToolDefinition("answer", "", schema)], "What is the journal?"))

    assert "The journal is a file of events." in found["summary"]
    assert (found["sure"], found["level"]) == (True, "file")
    assert found["lines"]


def test_a_small_report_cap_leaves_quotes_out():
    properties = {
        **REPORT.parameters["properties"],
        "answer": {"type": "string", "description": "At most 60 tokens."},
    }
    small = ToolDefinition("report", "", {**REPORT.parameters, "properties": properties})
    block = BLOCK.replace("It only ever grows.", "The journal only ever grows, and nobody edits it.")
    whole, cut = (
        arguments(after_search([SEARCH, report], "What is the journal?", block)) for report in (REPORT, small)
    )

"""What two teams differ in, line by line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from harness.team import Team, team_difference

TEXT = """\
harness: 1
name: demo
entry: lead
models: {default: {api: offline}}
agents:
  lead: {instructions: Lead., tools: [corpus.read, corpus.search], delegates: [scout]}
  scout: {instructions: Scout.}
mcpServers: {corpus: {module: toolservers.corpus, args: {root: ./docs}}}
limits: {turns: 5, usd: 2}
permissions:
  - {tool: "corpus.*", allow: yes}
  - {tool: "*", allow: no}
"""

keys = st.text("abc", min_size=1, max_size=2)
leaves = (
    st.none() | st.booleans() | st.integers(0, 2) | st.floats(0, 2) | st.text("ab\n\u2028\x9b", max_size=3)
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
sources = st.dictionaries(keys, values, max_size=4)


def test_each_change_is_one_line_that_says_where_and_what(parse: Callable[..., Team]):
    before = parse(TEXT)
    after = parse(
        TEXT,
        "agents.lead.instructions=Lead well.",
        "agents.lead.tools=[corpus.list, corpus.read, corpus.search]",
        "agents.critic={instructions: Judge., limits: {turns: 2}}",
        "limits.usd=2.0",
        "limits.minutes=3",
        "permissions=[{tool: 'corpus.*', allow: ask}, {tool: 'web.*', allow: 'yes'}, {tool: '*', allow: 'no'}]",
        "mcpServers.web={url: 'https://web.example/mcp'}",
        "mcpServers.corpus.args={}",
        "entry=scout",
    )

    assert "\n".join(team_difference(before.source, after.source)) == snapshot("""\
entry: "lead" -> "scout"
agents.lead.instructions: "Lead." -> "Lead well."
agents.lead.tools[0]: added "corpus.list"
agents.critic.instructions: added "Judge."
agents.critic.limits.turns: added 2
mcpServers.corpus.args.root: removed "./docs"
mcpServers.web.url: added "https://web.example/mcp"
limits.usd: 2 -> 2.0
limits.minutes: added 3
permissions[0].allow: "yes" -> "ask"
permissions[1].tool: added "web.*"
permissions[1].allow: added "yes"\
""")


def test_a_rule_that_changed_in_its_place_says_only_what_changed(parse: Callable[..., Team]):
    changed = parse(TEXT, "permissions.0.allow=ask", "permissions.0.expires=1h")

    assert team_difference(parse(TEXT).source, changed.source) == [
        'permissions[0].allow: "yes" -> "ask"',
        'permissions[0].expires: added "1h"',
    ]


def test_a_long_value_is_cut_around_the_first_difference():
    before, after = {"a": "x" * 500 + " the old end"}, {"a": "x" * 500 + " the new end, and more" + "y" * 500}

    assert team_difference(before, after) == [
        'a: "…xxxxxxxxxxxxxxxxxxxx the old end" -> '
        '"…xxxxxxxxxxxxxxxxxxxx the new end, and moreyyyyyyyyyyyyyyyyyyyyyyyyyyyy…"'
    ]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (1, True, "x: 1 -> true"),
        (None, "", 'x: null -> ""'),
        ("1", 1, 'x: "1" -> 1'),
        ({}, [], "x: {} -> []"),
        ([], [{}], "x[0]: added {}"),
        ({"a": 1}, "text", 'x: {"a": 1} -> "text"'),
        ("a\nb\u2028\x9b", "a", r'x: "a\nb\u2028\u009b" -> "a"'),
        ({"a": {"b": {}}}, {"a": {}}, "x.a.b: removed {}"),
        ([1, 2, 3], [1, 3], "x[1]: removed 2"),
        ([1, 2, 3], [1, 5, 3], "x[1]: 2 -> 5"),
        (list(range(2_000)), list(range(1_999)), "x[1999]: removed 1999"),
    ],
)
def test_a_change_of_one_value(before: Any, after: Any, line: str):
    assert team_difference({"x": before}, {"x": after}) == [line]


def test_what_appears_says_so():
    assert team_difference({}, {"x": {}}) == ["x: added {}"]
    assert team_difference({"x": None}, {}) == ["x: removed null"]


@given(sources, sources)
def test_only_teams_that_are_written_alike_have_no_difference(before: dict[str, Any], after: dict[str, Any]):
    lines = team_difference(before, after)

    assert (lines == []) == (json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True))
    assert len("\n".join(lines).splitlines()) == len(lines)
    assert team_difference(before, copy.deepcopy(before)) == []

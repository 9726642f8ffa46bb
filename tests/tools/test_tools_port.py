"""Checking arguments, and names on the wire."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers_in_use import HandWritten

from harness.messages import ToolDefinition
from harness.tools.port import CallContext, Tool, ToolOutput


async def nothing(arguments: Any, context: CallContext) -> ToolOutput:
    return ToolOutput("")


def faults(schema: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
    return Tool(ToolDefinition("s.t", "", schema), nothing).faults(arguments)


def test_faults_name_the_place():
    schema = {
        "type": "object",
        "properties": {"lines": {"type": "array", "items": {"type": "object", "required": ["n"]}}},
        "required": ["lines"],
    }

    assert faults(schema, {"lines": [{"n": 1}]}) == []
    assert faults(schema, {"lines": [{}]}) == ["lines[0]: 'n' is a required property"]
    assert faults(schema, {}) == ["arguments: 'lines' is a required property"]


def test_the_dialect_the_schema_names_decides():
    tuple_schema = {"properties": {"pair": {"items": [{"type": "string"}]}}}
    old = {"$schema": "http://json-schema.org/draft-07/schema#"} | tuple_schema

    assert faults(old, {"pair": [1]}) == ["pair[0]: 1 is not of type 'string'"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strng"},
        {"properties": {"a": {"type": "wrong"}}},
        {"properties": {"a": {"$ref": "#/$defs/nowhere"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"properties": {"a": {"pattern": "("}}},
        {"properties": {"a": {"minimum": "1"}}},
        {"required": "a"},
    ],
)
def test_a_broken_schema_leaves_the_judgement_to_the_tool(schema: dict[str, Any]):
    assert faults(schema, {"a": "x"}) == []


def test_nothing_is_fetched_for_a_schema():
    server = HandWritten()
    with server.serving() as url:
        assert faults({"properties": {"a": {"$ref": url}}}, {"a": 1}) == []

    assert server.fetches == 0


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("corpus.search", "corpus__search"),
        ("corpus.read_lines-2", "corpus__read_lines-2"),
        ("delegate", "delegate"),
        ("s." + "t" * 61, "s__" + "t" * 61),
        ("s." + "t" * 62, "s__" + "t" * 52 + "_57c92852"),
        ("files.läs upp", "files__l_s_upp_40dbabd7"),
        ("files.a.b", "files__a_b_596ebb05"),
    ],
)
def test_wire_names(name: str, wire: str):
    assert ToolDefinition(name, "").wire_name == wire


NAMES = st.text(string.ascii_letters[:3] + "_-.é ", min_size=1, max_size=80)


@given(NAMES)
def test_every_wire_name_is_one_that_model_apis_allow(name: str):
    wire = ToolDefinition(name, "").wire_name

    assert 1 <= len(wire) <= 64
    assert set(wire) <= set(string.ascii_letters + string.digits + "_-")


@given(NAMES.map("{}.t".format) | NAMES.map("s.{}".format), NAMES.map("s{}.t".format))
def test_names_of_different_tools_are_different_on_the_wire(one: str, other: str):
    wires = {ToolDefinition(one, "").wire_name, ToolDefinition(other, "").wire_name}

    assert len(wires) == len({one, other})

"""The fast yes to arguments: never a yes where the schema says no."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from harness.tools.fitting import plain_fit

leaves = st.one_of(
    st.builds(
        lambda least, most: {"type": "string", "minLength": least, "maxLength": most},
        st.integers(0, 2),
        st.integers(1, 4),
    ),
    st.sampled_from([{"type": "string", "pattern": "^[a-c]{1,3}$"}, {"type": "string", "pattern": "b"}]),
    st.builds(
        lambda least, most: {"type": "integer", "minimum": least, "maximum": most},
        st.integers(-2, 2),
        st.integers(0, 4),
    ),
    st.sampled_from(
        [
            {"type": "number"},
            {"type": "boolean"},
            {"type": "null"},
            {},
            {"enum": ["a", 1]},
            {"const": 2},
            {"not": {}},
        ]
    ),
)
schemas: st.SearchStrategy[dict[str, Any]] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(
            lambda properties, required, others: {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": others,
            },
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            st.lists(st.sampled_from("abc"), unique=True, max_size=2),
            st.booleans(),
        ),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least},
            inner,
            st.integers(0, 2),
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 5), st.floats(-2, 2), st.text("abcd\n", max_size=4)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=500)
@given(schema=schemas, value=values)
def test_what_plainly_fits_is_valid(schema: dict[str, Any], value: Any):
    fits = plain_fit(schema)

    assert fits is None or not fits(value) or Draft202012Validator(schema).is_valid(value)


def test_usual_arguments_are_seen_at_a_glance():
    schema = {
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1},
            "limit": {"type": "integer", "minimum": 1, "maximum": 50},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    fits = plain_fit(schema)

    assert fits is not None
    assert fits({"query": "x", "limit": 3, "tags": ["a"]})
    for wrong in ({}, {"query": ""}, {"query": "x", "limit": 0}, {"query": "x", "more": 1}, {"query": 1}, []):
        assert not fits(wrong)

"""Short forms of a rule: one word where a list may stand, a value where a condition may stand."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticCustomError

Value = str | bool | int | float


def _value(given: Any) -> Value:
    if not isinstance(given, str | bool | int | float):
        raise PydanticCustomError("condition_value", "expected text, a number, or true or false")
    return given


def listed(given: Any) -> Any:
    """Return one word or number as a list of it; leave everything else as it is."""
    return [given] if isinstance(given, str | bool | int | float) else given


def as_condition(given: Any) -> Any:
    """Return a value, or a list of values, as the mapping `{is: …}` it is short for."""
    if isinstance(given, str | bool | int | float | list):
        return {"is": cast("Any", given)}
    return given


def as_rule(given: Any) -> Any:
    """Return a text as the mapping `{rule: …}` it is short for."""
    return {"rule": given} if isinstance(given, str) else given


ConditionValue = Annotated[Value, PlainValidator(_value, json_schema_input_type=Value)]
"""A glob of texts, a number, or a truth value."""
ConditionValues = Annotated[
    list[ConditionValue],
    BeforeValidator(listed, json_schema_input_type=Value | list[Value]),
]
"""One value or a list of them, kept as a list."""

"""Numbers as people write them in a team file: `500k` tokens, `24h`, a price."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

_SHORT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKmM])")
_FACTORS = {"k": 1_000, "m": 1_000_000}
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def token_count(value: Any) -> Any:
    """Return a short form such as `500k` or `2M` as a number; leave everything else as it is.

    Raises `PydanticCustomError` for other text and for short forms that are no whole number.
    """
    if not isinstance(value, str):
        return value
    match = _SHORT.fullmatch(value)
    count = round(float(match[1]) * _FACTORS[match[2].lower()], 3) if match and len(value) < 20 else 0.5
    if count != int(count):
        raise PydanticCustomError("token_count", "expected a number of tokens such as 500000, 500k or 2M")
    return int(count)


def duration(value: Any) -> float:
    """Return a time such as `30m`, `24h` or `3d` in seconds; a number without a unit says too little.

    Raises `PydanticCustomError` for everything else.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("duration", "expected a time such as 30m, 24h or 3d")
    return float(match[1]) * _SECONDS[match[2]]


TokenCount = Annotated[
    int,
    Field(gt=0),
    BeforeValidator(token_count),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "exclusiveMinimum": 0, "description": "A number of tokens."},
                {
                    "type": "string",
                    "pattern": r"^([0-9]+(\.[0-9]+)? ?[kKmM]|.*\$\{.*)$",
                    "description": "A short form: 500k is 500,000 and 2M is 2,000,000.",
                    "examples": ["128k", "500k", "2M"],
                },
            ]
        }
    ),
]
"""A positive number of tokens, as `500000`, `500k` or `2M`."""

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]

Duration = Annotated[
    float,
    Field(gt=0),
    BeforeValidator(duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^([0-9]{1,6}(\.[0-9]{1,6})? ?[smhd]|.*\$\{.*)$",
            "description": "A time with its unit: seconds, minutes, hours or days.",
            "examples": ["90s", "30m", "24h", "3d"],
        }
    ),
]
"""A time, written as `90s`, `30m`, `24h` or `3d`; in seconds."""

"""Numbers as people write them in a team file: `500k` tokens, `24h`, `10MB`, a price."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

_SHORT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKmM])")
_FACTORS = {"k": 1_000, "m": 1_000_000}
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?([smhd])")
_BYTES = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?((?:[kKMG]i?)?B)")
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
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


def byte_count(value: Any) -> Any:
    """Return a size such as `512kB`, `10MB` or `1GiB` as a number; leave numbers as they are.

    Raises `PydanticCustomError` for other text and for sizes that are no whole number of bytes.
    """
    if not isinstance(value, str):
        return value
    match = _BYTES.fullmatch(value)
    factor = _UNITS.get(match[2][:-1].lower()) if match else None
    size = round(float(match[1]) * factor, 3) if match and factor else 0.5
    if size != int(size):
        raise PydanticCustomError("byte_count", "expected a number of bytes such as 512kB, 10MB or 1GiB")
    return int(size)


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

ByteCount = Annotated[
    int,
    Field(gt=0),
    BeforeValidator(byte_count),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "exclusiveMinimum": 0, "description": "A number of bytes."},
                {
                    "type": "string",
                    "pattern": r"^([0-9]{1,9}(\.[0-9]{1,3})? ?([kKMG]i?)?B|.*\$\{.*)$",
                    "description": "A size with its unit: 1kB is 1,000 bytes and 1KiB is 1,024.",
                    "examples": ["512kB", "10MB", "1GiB"],
                },
            ]
        }
    ),
]
"""A positive number of bytes, as `10000000`, `10MB` or `1GiB`."""

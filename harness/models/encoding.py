"""JSON as it goes out and as it comes in: never an exception for a character that UTF-8 cannot hold."""

from __future__ import annotations

import json
from typing import Any

import orjson

from harness.models.faults import TransientFault


def decode_json(data: bytes) -> Any:
    """Return the JSON value of `data`; broken UTF-8 and lone surrogates become replacement characters.

    Raises:
        TransientFault: It is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(data.decode("utf-8", "replace"))
        return orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except ValueError as error:
        start = data[:80].decode("utf-8", "replace")
        raise TransientFault(f"the endpoint sent something that is not JSON: {start!r}") from error


def encode_json(value: Any) -> bytes:
    """Return `value` as JSON; lone surrogates, which UTF-8 cannot hold, become question marks."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

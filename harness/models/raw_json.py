"""Parts of a JSON document as they came: the text of a value, byte for byte, not what it would be written as."""

from __future__ import annotations

import json
import re

_DECODER = json.JSONDecoder(strict=False)
_BETWEEN = re.compile(r"[\s,:]*")


def members(document: str) -> dict[str, str]:
    """Return the text of every value of a JSON object, by its key; of values with one key the last."""
    found: dict[str, str] = {}
    at = _after(document, document.index("{") + 1)
    while document[at] != "}":
        key, end = _DECODER.raw_decode(document, at)
        at = _after(document, end)
        _, end = _DECODER.raw_decode(document, at)
        found[key] = document[at:end]
        at = _after(document, end)
    return found


def elements(document: str) -> list[str]:
    """Return the text of every value of a JSON array."""
    found: list[str] = []
    at = _after(document, document.index("[") + 1)
    while document[at] != "]":
        _, end = _DECODER.raw_decode(document, at)
        found.append(document[at:end])
        at = _after(document, end)
    return found


def _after(document: str, at: int) -> int:
    """Return where the next value or the end begins; the document is known to be JSON."""
    return _BETWEEN.match(document, at).end()  # pyright: ignore[reportOptionalMemberAccess]

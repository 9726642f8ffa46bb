"""Values of other people's JSON, taken for what they should be: what is of another kind counts as absent."""

from __future__ import annotations

from typing import Any, cast

_MOST_TOKENS = 1_000_000_000


def as_text(value: Any) -> str:
    """Return a text, or an empty one."""
    return value if isinstance(value, str) else ""


def as_object(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[dict[str, Any]]:
    """Return those items of a list that are objects."""
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", item) for item in cast("list[Any]", value) if isinstance(item, dict)]


def as_count(value: Any) -> int | None:
    """Return a number of tokens that can be believed."""
    plausible = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if plausible else None

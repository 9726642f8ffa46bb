"""Values made to fit a JSON Schema as well as extracted text allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.models.offline.conversation import mapping, sequence, string
from harness.models.offline.terms import terms

_DEEPEST = 6


def fill(schema: Any, texts: Sequence[str], *, name: str = "", depth: int = 0) -> Any:
    """Return a value of the schema's type; strings are the texts that suit a property best.

    Keeps to types, enums, required properties and lengths; other keywords are not considered.
    """
    found = mapping(schema)
    if "const" in found:
        return found["const"]
    if "default" in found:
        return found["default"]
    if choices := sequence(found.get("enum")):
        return _choose(choices, texts)
    for keyword in ("anyOf", "oneOf", "allOf"):
        if options := sequence(found.get(keyword)):
            return fill(options[0], texts, name=name, depth=depth + 1)
    kind = found.get("type")
    if isinstance(kind, list):
        kind = next((entry for entry in sequence(kind) if entry != "null"), "null")
    if kind == "object" or "properties" in found:
        return _object(found, texts, depth)
    if kind == "array":
        return _array(found, texts, name, depth)
    return _scalar(found, string(kind), texts, name)


def _object(schema: dict[str, Any], texts: Sequence[str], depth: int) -> dict[str, Any]:
    properties = mapping(schema.get("properties"))
    required = {string(name) for name in sequence(schema.get("required"))}
    wanted = [name for name in properties if name in required or depth < _DEEPEST]
    if depth >= _DEEPEST:
        wanted = [name for name in wanted if name in required]
    if depth > 4 * _DEEPEST:
        return {}
    return {name: fill(properties[name], texts, name=name, depth=depth + 1) for name in wanted}


def _array(schema: dict[str, Any], texts: Sequence[str], name: str, depth: int) -> list[Any]:
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", 5)
    least = least if isinstance(least, int) else 0
    most = most if isinstance(most, int) else 5
    count = max(least, min(most, len(texts), 5))
    if depth > _DEEPEST:
        count = least
    return [fill(schema.get("items"), texts[at:] or texts, name=name, depth=depth + 1) for at in range(count)]


def _scalar(schema: dict[str, Any], kind: str, texts: Sequence[str], name: str) -> Any:
    if kind in ("integer", "number"):
        return _number(schema, kind, texts)
    if kind == "boolean":
        return bool(texts)
    if kind == "null":
        return None
    return _text(schema, texts, name)


def _number(schema: dict[str, Any], kind: str, texts: Sequence[str]) -> int | float:
    """Return the first number in the texts that the bounds allow, else the lower bound."""
    low, high = schema.get("minimum", 0), schema.get("maximum", float("inf"))
    for word in " ".join(texts).replace(",", "").split():
        digits = word.strip("()[];:%$€.")
        if digits.isascii() and digits.replace(".", "", 1).isdigit():
            value = float(digits)
            if low <= value <= high and (kind == "number" or value.is_integer()):
                return int(value) if value.is_integer() else value
    return low


def _text(schema: dict[str, Any], texts: Sequence[str], name: str) -> str:
    wanted = set(terms(f"{name} {string(schema.get('description'))}"))
    best = max(texts, key=lambda text: len(wanted & set(terms(text))), default="")
    longest = schema.get("maxLength")
    best = best[:longest] if isinstance(longest, int) else best
    least = schema.get("minLength")
    return best.ljust(least, ".") if isinstance(least, int) and len(best) < least else best


def _choose(choices: list[Any], texts: Sequence[str]) -> Any:
    """Return the choice whose words the texts contain most often."""
    found = terms(" ".join(texts))
    return max(choices, key=lambda choice: sum(found.count(term) for term in terms(str(choice))))

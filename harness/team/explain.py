"""Validation errors in plain words, at the place in the file that caused them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from pydantic import ValidationError

from harness.errors import Problem
from harness.team.context_specs import STRATEGIES
from harness.team.nodes import Mapping, Node, Place, Scalar, Sequence, walk
from harness.team.schema import keys_at
from harness.team.spelling import did_you_mean, one_of, shortened
from harness.team.strict_yaml import MAX_PROBLEMS

_NOISE = "default_factory_not_called"
_WANTED = {
    "string_type": "text",
    "string_unicode": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
_BOUNDS = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "at least {}"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "at most {}"),
}
_YES = frozenset({"yes", "on", "y", "1"})
_NO = frozenset({"no", "off", "n", "0"})


def explained(error: ValidationError, root: Node) -> list[Problem]:
    """Return one problem for each thing the validation found wrong, `MAX_PROBLEMS` at most."""
    faults = (fault for fault in error.errors(include_url=False) if fault["type"] != _NOISE)
    return [_explain(fault, root) for fault in islice(faults, MAX_PROBLEMS)]


def faulted_places(error: ValidationError, root: Node) -> set[Place]:
    """Return the places of scalars that were refused."""
    places = (_existing(fault["loc"], root) for fault in error.errors(include_url=False))
    return {place for place in places if isinstance(walk(root, place)[0], Scalar)}


def spelled(place: Place) -> str:
    """Return a place as a person writes it: `agents.lead.tools[0]`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def described(node: Node) -> str:
    """Return what stands at a node, without showing what a variable holds."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=bool()):
            return node.text
        case Scalar(value=str()):
            return "text from a variable" if node.interpolated else f"text '{shortened(node.text)}'"
        case Scalar():
            return f"the number {shortened(node.text)}"


def _existing(loc: Place, root: Node) -> Place:
    """Drop the parts of a validator's location that name no key: union members and the like."""
    place: Place = ()
    for part in loc:
        _, _, rest = walk(root, (*place, part))
        if not rest:
            place = (*place, part)
    return place


def _explain(fault: Any, root: Node) -> Problem:
    kind: str = fault["type"]
    place = _existing(fault["loc"], root)
    node, key, _ = walk(root, place)
    if kind == "missing":
        return _missing(str(fault["loc"][-1]), place, node, key)
    if kind == "extra_forbidden":
        return _unknown_key(place, node, key)
    message, hint = _worded(kind, fault, node)
    where = spelled(place)
    return node.mark.problem(f"{where}: {message}" if where else message, hint)


def _missing(name: str, place: Place, node: Node, key: Scalar | None) -> Problem:
    mark = key.mark if key else node.mark
    where = f" in {spelled(place)}" if place else ""
    return mark.problem(f"the key '{name}' is missing{where}", _MISSING_HINTS.get(name, ""))


_SYNONYMS = {
    "yes": frozenset({"allow", "allowed", "always", "approve", "grant", "permit", "true"}),
    "ask": frozenset({"approval", "confirm", "maybe", "prompt"}),
    "no": frozenset({"block", "denied", "deny", "false", "forbid", "never", "refuse", "reject"}),
}
_MISSING_HINTS = {
    "harness": "begin the file with: harness: 1",
    "entry": "name the agent that receives the task, as in: entry: lead",
    "api": "write api: offline, openai-chat, openai-responses, anthropic, gemini or scripted; or say provider: instead",
    "instructions": "write 'instructions', 'instructions_file' or 'use'",
    "allow": "write allow: yes, ask or no",
}


def _unknown_key(place: Place, node: Node, key: Scalar | None) -> Problem:
    mark = key.mark if key else node.mark
    name = key.text if key else str(place[-1])
    where = f" in {spelled(place[:-1])}" if place[:-1] else ""
    return mark.problem(
        f"unknown key '{name}'{where}", did_you_mean(name, keys_at(place[:-1]), what="known keys")
    )


def _worded(kind: str, fault: Any, node: Node) -> tuple[str, str]:
    context: dict[str, Any] = fault.get("ctx", {})
    if kind in _WANTED:
        return _wrong_kind(kind, node)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"must be {words.format(f'{context[name]:g}')}, got {_value(node)}", ""
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(context, node)
    text = str(fault["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:], ""


def _wrong_kind(kind: str, node: Node) -> tuple[str, str]:
    wanted = _WANTED[kind]
    if wanted == "text" and isinstance(node, Scalar) and node.value is not None:
        what = "true or false" if isinstance(node.value, bool) else "a number"
        return (
            f"{shortened(node.text)} is {what} here, but text is wanted",
            f'write it in quotes: "{node.text}"',
        )
    hint = ""
    if isinstance(node, Scalar) and kind == "bool_type":
        word = node.text.lower()
        hint = "write true" if word in _YES else "write false" if word in _NO else "write true or false"
    elif (
        isinstance(node, Scalar)
        and isinstance(node.value, str)
        and not node.interpolated
        and _is_number(node.text)
    ):
        hint = f"write it without quotes: {node.text}"
    elif isinstance(node, Scalar) and node.value is None:
        hint = "write a value, or delete the key"
    elif isinstance(node, Scalar) and kind == "list_type":
        hint = f"write [{shortened(node.text)}]" if not node.interpolated else ""
    return f"expected {wanted}, got {described(node)}", hint


def _is_number(text: str) -> bool:
    return text.isascii() and text.replace(".", "", 1).isdigit()


def _value(node: Node) -> str:
    return node.text if isinstance(node, Scalar) and not node.interpolated else described(node)


def _wrong_word(context: dict[str, Any], node: Node) -> tuple[str, str]:
    words = [word.strip() for word in str(context["expected"]).replace(" or ", ", ").split(",")]
    names = [word.strip("'") for word in words]
    wanted = one_of(names) if len(words) > 1 or words[0].startswith("'") else words[0]
    message = f"expected {wanted}, got {described(node)}"
    if names == ["1"]:
        return message, "this version of harness reads format 1"
    if isinstance(node, Scalar) and isinstance(node.value, bool) and {"yes", "no"} <= set(names):
        return message, f"write {'yes' if node.value else 'no'}"
    if isinstance(node, Scalar) and not node.interpolated and {"yes", "no"} <= set(names):
        meant = [word for word in names if node.text.lower() in _SYNONYMS.get(word, ())]
        return message, f"write {meant[0]}" if meant else ""
    close = did_you_mean(node.text, names) if isinstance(node, Scalar) else ""
    return message, close if close.startswith("did you mean") else ""


def _wrong_pattern(context: dict[str, Any], node: Node) -> tuple[str, str]:
    if "_.]*" in str(context["pattern"]):
        return (
            f"expected the name of a Python module, got {described(node)}",
            "write it as in: toolservers.corpus",
        )
    return f"expected a name, got {described(node)}", "a name has letters, digits, - and _ only"


def _empty(context: dict[str, Any], node: Node) -> tuple[str, str]:
    return ("must not be empty", "")


def _tokens(context: dict[str, Any], node: Node) -> tuple[str, str]:
    return f"expected a number of tokens, got {described(node)}", "write it as in: 500000, 500k or 2M"


def _bytes(context: dict[str, Any], node: Node) -> tuple[str, str]:
    return f"expected a number of bytes, got {described(node)}", "write it as in: 512kB, 10MB or 1GiB"


def _duration(context: dict[str, Any], node: Node) -> tuple[str, str]:
    hint = "write it as in: 90s, 30m, 24h or 3d"
    if isinstance(node, Scalar) and _is_number(node.text):
        hint = f"add the unit, as in: {node.text}m"
    return f"expected a time, got {described(node)}", hint


def _strategy(context: dict[str, Any], node: Node) -> tuple[str, str]:
    hint = did_you_mean(node.text, STRATEGIES, what="strategies") if isinstance(node, Scalar) else ""
    return f"there is no strategy {described(node).removeprefix('text ')}", hint


def _condition(context: dict[str, Any], node: Node) -> tuple[str, str]:
    return f"expected text, a number, or true or false, got {described(node)}", ""


_SPECIAL: dict[str, Callable[[dict[str, Any], Node], tuple[str, str]]] = {
    "literal_error": _wrong_word,
    "string_pattern_mismatch": _wrong_pattern,
    "string_too_short": _empty,
    "too_short": _empty,
    "token_count": _tokens,
    "byte_count": _bytes,
    "duration": _duration,
    "condition_value": _condition,
    "strategy": _strategy,
}

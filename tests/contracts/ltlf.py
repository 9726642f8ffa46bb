"""Linear temporal logic over finite traces, evaluated as it is defined: slowly, and without automata."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Letters = Sequence[int]
"""Bit 1: `a` holds, bit 2: `b` holds."""
Formula = Callable[[Letters, int], bool]


def holds(formula: str, trace: Letters) -> bool:
    """Return whether a formula, as the templates write them, holds of a trace from its beginning."""
    tokens = re.findall(r"->|[()&|!abXNFGUW]|true|false", formula)
    value = _implies(tokens)
    assert not tokens, tokens
    return value(trace, 0)


def _implies(tokens: list[str]) -> Formula:
    left = _and(tokens)
    if tokens and tokens[0] == "->":
        tokens.pop(0)
        right = _implies(tokens)
        return lambda trace, at: not left(trace, at) or right(trace, at)
    return left


def _and(tokens: list[str]) -> Formula:
    parts = [_until(tokens)]
    while tokens and tokens[0] == "&":
        tokens.pop(0)
        parts.append(_until(tokens))
    return lambda trace, at: all(part(trace, at) for part in parts)


def _until(tokens: list[str]) -> Formula:
    left = _unary(tokens)
    if not tokens or tokens[0] not in "UW":
        return left
    weak = tokens.pop(0) == "W"
    right = _until(tokens)

    def until(trace: Letters, at: int) -> bool:
        for here in range(at, len(trace)):
            if right(trace, here):
                return True
            if not left(trace, here):
                return False
        return weak

    return until


def _unary(tokens: list[str]) -> Formula:
    token = tokens.pop(0)
    if token == "(":
        inner = _implies(tokens)
        assert tokens.pop(0) == ")"
        return inner
    if token in ("true", "false"):
        return lambda trace, at: token == "true" and at < len(trace)
    if token in "ab":
        bit = 1 if token == "a" else 2
        return lambda trace, at: at < len(trace) and bool(trace[at] & bit)
    inner = _unary(tokens)
    match token:
        case "!":
            return lambda trace, at: not inner(trace, at)
        case "X":
            return lambda trace, at: at + 1 < len(trace) and inner(trace, at + 1)
        case "N":
            return lambda trace, at: at + 1 >= len(trace) or inner(trace, at + 1)
        case "F":
            return lambda trace, at: any(inner(trace, here) for here in range(at, len(trace)))
        case _:
            return lambda trace, at: all(inner(trace, here) for here in range(at, len(trace)))

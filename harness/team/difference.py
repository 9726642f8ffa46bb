"""What is different between two teams, for a person to read.

It compares what was written, `Team.source`, so `2` and `2.0` differ as their digests do, and a
variable is the same whatever it holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Final, cast

from harness.team.explain import spelled
from harness.team.nodes import Place

_SHOWN = 70
"""Characters of a value that are shown."""
_BEFORE = 25
"""How many of them stand before the first difference."""
_ALIGNED = 1_000
"""Longer lists are compared item by item: lining them up takes time with the square of their length."""
_ABSENT: Final = object()


def team_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return one line for each value that was changed, added or removed, as in `limits.turns: 5 -> 7`.

    Both are what `Team.source` holds; equal teams, and only they, give an empty list.
    """
    return [_printable(line) for line in _compared(before, after, ())]


def _compared(before: Any, after: Any, place: Place) -> Iterator[str]:
    if _json(before) == _json(after):
        return
    if _is_inner(before, after, Mapping):
        for key in dict.fromkeys((*_or(before, {}), *_or(after, {}))):
            old, new = (_or(side, {}).get(key, _ABSENT) for side in (before, after))
            yield from _compared(old, new, (*place, key))
    elif _is_inner(before, after, list):
        yield from _compared_lists(_or(before, []), _or(after, []), place)
    elif before is _ABSENT:
        yield f"{spelled(place)}: added {_shown(after, 0)}"
    elif after is _ABSENT:
        yield f"{spelled(place)}: removed {_shown(before, 0)}"
    else:
        at = _first_difference(before, after)
        yield f"{spelled(place)}: {_shown(before, at)} -> {_shown(after, at)}"


def _is_inner(before: Any, after: Any, kind: type) -> bool:
    """Whether there is more to say about what is inside: both are of one kind, or one is and the other is absent."""
    there = [side for side in (before, after) if side is not _ABSENT]
    return all(isinstance(side, kind) for side in there) and any(there) and (len(there) == 2 or all(there))


def _compared_lists(before: list[Any], after: list[Any], place: Place) -> Iterator[str]:
    for old, new in _aligned(before, after):
        for one, other in zip_longest(old, new):
            index = one if other is None else other
            yield from _compared(
                _ABSENT if one is None else before[one],
                _ABSENT if other is None else after[other],
                (*place, cast("int", index)),
            )


def _aligned(before: list[Any], after: list[Any]) -> Iterator[tuple[range, range]]:
    """Yield the indexes of items that stand between equal ones, to be compared one by one."""
    if max(len(before), len(after)) > _ALIGNED:
        yield range(len(before)), range(len(after))
        return
    matcher = SequenceMatcher(None, [_json(item) for item in before], [_json(item) for item in after], False)
    for change, first, last, start, end in matcher.get_opcodes():
        if change != "equal":
            yield range(first, last), range(start, end)


def _or(side: Any, otherwise: Any) -> Any:
    return otherwise if side is _ABSENT else side


def _json(value: Any) -> str:
    return "" if value is _ABSENT else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _first_difference(before: Any, after: Any) -> int:
    pairs = zip_longest(_text(before), _text(after))
    return next((index for index, (one, other) in enumerate(pairs) if one != other), 0)


def _shown(value: Any, at: int) -> str:
    """Return the value on one line, the part around `at` if it is long."""
    text = _text(value)
    start = max(0, at - _BEFORE) if len(text) > _SHOWN else 0
    cut = text[start : start + _SHOWN]
    cut = f"{'…' if start else ''}{cut}{'…' if start + _SHOWN < len(text) else ''}"
    return json.dumps(cut, ensure_ascii=False) if isinstance(value, str) else cut


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in line)

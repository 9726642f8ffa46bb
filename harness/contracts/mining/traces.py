"""The traces that are mined, and what is counted of them before their order is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from harness.contracts.calls import Call
from harness.contracts.checking import Before
from harness.contracts.language import parse_contract
from harness.contracts.patterns import is_glob
from harness.contracts.values import spellings, words_in
from harness.contracts.words import ContractError

RESULT = "result"
"""Stands for the words of a result in the place of an argument's path."""

_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Trace:
    """The calls of one agent run, or of all of a run; those that never ran are to be left out."""

    run: str
    """The run it belongs to."""
    calls: Sequence[Call]
    """In an order that agrees with `before`."""
    before: Before | None = None
    """Whether one call was over before another began; they follow each other if not given."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Traces in which the same contracts may hold."""

    name: str
    traces: Sequence[Trace]
    may_pair: Callable[[str, str], bool] | None = None
    """Which tools to ask about, as pairs only; if not given, about all, and about single tools too."""


class Counts:
    """How often each tool was called in each trace, and with which values."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self.traces = traces
        self.calls = [[call for call in trace.calls if not call.own] for trace in traces]
        self.sizes = [len(calls) for calls in self.calls]
        self.of: dict[str, dict[int, int]] = {}
        """By tool and trace."""
        for index, calls in enumerate(self.calls):
            for tool, number in Counter(call.tool for call in calls).items():
                self.of.setdefault(tool, {})[index] = number
        self._values: dict[tuple[int, str, str], list[frozenset[str]]] = {}

    @cached_property
    def tools(self) -> list[str]:
        """The tools that contracts can name."""
        return sorted(tool for tool in self.of if _can_be_named(tool))

    def runs(self, tool: str) -> int:
        """Return how many runs called a tool."""
        return len({self.traces[index].run for index in self.of[tool]})

    def values(self, index: int, tool: str, path: str) -> list[frozenset[str]]:
        """Return what stands at a path in each call of a tool in one trace."""
        key = index, tool, path
        if key not in self._values:
            calls = (call for call in self.calls[index] if call.tool == tool)
            self._values[key] = [frozenset(_values(call, path)) for call in calls]
        return self._values[key]

    def paths(self, tool: str) -> list[str]:
        """Return the paths of the arguments that a tool was ever called with."""
        if tool not in self._paths:
            calls = (call for index in self.of[tool] for call in self.calls[index] if call.tool == tool)
            found = {path for call in calls for path in _paths(call.arguments or {})}
            self._paths[tool] = sorted(found)
        return self._paths[tool]

    @cached_property
    def _paths(self) -> dict[str, list[str]]:
        return {}


def _values(call: Call, path: str) -> set[str]:
    if path == RESULT:
        return words_in(call.result, "") if call.result is not None else set()
    return set(spellings(call.arguments, path)) if call.arguments is not None else set()


def _paths(values: Any, above: str = "", depth: int = 1) -> Iterator[str]:
    """Yield the paths of single values; a list stands for its items."""
    if isinstance(values, list):
        for item in cast("list[Any]", values):
            yield from _paths(item, above, depth)
    elif isinstance(values, Mapping):
        for name, value in cast("Mapping[str, Any]", values).items():
            if depth <= _DEEPEST and name.isidentifier() and name != RESULT:
                yield from _paths(value, f"{above}.{name}" if above else name, depth + 1)
    elif above:
        yield above


def _can_be_named(tool: str) -> bool:
    try:
        return parse_contract(f"{tool} first").first.tools == (tool,) and not is_glob(tool)
    except ContractError:
        return False

"""What a call asked for, read once for all detectors that look at it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from harness.messages import canonical_arguments
from harness.record import Call
from harness.record.values import argument_values, is_distinctive, tokens

_FREE_TEXT = re.compile(
    r"(content|text|query|message|body|command|code|thought|reason|summary|description|answer|prompt|objective"
    r"|expected|boundaries|sources|title|note|new_str|old_str|patch|expression)",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"-?[\d,]+\.\d{1,2}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}.*|\d{1,2}:\d{2}.*")


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of a call."""

    request: tuple[str, str]
    """The tool, and the arguments in one spelling: the same for the same request."""
    values: Mapping[str, str]
    """Its scalar values by path, as in `argument_values`."""
    identifiers: Mapping[str, str]
    """Those that have to come from somewhere, by path, as the values of windows are spelled."""

    @classmethod
    def by(cls, call: Call) -> Asked:
        """Return what a call asked for."""
        values = argument_values(call.arguments)
        identifiers = {path: _spelled(value) for path, value in values.items() if _is_identifier(path, value)}
        return cls((call.tool, canonical_arguments(call.arguments)), values, identifiers)


def _is_identifier(path: str, value: str) -> bool:
    """Return whether an argument is an identifier, and no text, date or quantity."""
    is_id = is_distinctive(value) and any(map(str.isdigit, value)) and " " not in value
    return is_id and not _is_text(path) and not _DATE.fullmatch(value) and not _AMOUNT.fullmatch(value)


@lru_cache(maxsize=4096)
def _is_text(path: str) -> bool:
    """Return whether an argument's name says that it is a text."""
    leaf = path.rpartition(".")[2]
    return bool(_FREE_TEXT.search(path if leaf.isdigit() else leaf))


def _spelled(value: str) -> str:
    spelled = tokens(value)
    return spelled[0] if len(spelled) == 1 else value

"""The switches `/think` and `/no_think`, by which anybody who writes into a prompt can turn Qwen3's thinking on and off.

They are heard wherever they stand in a user's or the system's message, and templates put tool results into one of
the user's. So where the text is not the user's own, a word joiner (U+2060) parts the slash from its word: it shows
nothing, and is taken out again where the model repeats it, as in the arguments of a call.
"""

from __future__ import annotations

import re
from typing import Literal

_JOINER = "\u2060"
_LOOKS_LIKE_ONE = re.compile(r"/(?=(?:no_)?think(?!\w))")
_SWITCH = re.compile(r"(?<![\w./\\-])/(no_)?think(?![\w/\\-]|\.\w)")
"""A switch that is meant as one, and not part of a path."""
_PARTED = re.compile(rf"/{_JOINER}(?=(?:no_)?think)")


def neutralised(text: str) -> str:
    """Return the text with its switches made ineffective."""
    return _LOOKS_LIKE_ONE.sub(f"/{_JOINER}", text) if "think" in text else text


def restored(text: str) -> str:
    """Return the text as it was before `neutralised`."""
    return _PARTED.sub("/", text) if _JOINER in text else text


def switched(text: str) -> Literal["on", "off"] | None:
    """Return what the last switch in the text says; None if it holds none."""
    found: list[str] = _SWITCH.findall(text)
    if not found:
        return None
    return "off" if found[-1] else "on"

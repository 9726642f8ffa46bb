"""Clean runs: kinds of work, each varied by a seed."""

from __future__ import annotations

from collections.abc import Callable

from ..script import Script
from .coding import coding
from .desk import desk
from .incident import incident
from .pipeline import pipeline
from .research import research

FAMILIES: dict[str, Callable[[int], Script]] = {
    "desk": desk,
    "coding": coding,
    "research": research,
    "incident": incident,
    "pipeline": pipeline,
}

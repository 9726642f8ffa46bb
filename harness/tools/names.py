"""Names of tools: `server.tool`, matched by glob."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether `name` is granted by one of `patterns`: `server`, `server.*` or `server.tool`."""
    return any(fnmatchcase(name, pattern if "." in pattern else f"{pattern}.*") for pattern in patterns)

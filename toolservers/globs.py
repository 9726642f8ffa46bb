"""Matching a relative path against the globs people write in configuration."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether any pattern covers `path` (relative, `/` between parts).

    A pattern without `/` is held against the file name and against every folder above it; one with `/` against
    the whole path, where `**` stands for any number of folders and a match of a folder covers what is in it.
    """
    parts = path.split("/")
    return any(_covers(pattern, parts) for pattern in patterns)


def _covers(pattern: str, parts: list[str]) -> bool:
    wanted = [part for part in pattern.split("/") if part not in ("", ".")]
    if len(wanted) == 1 and wanted[0] != "**":
        return any(fnmatch.fnmatchcase(part, wanted[0]) for part in parts)
    # Row by row like an edit distance, so that many `**` cost no more than their number times the depth.
    reached = [True] + [False] * len(parts)
    for want in wanted:
        if want == "**":
            first = reached.index(True) if True in reached else len(reached)
            reached = [index >= first for index in range(len(reached))]
        else:
            step = [reached[at] and fnmatch.fnmatchcase(part, want) for at, part in enumerate(parts)]
            reached = [False, *step]
    return any(reached)

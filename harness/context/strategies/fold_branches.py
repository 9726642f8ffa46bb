"""Fold finished branches of a plan into what they answered.

Of a report whose branch is over the answer stays; its evidence and its files can be read again. Of an
older version of a plan, tasks that a newer one reports on again keep only their status.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from harness.context.draft import Draft
from harness.context.identifiers import listed
from harness.context.placeholders import named, read_again
from harness.context.window import Entry

NAME = "fold_branches"

_KEPT = ("id", "agent", "handle", "status", "answer", "data", "stopped_by")
_REPEATED = ("id", "agent", "handle", "status")


def apply(draft: Draft) -> None:
    """Fold reports, the oldest first, until it is enough; the current plan and the turn under way stay whole."""
    current = _handles(list(draft.entries.values()))
    for entry in draft.reports():
        if draft.is_small_enough:
            return
        view = _view(entry)
        if view is None:
            continue
        folded = _folded(view, current, entry)
        text = orjson.dumps(folded).decode()
        names = listed(name for name in draft.only_in([entry]) if name not in text)
        how = (
            f"Folded to make room; {read_again(f'result:{entry.call}')} reads all of it again.{named(names)}"
        )
        draft.shorten(entry, orjson.dumps({**folded, "note": how}).decode(), NAME)


def _folded(view: dict[str, Any], current: dict[str, int], entry: Entry) -> dict[str, Any]:
    if "tasks" not in view:
        return _only(view, _KEPT)
    tasks = cast("list[dict[str, Any]]", view["tasks"])
    return {
        "plan": view.get("plan"),
        "tasks": [
            _only(task, _REPEATED if current.get(task.get("handle", ""), 0) > entry.number else _KEPT)
            for task in tasks
        ],
    }


def _only(view: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: view[name] for name in names if name in view}


def _handles(entries: list[Entry]) -> dict[str, int]:
    """Return the number of the last entry that reports on a sub-agent, by its handle."""
    found: dict[str, int] = {}
    for entry in entries:
        view = _view(entry) if entry.origin.startswith("report:") else None
        for task in (view or {}).get("tasks", ()):
            if "handle" in task:
                found[task["handle"]] = entry.number
    return found


def _view(entry: Entry) -> dict[str, Any] | None:
    """Return a report as it stands in the window; None where it is none, or was folded before."""
    try:
        view = orjson.loads(entry.message.text)
    except orjson.JSONDecodeError:
        return None
    return cast("dict[str, Any]", view) if isinstance(view, dict) and "note" not in view else None

"""A tool call as contracts see it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NEVER_RAN = frozenset({"arguments", "cut_off", "denied", "order", "unknown_tool"})
"""Error types of calls that were refused: they did nothing, so no contract counts them."""

_NUMBER = re.compile(r"-\d+$")


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call that ran, is running, or is about to."""

    tool: str
    """`server.tool`, or whatever the trace calls it."""
    arguments: Mapping[str, Any] | None = None
    """None if they were not recorded."""
    key: str = ""
    """What tells it apart from all other calls of its trace."""
    agent: str = ""
    """Path of the agent run that made it."""
    turn: int = 0
    result: str | None = None
    """What it gave back; None while it runs, or if that was not recorded."""
    is_error: bool | None = None
    """None while it runs."""
    own: bool = False
    """Whether the tool is the harness's own, such as `delegate`: it counts only for contracts that name it."""

    @property
    def agent_name(self) -> str:
        """The name of its agent: `researcher` for `lead/researcher-2`."""
        above, slash, last = self.agent.rpartition("/")
        return _NUMBER.sub("", last) if above and slash else last

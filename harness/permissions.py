"""Who may call what: rules of the team file over the tools an agent was given.

A rule that denies a tool to an agent denies it to everything that works for that agent, so that
delegating never widens what may be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from harness.team import PermissionSpec


class Permissions:
    """The `permissions:` of a team file; for each agent the first matching rule decides."""

    def __init__(self, rules: Sequence[PermissionSpec] = ()) -> None:
        self._rules = tuple(rules)

    def denial(self, lineage: Sequence[str], tool: str) -> str:
        """Return why `tool` is denied, or an empty string.

        Args:
            lineage: Names of the agent and of all agents it works for, in any order.
        """
        if not self._rules:
            return ""
        for name in lineage:
            for rule in self._rules:
                if fnmatchcase(name, rule.agent) and fnmatchcase(tool, rule.tool):
                    if rule.allow == "no":
                        return f"the team file denies {tool} to {name}"
                    break
        return ""

"""Whether a tool call reads or writes, as far as the record tells."""

from __future__ import annotations

import re
from typing import Literal

from harness.record.run import Call

Access = Literal["read", "write", "unknown"]

_READS = frozenset(
    re.findall(
        r"\w+",
        """
    read get list search find fetch query lookup look show view cat head tail grep glob ls stat
    describe check count calculate compute think browse open outline inspect retrieve load preview
    diff status info history log logs select explain validate verify test tests lint
""",
    )
)
_WRITES = frozenset(
    re.findall(
        r"\w+",
        """
    write edit create update delete remove add set put post patch insert replace append move rename
    copy send book cancel buy pay refund modify change commit push merge apply install deploy
    publish save store upload submit assign close reopen transfer exchange return mkdir rm mv touch
    execute run bash shell
""",
    )
)
_CHECKS = frozenset({"test", "tests", "check", "checks", "lint", "validation"})
"""What is run to look at something; `run_tests` says what is, and `run` alone could do anything."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def access_of(call: Call) -> Access:
    """Return what a call does outside: from its declared effect, else from the words of its name."""
    if call.effect == "read":
        return "read"
    if call.effect in ("keyed", "idempotent"):
        return "write"
    named = access_by_name(call.tool)
    # `once` is what every tool is taken for that declares nothing, so a telling name counts for more.
    return "write" if named == "unknown" and call.effect == "once" else named


def access_by_name(tool: str) -> Access:
    """Return what the first telling word of a tool's name says; running checks is reading."""
    words = [word.lower() for word in _WORD.findall(tool.rpartition(".")[2])]
    for word, following in zip(words, (*words[1:], ""), strict=True):
        if word in _READS or (word in ("run", "execute") and following in _CHECKS):
            return "read"
        if word in _WRITES:
            return "write"
    return "unknown"

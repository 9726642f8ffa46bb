"""Whether a tool call reads or writes, as far as the record tells."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from harness.record.run import Call

Access = Literal["read", "write", "unknown"]

_BEGINNING = 400
"""Characters of a result in which a write says what it did."""

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

_CHANGES = frozenset(
    re.findall(
        r"\w+",
        """
    edit update delete remove patch replace modify change cancel refund return exchange close reopen
    assign transfer approve reject revoke restore resolve rm
""",
    )
)
"""Writes to something that has to be there already."""
_ADDRESSES = frozenset(
    re.findall(r"\w+", "id ids key path file filename page number no ref code sku url uri")
)
_NEW = frozenset(re.findall(r"\w+", "new to dest destination target output out"))
_SAYS_CHANGED = re.compile(
    r"\b(changed|updated|modified|replaced|overwritten|deleted|removed|cancelled)\b", re.I
)
_INDEX = re.compile(r"(\.\d+)+$")
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


@lru_cache(maxsize=4096)
def access_by_name(tool: str) -> Access:
    """Return what the first telling word of a tool's name says; running checks is reading."""
    words = _words(tool)
    for word, following in zip(words, (*words[1:], ""), strict=True):
        if word in _READS or (word in ("run", "execute") and following in _CHECKS):
            return "read"
        if word in _WRITES:
            return "write"
    return "unknown"


@lru_cache(maxsize=4096)
def words_of(name: str) -> frozenset[str]:
    """Return the words of a tool's or an argument's own name, in lower case: `orders.cancelItem` is cancel, item."""
    return frozenset(_words(name))


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name.rpartition(".")[2])]


def needs_existing(call: Call, argument: str) -> bool:
    """Return whether the thing that an argument names has to be there before the call.

    What is read has to be there. A call that writes may make the thing it names; then only ids of other
    things have to be there, as the customer's in `create_order(customer_id)`. Texts that are written are
    nobody's name.

    Args:
        argument: Its path, such as `items.0.id`.
    """
    if access_of(call) != "write":
        return True
    tool, leaf = words_of(call.tool), words_of(_INDEX.sub("", argument))
    if leaf & _NEW:
        return False
    if tool & _CHANGES or _SAYS_CHANGED.search((call.result or "")[:_BEGINNING]):
        return bool(leaf & (_ADDRESSES | tool))
    return bool(tool & _WRITES) and bool(leaf & {"id", "ids"}) and not leaf & tool

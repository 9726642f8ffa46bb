"""Ids of traces and spans, made of the place of a thing and not of chance.

A span keeps its id however often it is computed: a live run and a later export of its journal are
the same trace, so findings can name spans of either. Nothing here needs OpenTelemetry.
"""

from __future__ import annotations

import re
from hashlib import blake2b

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}.*")


def trace_id(run_id: str, caller: str = "") -> int:
    """Return the 16-byte trace id of a run, never 0.

    Args:
        caller: The trace context of whoever asked for the run, whose trace it then belongs to.
    """
    ids = caller_ids(caller)
    return ids[0] if ids else int.from_bytes(blake2b(run_id.encode(), digest_size=16).digest()) or 1


def caller_ids(header: str) -> tuple[int, int] | None:
    """Return the trace id and span id in a W3C `traceparent`; None if it holds none that may be used.

    Source: W3C Trace Context, section 3.2.2.
    """
    match = _TRACEPARENT.fullmatch(header)
    if match is None or header.startswith("ff"):
        return None
    trace, span = int(match[1], 16), int(match[2], 16)
    return (trace, span) if trace and span else None


def span_id(run_id: str, place: str, attempt: int = 1) -> int:
    """Return the 8-byte id of the span at `place`, never 0.

    Places are `run`, `agent PATH`, `chat PATH/turn-N/I`, `tool KEY` and `plan PATH/turn-N`. What
    is begun again at the same place, after a crash or an interruption, is a further attempt.
    """
    name = f"{run_id}\0{place}" if attempt == 1 else f"{run_id}\0{place}\0{attempt}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) or 1


def tool_span_id(run_id: str, key: str, attempt: int = 1, epoch: int = 1) -> int:
    """Return the id of the span of a tool call's attempt, in the process that sees its end.

    Args:
        epoch: How often somebody has taken up the run: a call that a new process makes again is another span.
    """
    place = f"tool {key}" if epoch == 1 else f"tool {key} epoch-{epoch}"
    return span_id(run_id, place, attempt)


def traceparent(run_id: str, call_key: str, *, attempt: int = 1, epoch: int = 1, caller: str = "") -> str:
    """Return the W3C `traceparent` that makes a tool server's spans children of a tool call's span.

    Goes unprefixed into `params._meta` of the request (MCP SEP-414).

    Args:
        caller: The trace context of whoever asked for the run; ignored if it is no good.
    """
    return f"00-{trace_id(run_id, caller):032x}-{tool_span_id(run_id, call_key, attempt, epoch):016x}-01"

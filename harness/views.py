"""Runs and their events as JSON: what the command line prints is what the server sends."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import orjson

from harness.events import ApprovalRequested, Citation, Recorded
from harness.messages import Usage

_C1 = re.compile("[\x7f-\x9f]")


def json_line(value: Any) -> str:
    """Return `value` as one line of JSON that is safe to show on a terminal."""
    return _C1.sub(lambda match: f"\\u{ord(match.group()):04x}", orjson.dumps(value).decode())


def event_view(recorded: Recorded) -> dict[str, object]:
    """Return an event as one flat JSON object, its place in the run first."""
    event = asdict(recorded.event)  # type: ignore[call-overload]
    head = {
        "type": event.pop("type"),
        "run_id": recorded.run_id,
        "sequence": recorded.sequence,
        "at": recorded.at,
    }
    return head | event


def citation_view(citation: Citation) -> dict[str, str]:
    """Return a citation as JSON."""
    return {
        "source": citation.source,
        "locator": citation.locator,
        "quote": citation.quote,
        "claim": citation.claim,
    }


def usage_view(usage: Usage) -> dict[str, object]:
    """Return token counts as JSON."""
    return asdict(usage)


def question_view(question: ApprovalRequested) -> dict[str, object]:
    """Return what a person is asked about a call, without what is only for the machine."""
    return {
        "call": question.key,
        "number": question.number,
        "kind": question.kind,
        "agent": question.agent,
        "tool": question.tool,
        "arguments": question.arguments,
        "message": question.message,
        "form": question.form,
        "expires_at": question.expires_at,
    }

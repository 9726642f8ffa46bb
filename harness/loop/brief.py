"""What crosses between agents: a brief goes in, a report comes back, as text a model reads."""

from __future__ import annotations

from typing import Any

import orjson

from harness.events import Brief, Report
from harness.messages import BRIEF

BRIEF_FIELDS: dict[str, Any] = {
    "objective": {
        "type": "string",
        "minLength": 1,
        "description": "What to find out or do, complete in itself: the sub-agent sees nothing but this brief.",
    },
    "expected_output": {"type": "string", "description": "What the report should hold, and in which form."},
    "sources": {"type": "string", "description": "Which tools and sources to use, and which to avoid."},
    "boundaries": {"type": "string", "description": "What is out of scope and when to stop."},
}
"""Properties of a brief in the arguments of `delegate` and `plan`; all of them are required."""

EVIDENCE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "source": {"type": "string", "description": "The document, as the tool named it."},
        "locator": {"type": "string", "description": "The place in it, for instance path:12-20."},
        "quote": {"type": "string", "description": "Copied exactly from a tool result."},
        "claim": {"type": "string", "description": "What the quote shows."},
    },
    "required": ["source", "locator", "quote"],
    "additionalProperties": False,
}


def render_brief(brief: Brief) -> str:
    """Return the first user message of a sub-agent."""
    sections = [
        ("Objective", brief.objective),
        ("Expected output", brief.expected_output),
        ("Sources and tools", brief.sources),
        ("Boundaries", brief.boundaries),
    ]
    lines = [BRIEF]
    for title, text in sections:
        if text.strip():
            lines += [f"## {title}", text.strip()]
    if brief.reports:
        reports = orjson.dumps(brief.reports, option=orjson.OPT_INDENT_2).decode()
        lines += ["## Reports to build on", f"```json\n{reports}\n```"]
    return "\n".join(lines)


def view_report(report: Report, **head: Any) -> dict[str, Any]:
    """Return the part of a report that another agent may see, after the entries of `head`."""
    view: dict[str, Any] = dict(head)
    view["status"] = report.status
    view["answer"] = report.answer
    if report.evidence:
        view["evidence"] = [
            {
                name: value
                for name in ("source", "locator", "quote", "claim")
                if (value := getattr(evidence, name)) or name != "claim"
            }
            for evidence in report.evidence
        ]
    if report.artifacts:
        view["artifacts"] = list(report.artifacts)
    if report.data is not None:
        view["data"] = report.data
    if report.stop_reason != "done":
        view["stopped_by"] = report.stop_reason
    return view


def dumps(value: Any) -> str:
    """Return compact JSON."""
    return orjson.dumps(value).decode()

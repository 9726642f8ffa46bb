"""What is written into spans beside their own facts: broken promises, limits, and the servers of tools."""

from __future__ import annotations

from collections.abc import Mapping

from harness.events import (
    CitationsVerified,
    DeliverableRejected,
    LimitWasReached,
    ReplanRequested,
    ThinkingOverran,
)
from harness.tracing import semconv
from harness.tracing.content import ContentCapture
from harness.tracing.open_span import Attributes, OpenSpan


def note_contract(
    span: OpenSpan,
    event: ReplanRequested | DeliverableRejected | CitationsVerified | LimitWasReached,
    at: int,
    *,
    content: ContentCapture,
) -> None:
    """Write what became of a promise into the span of the agent that made it."""
    facts: Attributes = {}
    match event:
        case ReplanRequested():
            _count(span, semconv.REPLANS)
            facts = {
                semconv.PLAN_VERSION: event.version,
                semconv.PLAN_TASKS: event.tasks,
                semconv.REASON: event.reason,
            }
            span.note(semconv.EVENT_REPLAN, at, facts)
        case DeliverableRejected():
            _count(span, semconv.REJECTIONS)
            if content != "off":
                facts = {semconv.REASONS: event.reasons}
            span.note(semconv.EVENT_REJECTED, at, facts)
        case CitationsVerified():
            facts = {
                semconv.CITATIONS_KEPT: event.kept,
                semconv.CITATIONS_DROPPED: len(event.dropped),
            }
            span.attributes.update(facts)
            span.note(semconv.EVENT_CITATIONS, at, facts)
        case LimitWasReached():
            facts = {
                semconv.LIMIT: event.limit,
                semconv.LIMIT_SCOPE: event.scope,
                semconv.LIMIT_ALLOWED: event.allowed,
            }
            reached = span.attributes.get(semconv.LIMITS_REACHED, ())
            assert isinstance(reached, tuple)
            span.attributes[semconv.LIMITS_REACHED] = (*reached, event.limit)
            span.note(semconv.EVENT_LIMIT, at, facts)


def note_overrun(span: OpenSpan, event: ThinkingOverran, at: int) -> None:
    """Write into the agent's span that a reply thought more than its budget allowed."""
    facts: Attributes = {semconv.THINKING_BUDGET: event.budget, semconv.THINKING_TOKENS: event.tokens}
    span.note(semconv.EVENT_THINKING_OVERRAN, at, facts)


def write_server(server: str, served: Mapping[str, str], attributes: Attributes) -> None:
    """Write how a tool's server was reached.

    A span around an MCP call carries MCP's attributes; a second span would count the call twice.
    """
    attributes[semconv.TOOL_SERVER] = server
    attributes[semconv.MCP_METHOD_NAME] = semconv.TOOL_CALLED
    transport = served.get("transport", "")
    if transport in semconv.NETWORK_TRANSPORTS:
        attributes[semconv.NETWORK_TRANSPORT] = semconv.NETWORK_TRANSPORTS[transport]
    if transport == "http":
        attributes[semconv.NETWORK_PROTOCOL] = "http"
    for name, attribute in semconv.SERVED.items():
        if name in served:
            attributes[attribute] = served[name]
    if served.get("port", "").isdecimal():
        attributes[semconv.SERVER_PORT] = int(served["port"])


def _count(span: OpenSpan, attribute: str) -> None:
    count = span.attributes.get(attribute, 0)
    assert isinstance(count, int)
    span.attributes[attribute] = count + 1

"""Questions of a run, put to a person through an MCP client.

A client of the 2026 era gets them back as the result of its call and calls again with the answers;
one of an earlier era is asked while its call is under way. Source: MCP 2026-07-28, "Multi Round-Trip
Requests"; MCP 2025-11-25, "Elicitation".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from mcp.server.mcpserver import Context
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequests, InputRequiredResult
from mcp_types.version import is_version_at_least

from harness.events import ApprovalRequested
from harness.serve.problems import Refusal
from harness.serve.reception import Answer

BY = "an MCP client"

_ROUND_TRIPS_SINCE = "2026-07-28"

_PERMISSION_FORM = {
    "type": "object",
    "properties": {
        "allow": {"type": "boolean", "title": "Allow the call"},
        "reason": {"type": "string", "title": "Reason", "description": "The agent is told."},
    },
    "required": ["allow"],
}

_IN_DOUBT_FORM = {
    "type": "object",
    "properties": {"happened": {"type": "boolean", "title": "The call took effect"}},
    "required": ["happened"],
}


def can_be_asked(context: Context[Any, Any]) -> bool:
    """Return whether the client shows forms to somebody."""
    capabilities = context.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def asks_by_round_trip(context: Context[Any, Any]) -> bool:
    """Return whether questions go back as the result of the call."""
    version = context.protocol_version
    return version is not None and is_version_at_least(version, _ROUND_TRIPS_SINCE)


def round_trip(run_id: str, questions: Sequence[ApprovalRequested]) -> InputRequiredResult:
    """Return the result that asks the questions; its state says which run they belong to."""
    requests: InputRequests = {
        _name(question): ElicitRequest(params=_form(question)) for question in questions
    }
    return InputRequiredResult(input_requests=requests, request_state=orjson.dumps({"run": run_id}).decode())


def run_in(state: str) -> str:
    """Return the run that a call goes on with.

    Raises:
        Refusal: The state is none of ours.
    """
    try:
        return orjson.loads(state)["run"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Refusal(400, "the state of this call is not known here") from error


def answers_in(
    responses: Mapping[str, Any], questions: Sequence[ApprovalRequested]
) -> list[tuple[ApprovalRequested, Answer]]:
    """Return the decisions among a client's responses; a dismissed form decides nothing."""
    found = ((question, responses.get(_name(question))) for question in questions)
    answers = (
        (question, _answer(question, said)) for question, said in found if isinstance(said, ElicitResult)
    )
    return [(question, answer) for question, answer in answers if answer is not None]


async def ask_now(
    context: Context[Any, Any], questions: Sequence[ApprovalRequested]
) -> list[tuple[ApprovalRequested, Answer]]:
    """Ask one after the other, in the middle of the call, and return the decisions."""
    responses: dict[str, ElicitResult] = {}
    for question in questions:
        form = _form(question)
        responses[_name(question)] = await context.session.elicit_form(
            form.message, form.requested_schema, related_request_id=context.request_id
        )
    return answers_in(responses, questions)


def _name(question: ApprovalRequested) -> str:
    return f"{question.key}#{question.number}"


def _form(question: ApprovalRequested) -> ElicitRequestFormParams:
    call = f"{question.tool} {question.arguments}"
    match question.kind:
        case "permission":
            text, form = f"{question.agent} wants to call {call}", _PERMISSION_FORM
        case "in_doubt":
            text, form = (
                f"{question.agent} called {call}, and it is not known whether it took effect",
                _IN_DOUBT_FORM,
            )
        case "elicitation":
            text, form = f"{call} wants to know", dict(question.form or {"type": "object", "properties": {}})
    message = f"{text}: {question.message}" if question.message else text
    return ElicitRequestFormParams(message=message, requested_schema=form)


def _answer(question: ApprovalRequested, said: ElicitResult) -> Answer | None:
    content = said.content or {}
    if said.action == "cancel":
        return None
    match question.kind:
        case "permission":
            allow = said.action == "accept" and content.get("allow") is True
            return Answer(question.key, allow=allow, by=BY, reason=str(content.get("reason") or ""))
        case "in_doubt":
            happened = content.get("happened")
            return Answer(question.key, happened=happened, by=BY) if isinstance(happened, bool) else None
        case "elicitation":
            accepted = said.action == "accept"
            return Answer(question.key, allow=accepted, content=content if accepted else None, by=BY)

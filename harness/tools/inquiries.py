"""What servers want to know from a person: from the wire, and back onto it.

Only forms go to a person, and addresses for the person to open: nothing is ever opened here. What a
server wants of our model or our folders is refused, and so is a form that asks for a secret.
Source: MCP 2026-07-28, "Elicitation" and "Multi Round-Trip Requests"; MCP 2025-11-25, "Elicitation".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from mcp_types import (
    ElicitationRequiredErrorData,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitRequestURLParams,
    ElicitResult,
    ErrorData,
    InputRequest,
    InputResponses,
)
from pydantic import ValidationError

from harness.errors import ToolError
from harness.tools.port import Inquiry, InquiryAnswer

URL = "url"
"""The keyword of a form, or of one property of it, that asks for an address to be opened instead."""

_UNNAMED = "elicitation/create"
"""The name of requests that have none on the wire."""

_SECRETS = re.compile(
    r"\b(pass ?words?|passwd|pwd|pass ?phrase|pass ?code|pin (code|number)|one time code|otp|secrets?"
    r"|credentials?|token$|(api|access|private|secret|encryption|license) ?key|security code|cvv|cvc"
    r"|card number)\b"
)
"""What fields are called that ask for passwords, keys, access tokens or payment credentials."""


def inquiry_of(requests: Mapping[str, InputRequest], state: str | None) -> Inquiry:
    """Return what a result that requires input asks of a person, all at once.

    Raises:
        ToolError: Something among it is not for people, or not to be asked in a form.
    """
    named = {name: _for_people(request) for name, request in requests.items()}
    if len(named) == 1 and "" not in named:
        [(name, params)] = named.items()
        return Inquiry(_message(params), _form(params), name, state or "")
    message = "\n".join(f"{name}: {_message(params)}" for name, params in named.items())
    properties = {
        name: {**_property(params), "description": _message(params)} for name, params in named.items()
    }
    return Inquiry(message, _object(properties, required=list(named)), "", state or "")


def inquiry_meanwhile(params: ElicitRequestParams) -> Inquiry:
    """Return what a server asks in the middle of a call.

    Raises:
        ToolError: It is not to be asked in a form.
    """
    return Inquiry(_message(params), _form(params), _UNNAMED)


def inquiry_before(error: ErrorData) -> Inquiry | None:
    """Return what a server of 2025 wants a person to have opened before it takes the call.

    Raises:
        ToolError: It is nothing that a person should open.
    """
    try:
        wanted = ElicitationRequiredErrorData.model_validate(error.data).elicitations
    except ValidationError:
        return None
    if not wanted:
        return None
    return Inquiry("\n".join(map(_message, wanted)), _form(wanted[0]), _UNNAMED)


def responses_to(answer: InquiryAnswer) -> InputResponses:
    """Return what is sent back for an inquiry: for each of its requests, what the person said.

    Raises:
        ToolError: The answer cannot be put on the wire.
    """
    inquiry, content = answer.inquiry, answer.content
    if inquiry.request:
        return {inquiry.request: response_to(answer)}
    responses: InputResponses = {}
    for name, schema in _properties(inquiry.form).items():
        if URL in schema:
            agreed = content is not None and content.get(name) is True
            responses[name] = ElicitResult(action="accept" if agreed else "decline")
        else:
            part = None if content is None else content.get(name)
            responses[name] = response_to(InquiryAnswer(Inquiry("", schema, name), part))
    return responses


def response_to(answer: InquiryAnswer) -> ElicitResult:
    """Return what is sent back for one request.

    Raises:
        ToolError: The answer cannot be put on the wire.
    """
    if answer.content is None:
        return ElicitResult(action="decline")
    form = answer.inquiry.form
    if URL in form:
        return ElicitResult(action="accept")
    defaults = {name: schema["default"] for name, schema in _properties(form).items() if "default" in schema}
    try:
        return ElicitResult(action="accept", content={**defaults, **answer.content})
    except ValidationError as error:
        raise ToolError("the answer has values in it that a form cannot have") from error


def is_same(one: Inquiry, other: Inquiry) -> bool:
    """Return whether two inquiries put the same question, so that one answer answers both."""
    return (one.message, one.form, one.request) == (other.message, other.form, other.request)


def _for_people(request: InputRequest) -> ElicitRequestParams:
    if not isinstance(request, ElicitRequest):
        raise ToolError(f"the server wants {request.method} of this client, which does not offer it")
    return request.params


def _message(params: ElicitRequestParams) -> str:
    if isinstance(params, ElicitRequestURLParams):
        return f"{params.message}\nto be opened by you, at {_host(params.url)}: {params.url}"
    return params.message


def _form(params: ElicitRequestParams) -> dict[str, Any]:
    if isinstance(params, ElicitRequestURLParams):
        return {**_object({}), URL: params.url}
    return _without_secrets(params)


def _property(params: ElicitRequestParams) -> dict[str, Any]:
    if isinstance(params, ElicitRequestURLParams):
        return {"type": "boolean", URL: params.url}
    return _without_secrets(params)


def _object(properties: Mapping[str, Any], required: Iterable[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _properties(form: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    properties = form.get("properties")
    if not isinstance(properties, dict):
        return {}
    listed = cast("dict[str, Any]", properties)
    return {name: field for name, field in listed.items() if isinstance(field, dict)}


def _host(url: str) -> str:
    """Return where an address of the web leads to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ToolError(f"the server wants a person to open {url!r}, which is no address of the web")
    return parts.hostname


def _without_secrets(params: ElicitRequestFormParams) -> dict[str, Any]:
    for text in _fields(params.requested_schema):
        if _SECRETS.search(_words(text)):
            raise ToolError(
                f"the server asks for a secret in a form, {text!r}, so nobody was asked: "
                "MCP servers must have secrets entered at an address of their own (URL mode)"
            )
    return params.requested_schema


def _fields(schema: object) -> Iterator[str]:
    """Yield the names and titles of everything in a form that can be written into."""
    if isinstance(schema, list):
        for part in cast("list[object]", schema):
            yield from _fields(part)
    if not isinstance(schema, dict):
        return
    known = cast("dict[str, Any]", schema)
    for name, field in _properties(known).items():
        if field.get("type") != "boolean" and not field.keys() & {"enum", "const", "oneOf"}:
            yield from (name, str(field.get("title", "")))
    for part in known.values():
        yield from _fields(part)


def _words(name: str) -> str:
    """Return the words of a name such as `apiKey` or `card_number`."""
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)).lower()

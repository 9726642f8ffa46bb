"""What goes wrong, as a client sees it: a status, a message, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from harness.errors import HarnessError, LimitReached, RunTaken, StoreError, UsageError
from harness.views import json_line


class Refusal(HarnessError):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.hint = hint
        self.code = code
        """What the OpenAI API calls it, if it has a name for it."""
        self.headers = dict(headers or {})
        super().__init__(f"{message}; {hint}" if hint else message)


def refusal_of(error: Exception) -> Refusal:
    """Return how an error is told to a client; what is not raised on purpose stays inside."""
    match error:
        case Refusal():
            return error
        case RunTaken():
            return Refusal(409, str(error))
        case UsageError():
            return Refusal(400, str(error))
        case StoreError():
            return Refusal(503, str(error), headers={"Retry-After": "5"})
        case LimitReached():
            return Refusal(429, str(error))
        case HarnessError():
            return Refusal(500, str(error))
        case HTTPException():
            return Refusal(error.status_code, error.detail, headers=error.headers)
        case ValidationError():
            return Refusal(400, "; ".join(_faults(error)))
        case _:
            return Refusal(500, "this failed inside the server", hint="its log says why")


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with a JSON body."""
    return Response(json_line(value), status, headers, media_type="application/json")


def problem_response(refusal: Refusal, *, openai: bool = False) -> Response:
    """Return an error in our shape, or in that of the OpenAI API."""
    body = openai_problem(refusal) if openai else _problem(refusal)
    return json_response({"error": body}, refusal.status, refusal.headers)


def openai_problem(refusal: Refusal) -> dict[str, object]:
    """Return an error as the OpenAI API tells it."""
    kinds = {401: "authentication_error", 404: "invalid_request_error", 429: "rate_limit_error"}
    kind = kinds.get(refusal.status, "server_error" if refusal.status >= 500 else "invalid_request_error")
    return {"message": str(refusal), "type": kind, "param": None, "code": refusal.code}


async def answer_problem(request: Request, error: Exception) -> Response:
    """Answer a request whose endpoint raised `error`."""
    return problem_response(refusal_of(error), openai=is_openai(request.url.path))


def is_openai(path: str) -> bool:
    """Return whether `path` belongs to the OpenAI-compatible endpoint."""
    return path.startswith("/v1/")


async def read_json(request: Request) -> object:
    """Return the body of a request.

    Raises:
        Refusal: It is not JSON.
    """
    try:
        return orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from error


def _problem(refusal: Refusal) -> dict[str, object]:
    return {"message": refusal.message, "hint": refusal.hint}


def _faults(error: ValidationError) -> list[str]:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return [f"{'.'.join(map(str, fault['loc'])) or 'the body'}: {fault['msg']}" for fault in faults]

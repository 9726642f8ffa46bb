"""What can go wrong on the way to a model, and which of it is worth repeating.

Every wire API answers a refused request with an HTTP status and, mostly, a JSON body with a
message somewhere under `error`. This module reads both without knowing the vendor:

    408 409 425 429 5xx                 TransientFault   repeated by `harness.models.http`
    402, 429 when the quota is used up  QuotaUsedUp
    too long for the model's window     ContextOverflow
    401 403 404 and the rest            ModelRejected
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

import orjson

from harness.errors import ContextOverflow, ModelError, ModelRejected, QuotaUsedUp

_TRANSIENT = frozenset({408, 409, 425, 429})
_LONGEST_MESSAGE = 600
_OVERFLOW_CODES = ("context_length_exceeded", "exceed_context_size_error", "request_too_large")
_QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached")
_NAMED_CODES = (*_OVERFLOW_CODES, *_QUOTA_CODES)
_QUOTA_WORDING = "credit balance is too low"
_OVERFLOW_WORDING = re.compile(
    r"context[ _-]?(length|window|size|limit)|prompt is too long|input is too long|too many (input )?tokens"
    r"|reduce the length of|input token count .* exceeds|request too large",
    re.IGNORECASE,
)
_HINTS = {
    400: "the endpoint does not accept this request; check the model's options and the tool schemas",
    401: "check the API key that the team file gives for this model",
    403: "the API key may not use this model; check the key and its permissions",
    404: "the model name or the base URL may be wrong",
}


class TransientFault(Exception):
    """A request failed in a way that another attempt may not."""

    def __init__(
        self,
        reason: str,
        *,
        wait_seconds: float | None = None,
        unreachable: bool = False,
        charged: bool | None = None,
    ) -> None:
        self.reason = reason
        self.wait_seconds = wait_seconds
        """How long the endpoint asked to be left alone; None if it did not say."""
        self.unreachable = unreachable
        """Whether there was no connection at all."""
        self.charged = charged
        """Whether the attempt may have to be paid for; None where that follows from how far it came."""
        super().__init__(reason)


def fault_of(
    status: int, headers: Mapping[str, str], body: bytes, *, place: str, key_from: str = ""
) -> TransientFault | ModelError:
    """Return the error that an unsuccessful answer amounts to.

    `place` names the model and the endpoint in the text, `key_from` says where its key came from. The
    server's own words are quoted up to 600 characters; whoever shows the text must still remove secrets from it.
    """
    code, message = _server_words(body)
    if delay := _retry_delay(body):
        headers = {"Retry-After": delay}
    said = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    if code in _OVERFLOW_CODES or (status in (400, 413, 422) and _OVERFLOW_WORDING.search(message)):
        return ContextOverflow(f"the request does not fit into the context window of {place} ({said})")
    if code in _QUOTA_CODES or status == 402 or _QUOTA_WORDING in message:
        return QuotaUsedUp(f"{place} refused the request ({said}); the account's quota is used up")
    if status in _TRANSIENT or status >= 500:
        return TransientFault(said, wait_seconds=retry_after_seconds(headers), charged=False)
    if 300 <= status < 400:
        target = headers.get("Location", "elsewhere")
        return ModelRejected(f"{place} redirects to {target}; use the right base URL in the team file")
    hint = _HINTS.get(status, "")
    if status in (401, 403) and key_from:
        hint += f"; {key_from}"
    return ModelRejected(f"{place} refused the request ({said})" + (f"; {hint}" if hint else ""))


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait that the headers ask for, or None (RFC 9110 section 10.2.3).

    Reads `retry-after-ms`, then `Retry-After` in seconds or as an HTTP date.
    """
    for name, unit in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
            return float(value) * unit
    try:
        moment = parsedate_to_datetime(headers.get("Retry-After", ""))
    except (ValueError, IndexError, TypeError):
        return None
    return max(0.0, moment.timestamp() - time.time())


def _server_words(body: bytes) -> tuple[str, str]:
    """Return the error code and the message of an error body, each possibly empty."""
    try:
        document = _document(body)
    except orjson.JSONDecodeError:
        return "", _one_line(body.decode("utf-8", "replace"))
    whole = body.decode("utf-8", "replace")
    error: Any = (
        cast("dict[str, Any]", document).get("error", document) if isinstance(document, dict) else None
    )
    if not isinstance(error, dict):
        return "", _one_line(error if isinstance(error, str) else whole)
    fields = cast("dict[str, Any]", error)
    message: Any = fields.get("message") or fields.get("detail")
    code = next((name for name in (fields.get("code"), fields.get("type")) if name in _NAMED_CODES), "")
    return code, _one_line(message if isinstance(message, str) else whole)


def _retry_delay(body: bytes) -> str:
    """Return the seconds that Google's `RetryInfo` asks for, which come in the body and in no header."""
    try:
        details: Any = _document(body)["error"]["details"]
        delays = [detail["retryDelay"] for detail in details if "retryDelay" in detail]
        return str(delays[0]).removesuffix("s") if delays else ""
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return ""


def _document(body: bytes) -> Any:
    """Return what an error body holds; Google's streams put it into a list of one."""
    document: Any = orjson.loads(body)
    if isinstance(document, list) and document:
        return cast("list[Any]", document)[0]
    return cast("Any", document)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + "…"

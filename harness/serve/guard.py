"""Who gets in: names, tokens, sizes and rates, checked before anything else sees a request."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.serve.options import ServeOptions
from harness.serve.problems import Refusal, is_openai, problem_response

OPEN_PATHS = ("/healthz", "/readyz")
"""Probes carry no token and are not counted."""

CLIENT = "harness.client"
"""Where in the scope stands who asks: a fingerprint of the token, or the address."""

_MOST_CLIENTS = 10_000


class Guard:
    """Lets a request through, or answers it with what it lacks."""

    def __init__(self, app: ASGIApp, options: ServeOptions) -> None:
        self._app = app
        self._options = options
        self._tokens = [token.encode() for token in options.tokens]
        self._rate = Rate(options.requests_per_minute) if options.requests_per_minute else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request and hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_names(headers)
            if scope["path"] not in OPEN_PATHS:
                scope[CLIENT] = client = self._identify(scope, headers)
                self._check_rate(client)
            receive = self._bounded(headers, receive)
        except Refusal as refusal:
            await problem_response(refusal, openai=is_openai(scope["path"]))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_names(self, headers: Headers) -> None:
        """Refuse names that are not ours: a web page elsewhere may have been made to point here."""
        allowed = self._options.allowed_hosts
        if allowed is None:
            return
        host = headers.get("host", "")
        if host_name(host) not in allowed:
            raise Refusal(421, f"this server is not called {host!r}", hint=_names_hint(allowed))
        origin = headers.get("origin")
        if origin and host_name(urlsplit(origin).netloc) not in allowed:
            raise Refusal(403, f"pages from {origin!r} may not use this server", hint=_names_hint(allowed))

    def _identify(self, scope: Scope, headers: Headers) -> str:
        """Return who asks; wrong tokens are counted by address, so that they cannot be tried for ever."""
        address = scope["client"][0] if scope.get("client") else "local"
        if not self._tokens:
            return address
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip().encode()
        # All are compared, so that the time taken does not tell which one came close.
        matches = [hmac.compare_digest(given, known) for known in self._tokens]
        if scheme.lower() != "bearer" or not any(matches):
            self._check_rate(address)
            raise Refusal(
                401,
                "this server wants a token",
                hint="send one of its tokens as `Authorization: Bearer TOKEN`",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return hashlib.sha256(given).hexdigest()[:16]

    def _check_rate(self, client: str) -> None:
        seconds = self._rate.take(client) if self._rate else 0.0
        if seconds:
            raise Refusal(
                429,
                f"more than {self._options.requests_per_minute} requests in a minute",
                hint="wait as long as Retry-After says",
                headers={"Retry-After": str(math.ceil(seconds))},
            )

    def _bounded(self, headers: Headers, receive: Receive) -> Receive:
        """Return `receive`, refusing a body beyond the limit as soon as it is known to be."""
        limit = self._options.body_limit
        if limit is None:
            return receive
        message = f"the body has more than {limit:,} bytes"
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise Refusal(413, message)
        received = 0

        async def bounded() -> Message:
            nonlocal received
            part = await receive()
            received += len(part.get("body", b""))
            if received > limit:
                raise HTTPException(413, message)
            return part

        return bounded


class Rate:
    """Allows each client so many requests a minute, with as many at once; forgets idle clients."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Requests left, and when that was so, by client; the longest idle first."""

    def take(self, client: str) -> float:
        """Count a request; return 0, or the seconds until one is allowed again."""
        now = self._clock()
        left, since = self._left.get(client, (self._capacity, now))
        left = min(self._capacity, left + (now - since) * self._per_second)
        allowed = left >= 1
        self._left[client] = (left - 1 if allowed else left, now)
        self._left.move_to_end(client)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_second


def host_name(authority: str) -> str:
    """Return the host of `host:port`, in lower case; an IPv6 address keeps its brackets."""
    if authority.startswith("["):
        return authority.partition("]")[0].lower() + "]"
    return authority.partition(":")[0].lower()


def _names_hint(allowed: Sequence[str]) -> str:
    return f"names that are let in: {', '.join(allowed)}; `--allow-host NAME` adds one"

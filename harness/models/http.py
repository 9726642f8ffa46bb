"""One endpoint over HTTP: a connection pool, deadlines, and attempts until one succeeds.

Shared by all wire APIs. It knows nothing of messages: it sends bytes, hands the response to a
function that reads it, and turns what goes wrong into the errors of the model port. It uses
aiohttp, whose pool costs the same for one and for a thousand connections.
"""

from __future__ import annotations

import ipaddress
import random
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from yarl import URL

from harness.errors import ModelUnavailable, ModelUnreachable, UsageError
from harness.models.faults import TransientFault, fault_of
from harness.models.limiter import Limits, limiter_of
from harness.models.port import Lost, Observe, Retrying

Result = TypeVar("Result")
Read = Callable[[aiohttp.ClientResponse], Awaitable[Result]]
"""Reads one successful response; raises `TransientFault` where it cannot be used."""

Pieces = Sequence[bytes | bytearray]
"""A request body in pieces, to be sent one after the other."""

LONGEST_WAIT_SECONDS = 60.0
_CONNECT_SECONDS = 30.0
_LONGEST_ERROR_BODY = 65_536
_SHORTEST_SECRET = 8
_LONGEST_JOINED_BODY = 131_072
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpEndpoint:
    """Where requests go and how long and how often they are tried."""

    name: str
    """What error texts call it."""
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timeout_seconds: float = 600.0
    """The most that one attempt may take, from connecting to the last byte."""
    idle_seconds: float | None = None
    """The longest silence within a response that streams; None for no limit but the timeout."""
    retries: int = 4
    """Attempts after the first."""
    backoff_seconds: float = 0.5
    """The first wait is at most this; every further one at most twice the one before."""
    limits: Limits = Limits()
    """Shared with everything in this process that asks the same endpoint with the same key."""
    key: str = field(default="", repr=False)
    """What the endpoint knows its callers by; the headers where it is empty."""
    key_from: str = ""
    """Where the key came from, in words, for error texts."""


class HttpChannel:
    """Posts JSON to one endpoint, repeating what may succeed next time.

    Waits are exponential with full jitter
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), or as long as the
    endpoint asks plus jitter; while an endpoint has asked to be left alone, no call with the same key starts in
    this process. Error texts hold no value of any header.
    """

    def __init__(self, endpoint: HttpEndpoint, *, jitter: random.Random | None = None) -> None:
        self._endpoint = endpoint
        self._url = checked_url(endpoint.url)
        self._place = f"{endpoint.name} at {self._url.with_query(None).with_user(None)}"
        self._jitter = jitter or random.Random()
        account = endpoint.key or repr(sorted(endpoint.headers.items()))
        self._limiter = limiter_of(str(self._url.origin()), account)
        self._limiter.join(endpoint.limits)
        connect = min(_CONNECT_SECONDS, endpoint.timeout_seconds)
        self._patience = aiohttp.ClientTimeout(total=endpoint.timeout_seconds, sock_connect=connect)
        self._patience_with_streams = aiohttp.ClientTimeout(
            total=endpoint.timeout_seconds, sock_connect=connect, sock_read=endpoint.idle_seconds
        )
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> URL:
        """The endpoint."""
        return self._url

    @property
    def place(self) -> str:
        """The endpoint as error texts name it."""
        return self._place

    async def post(
        self,
        body: Pieces,
        read: Read[Result],
        observe: Observe,
        *,
        streams: bool = False,
        output_tokens: int = 0,
        used: Callable[[Result], int | None] = lambda _: None,
    ) -> Result:
        """Send `body` and return what `read` makes of the response; `body` must not change meanwhile.

        Args:
            streams: Whether the response is to come piece by piece, so that a long silence is a fault.
            output_tokens: The most that the response may have, if known; for limits.
            used: Returns the tokens that a result reports, if it does.

        Raises:
            ContextOverflow: The endpoint says that the request is too long.
            ModelRejected: The endpoint refused the request.
            ModelUnavailable: Every attempt failed, or the endpoint asks for more than a minute's rest.
        """
        attempt = 1
        while True:
            try:
                if self._limiter.is_open:
                    return await self._attempt(body, read, streams=streams)
                expected = sum(map(len, body)) // _BYTES_PER_TOKEN + output_tokens
                async with self._limiter.admitted(expected, observe) as use:
                    result = await self._attempt(body, read, streams=streams)
                    if (tokens := used(result)) is not None:
                        self._limiter.used(use, tokens)
                    return result
            except TransientFault as fault:
                if fault.charged:
                    observe(Lost())
                reason = self._without_secrets(fault.reason)
                wait = self._wait_before_next(attempt, fault, reason)
            observe(Retrying(attempt, wait, reason))
            await anyio.sleep(wait)
            attempt += 1

    async def close(self) -> None:
        """Close all connections."""
        self._limiter.leave(self._endpoint.limits)
        if self._session is not None:
            await self._session.close()

    async def _attempt(self, body: Pieces, read: Read[Result], *, streams: bool) -> Result:
        session = self._session or self._open_session()
        patience = self._patience_with_streams if streams else self._patience
        answered = False
        try:
            async with session.post(
                self._url, data=_Body(body), allow_redirects=False, timeout=patience
            ) as response:
                if response.status != 200:
                    await self._refuse(response)
                answered = True
                return await read(response)
        except aiohttp.ClientSSLError as error:
            text = self._without_secrets(f"no secure connection to {self._place}: {error}")
            raise ModelUnreachable(text) from error
        except TransientFault as fault:
            fault.charged = answered if fault.charged is None else fault.charged
            raise
        except (aiohttp.ClientError, OSError) as error:
            fault = self._fault(error)
            fault.charged = fault.charged or answered
            raise fault from error

    def _fault(self, error: aiohttp.ClientError | OSError) -> TransientFault:
        """Return what an attempt failed of; one that was worked on until time was up may be charged."""
        endpoint = self._endpoint
        match error:
            case aiohttp.ConnectionTimeoutError():
                return TransientFault("connecting took too long", unreachable=True)
            case aiohttp.SocketTimeoutError():
                return TransientFault(f"no data for {endpoint.idle_seconds:g} seconds", charged=True)
            case TimeoutError():
                reason = f"no complete answer within {endpoint.timeout_seconds:g} seconds"
                return TransientFault(reason, charged=True)
            case aiohttp.ClientConnectorDNSError():
                return TransientFault(f"the name {self._url.host} has no address", unreachable=True)
            case aiohttp.ClientConnectorError():
                what = error.os_error.strerror or error.os_error
                return TransientFault(f"could not connect: {what}", unreachable=True)
            case _:
                return TransientFault(f"the connection broke: {error or type(error).__name__}")

    async def _refuse(self, response: aiohttp.ClientResponse) -> NoReturn:
        body = await response.content.read(_LONGEST_ERROR_BODY)
        fault = fault_of(
            response.status, response.headers, body, place=self._place, key_from=self._endpoint.key_from
        )
        if isinstance(fault, TransientFault):
            raise fault
        raise type(fault)(self._without_secrets(str(fault)))

    def _wait_before_next(self, attempt: int, fault: TransientFault, reason: str) -> float:
        endpoint, asked_seconds = self._endpoint, fault.wait_seconds
        if attempt > endpoint.retries:
            times = "once" if attempt == 1 else f"{attempt} times"
            kind = ModelUnreachable if fault.unreachable else ModelUnavailable
            raise kind(
                f"{self._place} failed {times}; at last: {reason}; check that it is running and reachable"
            )
        if asked_seconds is None:
            ceiling = min(LONGEST_WAIT_SECONDS, endpoint.backoff_seconds * 2 ** (attempt - 1))
            return self._jitter.uniform(0, ceiling)
        if asked_seconds > LONGEST_WAIT_SECONDS:
            raise ModelUnavailable(
                f"{self._place} asks to wait {asked_seconds:.0f} seconds ({reason}); try again after that"
            )
        wait = asked_seconds + self._jitter.uniform(0, endpoint.backoff_seconds)
        self._limiter.quiet(wait)
        return wait

    def _open_session(self) -> aiohttp.ClientSession:
        endpoint = self._endpoint
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "harness", **endpoint.headers, "Content-Type": "application/json"},
            proxy=_proxy_for(self._url),
        )
        return self._session

    def _without_secrets(self, text: str) -> str:
        for value in self._endpoint.headers.values():
            for secret in value.split():
                if len(secret) >= _SHORTEST_SECRET:
                    text = text.replace(secret, "[removed]")
        return text


def checked_url(text: str) -> URL:
    """Return `text` as a URL.

    Raises:
        UsageError: It is not an absolute http or https URL.
    """
    advice = "is not an http or https URL; write it like http://127.0.0.1:8000/v1"
    try:
        url = URL(text)
    except ValueError as error:
        raise UsageError(f"{text!r} {advice}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f"{text!r} {advice}")
    return url


class _Body(Payload):
    """A request body: a short one is written at once, the pieces of a long one without a copy.

    aiohttp's own payload for bytes wants one object and warns when it has more than 1 MiB.
    """

    _value: Pieces

    def __init__(self, pieces: Pieces) -> None:
        super().__init__(pieces, content_type="application/json")
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        if (self._size or 0) <= _LONGEST_JOINED_BODY:
            await writer.write(b"".join(self._value))
            return
        for piece in self._value:
            # The view keeps a bytearray from growing for as long as the socket has not taken it all.
            with memoryview(piece) as view:
                await writer.write(view)


def _proxy_for(url: URL) -> URL | None:
    """Return the proxy that the environment names for `url`, never one for this machine itself."""
    host = url.host or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return checked_url(proxy) if proxy else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

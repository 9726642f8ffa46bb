"""One endpoint over HTTP: a connection pool, deadlines, and attempts until one succeeds.

Shared by all wire APIs. It knows nothing of messages: it sends bytes, hands the response to a
function that reads it, and turns what goes wrong into the errors of the model port. It uses
aiohttp, whose pool costs the same for one and for a thousand connections.
"""

from __future__ import annotations

import ipaddress
import random
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from yarl import URL

from harness.errors import ModelUnavailable, UsageError
from harness.models.faults import TransientFault, fault_of
from harness.models.port import Observe, Retrying

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
    """The longest silence while a response is read; None for no limit but the timeout."""
    retries: int = 4
    """Attempts after the first."""
    backoff_seconds: float = 0.5
    """The first wait is at most this; every further one at most twice the one before."""
    parallel: int | None = None
    """Requests under way at the same time; None for no limit."""


class HttpChannel:
    """Posts JSON to one endpoint, repeating what may succeed next time.

    Waits are exponential with full jitter
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), or as long as the
    endpoint asks plus jitter; while an endpoint has asked to be left alone, no call of this channel
    starts. Error texts hold no value of any header.
    """

    def __init__(self, endpoint: HttpEndpoint, *, jitter: random.Random | None = None) -> None:
        self._endpoint = endpoint
        self._url = checked_url(endpoint.url)
        self._place = f"{endpoint.name} at {self._url.with_query(None).with_user(None)}"
        self._jitter = jitter or random.Random()
        self._limiter = anyio.CapacityLimiter(endpoint.parallel) if endpoint.parallel else None
        self._session: aiohttp.ClientSession | None = None
        self._quiet_until = 0.0

    @property
    def url(self) -> URL:
        """The endpoint."""
        return self._url

    @property
    def place(self) -> str:
        """The endpoint as error texts name it."""
        return self._place

    async def post(self, body: Pieces, read: Read[Result], observe: Observe) -> Result:
        """Send `body` and return what `read` makes of the response; `body` must not change meanwhile.

        Raises:
            ContextOverflow: The endpoint says that the request is too long.
            ModelRejected: The endpoint refused the request.
            ModelUnavailable: Every attempt failed, or the endpoint asks for more than a minute's rest.
        """
        attempt = 1
        while True:
            try:
                if self._limiter is None:
                    return await self._attempt(body, read)
                async with self._limiter:
                    return await self._attempt(body, read)
            except TransientFault as fault:
                reason = self._without_secrets(fault.reason)
                wait = self._wait_before_next(attempt, fault.wait_seconds, reason)
            observe(Retrying(attempt, wait, reason))
            await anyio.sleep(wait)
            attempt += 1

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _attempt(self, body: Pieces, read: Read[Result]) -> Result:
        if self._quiet_until > (now := time.monotonic()):
            await anyio.sleep(
                self._quiet_until - now + self._jitter.uniform(0, self._endpoint.backoff_seconds)
            )
        session = self._session or self._open_session()
        try:
            async with session.post(self._url, data=_Body(body), allow_redirects=False) as response:
                if response.status != 200:
                    await self._refuse(response)
                return await read(response)
        except aiohttp.ClientSSLError as error:
            text = self._without_secrets(f"no secure connection to {self._place}: {error}")
            raise ModelUnavailable(text) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise TransientFault("connecting took too long") from error
        except aiohttp.SocketTimeoutError as error:
            raise TransientFault(f"no data for {self._endpoint.idle_seconds:g} seconds") from error
        except TimeoutError as error:
            reason = f"no complete answer within {self._endpoint.timeout_seconds:g} seconds"
            raise TransientFault(reason) from error
        except aiohttp.ClientConnectorError as error:
            raise TransientFault(f"could not connect: {error.os_error.strerror or error.os_error}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransientFault(f"the connection broke: {error or type(error).__name__}") from error

    async def _refuse(self, response: aiohttp.ClientResponse) -> NoReturn:
        body = await response.content.read(_LONGEST_ERROR_BODY)
        fault = fault_of(response.status, response.headers, body, place=self._place)
        if isinstance(fault, TransientFault):
            raise fault
        raise type(fault)(self._without_secrets(str(fault)))

    def _wait_before_next(self, attempt: int, asked_seconds: float | None, reason: str) -> float:
        endpoint = self._endpoint
        if attempt > endpoint.retries:
            times = "once" if attempt == 1 else f"{attempt} times"
            raise ModelUnavailable(
                f"{self._place} failed {times}; at last: {reason}; check that it is running and reachable"
            )
        if asked_seconds is None:
            ceiling = min(LONGEST_WAIT_SECONDS, endpoint.backoff_seconds * 2 ** (attempt - 1))
            return self._jitter.uniform(0, ceiling)
        if asked_seconds > LONGEST_WAIT_SECONDS:
            raise ModelUnavailable(
                f"{self._place} asks to wait {asked_seconds:.0f} seconds ({reason}); try again after that"
            )
        self._quiet_until = max(self._quiet_until, time.monotonic() + asked_seconds)
        return asked_seconds + self._jitter.uniform(0, endpoint.backoff_seconds)

    def _open_session(self) -> aiohttp.ClientSession:
        endpoint = self._endpoint
        connect = min(_CONNECT_SECONDS, endpoint.timeout_seconds)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "harness", **endpoint.headers, "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(
                total=endpoint.timeout_seconds, sock_connect=connect, sock_read=endpoint.idle_seconds
            ),
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

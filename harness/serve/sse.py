"""Server-sent events: one per event of the run, numbered so that a client can go on where it was.

Source: HTML Living Standard, section 9.2.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import StreamingResponse

from harness.errors import StoreError
from harness.events import Recorded
from harness.serve.following import Following
from harness.serve.problems import Refusal
from harness.views import event_view, json_line

log = logging.getLogger("harness.serve")

PIECE = 1 << 14
"""Bytes that are handed to the connection at once, or one event if that is larger."""

RETRY_MILLISECONDS = 1000
"""How long a client waits before it connects again."""

HEADERS: Mapping[str, str] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nothing on the way may keep or hold back a stream."""

MEDIA_TYPE = "text/event-stream"


async def event_stream(
    following: Following, run_id: str, *, after: int = -1, keep_alive_seconds: float = 15.0
) -> AsyncIterator[bytes]:
    """Yield the events of a run as server-sent events, from the one after `after` to the run's end.

    `id` is the sequence, `event` the type, `data` what `harness run --json` prints.
    """
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    try:
        async for batch in following.events(run_id, after=after, silence_seconds=keep_alive_seconds):
            for piece in _pieces(batch):
                yield piece
            if not batch:
                yield b": nothing new\n\n"
    except StoreError as error:
        # Whoever reads will come back and then be told.
        log.warning("the events of run %s break off: %s", run_id, error)


def stream_response(
    events: AsyncIterator[bytes], headers: Mapping[str, str] | None = None
) -> StreamingResponse:
    """Return a response that streams server-sent events."""
    return StreamingResponse(events, headers={**HEADERS, **(headers or {})}, media_type=MEDIA_TYPE)


def wanted_after(request: Request) -> int:
    """Return the sequence after which a client wants events, from `Last-Event-ID` or `?after=`.

    Raises:
        Refusal: It is no number.
    """
    text = request.headers.get("last-event-id") or request.query_params.get("after") or "-1"
    try:
        return max(-1, int(text))
    except ValueError:
        raise Refusal(400, f"{text!r} is no event of a run", hint="give its sequence, a number") from None


def comment(text: str) -> bytes:
    """Return a comment; clients pass over it."""
    return f": {' '.join(text.split())}\n\n".encode()


def _pieces(batch: Sequence[Recorded]) -> Iterator[bytes]:
    """Yield the events encoded, several small ones at once."""
    piece = b""
    for recorded in batch:
        piece += _encoded(recorded)
        if len(piece) >= PIECE:
            yield piece
            piece = b""
    if piece:
        yield piece


def _encoded(recorded: Recorded) -> bytes:
    data = json_line(event_view(recorded))
    return f"id: {recorded.sequence}\nevent: {recorded.event.type}\ndata: {data}\n\n".encode()

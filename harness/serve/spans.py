"""One server span per request, which the runs it starts belong to.

Without an OpenTelemetry SDK there is no span; the caller's trace context then goes to the run as it
came. Source: OpenTelemetry semantic conventions for HTTP server spans.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.serve.guard import OPEN_PATHS

_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}


class ServerSpans:
    """Opens a span around every request but probes."""

    def __init__(self, app: ASGIApp, tracer: Tracer | None = None) -> None:
        self._app = app
        self._tracer = tracer or trace.get_tracer("harness.serve")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request within a span."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "HTTP"
        parent = TraceContextTextMapPropagator().extract(dict(Headers(scope=scope)))
        attributes = {
            "http.request.method": scope["method"],
            "url.path": scope["path"],
            "url.scheme": scope.get("scheme", "http"),
        }
        with self._tracer.start_as_current_span(
            method, parent, SpanKind.SERVER, attributes, record_exception=False
        ) as span:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, watched)
            route = getattr(scope.get("route"), "path", "")
            if route:
                span.set_attribute("http.route", route)
                span.update_name(f"{method} {route}")


def current_traceparent() -> str:
    """Return the W3C trace context of the request that is being answered; empty if it has none."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")

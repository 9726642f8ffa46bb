"""A team over the network: runs over HTTP, an MCP server, and an OpenAI-compatible endpoint.

    app = harness.serve.create_app("team.yaml")        # an ASGI application
    await harness.serve.serve(app, port=8321)          # or `harness serve team.yaml`

A program that has a web framework of its own takes the parts it lacks: `Following` and `event_stream`
for event streams, `ServerSpans` and `current_traceparent` for traces, `serve` for a clean end.
"""

from harness.serve.app import create_app
from harness.serve.exporting import request_tracer
from harness.serve.following import Following
from harness.serve.options import ServeOptions
from harness.serve.process import serve
from harness.serve.spans import ServerSpans, current_traceparent
from harness.serve.sse import event_stream

__all__ = [
    "Following",
    "ServeOptions",
    "ServerSpans",
    "create_app",
    "current_traceparent",
    "event_stream",
    "request_tracer",
    "serve",
]

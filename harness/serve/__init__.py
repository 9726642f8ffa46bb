"""A team over the network: runs over HTTP, an MCP server, and an OpenAI-compatible endpoint.

    app = harness.serve.create_app("team.yaml")        # an ASGI application
    await harness.serve.serve(app, port=8321)          # or `harness serve team.yaml`

Programs that have a web framework of their own take `Following` and `event_stream` from here and
keep the rest.
"""

from harness.serve.app import create_app
from harness.serve.following import Following
from harness.serve.options import ServeOptions
from harness.serve.process import serve
from harness.serve.sse import event_stream

__all__ = ["Following", "ServeOptions", "create_app", "event_stream", "serve"]

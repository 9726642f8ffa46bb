"""An MCP server that traces itself and leaks what it knows: `python tracing_server.py SPANS [PORT]`.

Its spans go to the file SPANS, one JSON object a line. The SDK makes one for each request it answers.
"""

import base64
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from mcp.server.mcpserver import Context, Elicit, MCPServer, RequestStateSecurity, Resolve
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from pydantic import BaseModel


class ToFile(SpanExporter):
    def __init__(self, file: Path) -> None:
        self.file = file

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self.file.open("a") as file:
            for span in spans:
                facts = {
                    "name": span.name,
                    "trace": f"{span.context.trace_id:032x}",
                    "parent": f"{span.parent.span_id:016x}" if span.parent else "",
                    "kind": span.kind.name,
                }
                file.write(json.dumps(facts) + "\n")
        return SpanExportResult.SUCCESS


def secret_in_every_form() -> str:
    secret = os.environ.get("SERVICE_TOKEN", "")
    encoded = secret.encode()
    forms = [
        secret,
        base64.b64encode(encoded).decode(),
        base64.urlsafe_b64encode(b"u:" + encoded).decode(),
        base64.b64encode(b"x" + encoded + b"\n").decode(),
        quote(secret, safe=""),
        encoded.hex(),
        encoded.hex().upper(),
        json.dumps(secret),
    ]
    return "\n".join(f"{number}: {form}" for number, form in enumerate(forms))


class Answer(BaseModel):
    ok: bool


def question() -> Elicit[Answer]:
    return Elicit(f"May I? {secret_in_every_form()}", Answer)


def main() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ToFile(Path(sys.argv[1]))))
    trace.set_tracer_provider(provider)
    security = RequestStateSecurity(keys=["0123456789abcdef0123456789abcdef"], ttl=600.0)
    server = MCPServer("traced", request_state_security=security)

    @server.tool(description=f"Say it. {secret_in_every_form()}")
    def echo(text: str) -> str:
        return text

    @server.tool()
    async def leak(context: Context) -> str:
        await context.report_progress(1, 2, secret_in_every_form())
        return secret_in_every_form()

    @server.tool()
    def long_leak() -> str:
        """The secret lies across the place where a long result is cut."""
        secret = os.environ["SERVICE_TOKEN"]
        return "x" * (18_000 - len(secret) // 2) + secret + "y" * 20_000

    @server.tool()
    def fail() -> str:
        raise ValueError(secret_in_every_form())

    @server.tool()
    def ask(answer: Annotated[Answer, Resolve(question)]) -> str:
        return f"told {answer.ok}"

    print(secret_in_every_form(), file=sys.stderr)
    if len(sys.argv) > 2:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        server.run()


if __name__ == "__main__":
    main()

"""An MCP server that asks: in-process through `create`, else `python asking_server.py stdio|PORT OPTIONS`.

With `"era": "2025"` it knows nothing of the protocol of 2026, whatever carries it.
"""

import json
import sys
import warnings
from typing import Annotated, Literal

import anyio
import uvicorn
from mcp.client._memory import InMemoryTransport
from mcp.server.mcpserver import Context, Elicit, MCPServer, RequestStateSecurity, Resolve
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import UrlElicitationRequiredError
from mcp.shared.message import SessionMessage
from mcp_types import (
    METHOD_NOT_FOUND,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ErrorData,
    InputRequiredResult,
    JSONRPCError,
    JSONRPCRequest,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel

KEY = "0123456789abcdef0123456789abcdef"


class Ok(BaseModel):
    ok: bool
    note: str = "none"


class Size(BaseModel):
    size: Literal["s", "m"]


class Login(BaseModel):
    user: str
    apiKey: str


def size() -> Elicit[Size]:
    return Elicit("Which size?", Size)


def login() -> Elicit[Login]:
    return Elicit("Who are you?", Login)


def create(*, base=None, era="2026", key=KEY, ttl=600.0, ledger="", words="Delete"):
    security = RequestStateSecurity(keys=[key], ttl=ttl) if key else None
    server = MCPServer("asking", log_level="ERROR", request_state_security=security)

    def note(text):
        if ledger:
            with open(ledger, "a") as file:
                file.write(f"{text}\n")

    def confirm(path: str) -> Elicit[Ok]:
        return Elicit(f"{words} {path}?", Ok)

    @server.tool()
    def remove(path: str, answer: Annotated[Ok, Resolve(confirm)]) -> str:
        """Delete a file, if a person agrees."""
        note(f"removed {path}")
        return f"{path} {answer.ok} {answer.note}"

    @server.tool()
    def order(
        what: str, one: Annotated[Ok, Resolve(confirm_order)], two: Annotated[Size, Resolve(size)]
    ) -> str:
        """Ask for two things at once."""
        return f"{what} {one.ok} {two.size}"

    @server.tool()
    def sign_in(who: Annotated[Login, Resolve(login)]) -> str:
        """Ask for a secret in a form."""
        return "signed in"

    @server.tool()
    async def slowly(path: str, answer: Annotated[Ok, Resolve(confirm)], context: Context) -> str:
        """Report progress before and after."""
        await context.report_progress(1, 2, "asked")
        return f"{path} {answer.ok}"

    by_hand(server, note)
    meanwhile(server, note)
    return InMemoryTransport(Only2025(server)) if era == "2025" else server


def confirm_order(what: str) -> Elicit[Ok]:
    return Elicit(f"Order {what}?", Ok)


def by_hand(server, note):
    """Tools that ask in the way of 2026, without looking at what the client can do."""

    @server.tool()
    async def wait(times: int, context: Context) -> CallToolResult | InputRequiredResult:
        """Want only to be called again."""
        done = int(context.request_state or "0")
        if done < times:
            return InputRequiredResult(request_state=str(done + 1))
        return said(f"called {done} times more")

    @server.tool()
    async def visit(url: str, context: Context) -> CallToolResult | InputRequiredResult:
        """Have an address opened."""
        return one_round(context, ElicitRequest(params=ElicitRequestURLParams(message="Pay here.", url=url)))

    @server.tool()
    async def both(url: str, context: Context) -> CallToolResult | InputRequiredResult:
        """Have an address opened, and a form filled in."""
        form = ElicitRequestFormParams(message="Who?", requested_schema=FORM)
        page = ElicitRequestURLParams(message="Pay here.", url=url)
        return rounds(context, page=ElicitRequest(params=page), form=ElicitRequest(params=form))

    @server.tool()
    async def sample(context: Context) -> CallToolResult | InputRequiredResult:
        """Ask the client's model."""
        words = SamplingMessage(role="user", content=TextContent(text="Hi."))
        return one_round(
            context, CreateMessageRequest(params=CreateMessageRequestParams(messages=[words], max_tokens=9))
        )

    @server.tool()
    async def roots(context: Context) -> CallToolResult | InputRequiredResult:
        """Ask for the client's folders."""
        return one_round(context, ListRootsRequest())

    @server.tool()
    async def want(
        field: str, title: str, nested: bool, context: Context
    ) -> CallToolResult | InputRequiredResult:
        """Ask for a field of any name."""
        form = {"type": "object", "properties": {field: {"type": "string", "title": title}}}
        if nested:
            form = {"type": "object", "properties": {"outer": form}}
        params = ElicitRequestFormParams(message="Please.", requested_schema=form)
        return one_round(context, ElicitRequest(params=params))

    @server.tool()
    async def refer(context: Context) -> CallToolResult | InputRequiredResult:
        """Ask with a form that refers to something it does not have."""
        form = {"type": "object", "properties": {"one": {"$ref": "#/$defs/Kind"}}}
        params = ElicitRequestFormParams(message="Which?", requested_schema=form)
        return one_round(context, ElicitRequest(params=params))

    @server.tool()
    async def insist(context: Context) -> CallToolResult | InputRequiredResult:
        """Ask the same again and again."""
        note("insisted")
        form = ElicitRequestFormParams(message="Really?", requested_schema=FORM)
        return InputRequiredResult(input_requests={"q": ElicitRequest(params=form)}, request_state="x")


FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def one_round(context, request):
    return rounds(context, question=request)


def rounds(context, **requests):
    if context.input_responses is None:
        return InputRequiredResult(input_requests=requests)
    answers = {name: given.model_dump(mode="json") for name, given in context.input_responses.items()}
    return said(json.dumps({name: [one["action"], one["content"]] for name, one in answers.items()}))


def said(text):
    return CallToolResult(content=[TextContent(text=text)])


def meanwhile(server, note):
    """Tools that ask in the way of 2025."""

    @server.tool()
    async def ask(question: str, context: Context) -> str:
        """Ask while the call goes on."""
        try:
            answer = await context.elicit(question, Ok)
        except anyio.get_cancelled_exc_class():
            note("cancelled")
            raise
        note(f"heard {answer.action}")
        return f"{answer.action} {answer.data.ok if answer.action == 'accept' else '-'}"

    @server.tool()
    async def open_page(url: str, context: Context) -> str:
        """Have an address opened while the call goes on."""
        return (await context.elicit_url("Pay here.", url, "id-1")).action

    @server.tool()
    async def ask_model(context: Context) -> str:
        """Ask the client's model while the call goes on."""
        words = SamplingMessage(role="user", content=TextContent(text="Hi."))
        with warnings.catch_warnings(action="ignore"):
            await context.session.create_message([words], max_tokens=9)
        return "it answered"

    opened = []

    @server.tool()
    async def open_first(url: str) -> str:
        """Refuse the call until an address has been opened."""
        if url not in opened:
            opened.append(url)
            raise UrlElicitationRequiredError(
                [ElicitRequestURLParams(message="Sign in first.", url=url, elicitation_id="id-2")]
            )
        return "welcome"

    released = anyio.Event()

    @server.tool()
    async def hold(context: Context) -> str:
        """Report progress once, and return when released."""
        await context.report_progress(1, 2, "held")
        await released.wait()
        return "released"

    @server.tool()
    async def release() -> str:
        """Let what is held return."""
        released.set()
        return "done"


class Only2025:
    """A server that has never heard of `server/discover`."""

    def __init__(self, server):
        self._server = server._lowlevel_server

    def create_initialization_options(self):
        return self._server.create_initialization_options()

    async def run(self, received, to_send, options, **more):
        forward, forwarded = anyio.create_memory_object_stream(0)

        async def sift():
            async with forward:
                async for item in received:
                    message = getattr(item, "message", None)
                    if isinstance(message, JSONRPCRequest) and message.method == "server/discover":
                        error = ErrorData(code=METHOD_NOT_FOUND, message="Method not found")
                        await to_send.send(
                            SessionMessage(JSONRPCError(jsonrpc="2.0", id=message.id, error=error))
                        )
                    else:
                        await forward.send(item)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sift)
            await self._server.run(forwarded, to_send, options, **more)
            tasks.cancel_scope.cancel()


async def serve_stdio(server):
    async with stdio_server() as (received, to_send):
        await server.run(received, to_send, server.create_initialization_options())


def only_2025(app):
    """The ASGI application without `server/discover`."""

    async def sifted(scope, receive, send):
        headers = dict(scope.get("headers") or ())
        if headers.get(b"mcp-method") == b"server/discover":
            body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32601, "message": "no"}})
            await send(
                {
                    "type": "http.response.start",
                    "status": 404,
                    "headers": [(b"content-type", b"application/json")],
                }
            )
            await send({"type": "http.response.body", "body": body.encode()})
            return
        await app(scope, receive, send)

    return sifted


def main(where, options):
    era = options.pop("era", "2026")
    server = create(**options)
    if where == "stdio":
        anyio.run(serve_stdio, Only2025(server) if era == "2025" else server._lowlevel_server)
    else:
        app = server.streamable_http_app()
        uvicorn.run(only_2025(app) if era == "2025" else app, port=int(where), log_level="error")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})

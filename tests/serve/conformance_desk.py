"""What the official conformance suite expects a server to offer, for our own MCP server to offer it.

The names, texts and forms are the suite's (`@modelcontextprotocol/conformance`, server scenarios).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import Field

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="


def furnish(server: MCPServer) -> None:
    """Put everything the suite asks for on the server."""
    for part in (
        _contents,
        _conversations,
        _changes,
        _round_trips,
        _schemas,
        _resources,
        _prompts,
        _handlers,
    ):
        part(server)


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def image() -> ImageContent:
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


def resource(uri: str, words: str, kind: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(
        type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=words)
    )


def form(message: str, **properties: str) -> ElicitRequest:
    """A form whose fields are all required; each is given with its type."""
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(words: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=text(words))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def filled(context: Context, name: str, field: str) -> Any:
    """What was filled into a field of a form, or nothing."""
    response = (context.input_responses or {}).get(name)
    return (getattr(response, "content", None) or {}).get(field) if response else None


def _contents(server: MCPServer) -> None:
    @server.tool()
    def test_simple_text() -> str:
        """Return text."""
        return "This is a simple text response for testing."

    @server.tool()
    def test_image_content() -> list[ImageContent]:
        """Return an image."""
        return [image()]

    @server.tool()
    def test_audio_content() -> list[AudioContent]:
        """Return audio."""
        return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]

    @server.tool()
    def test_embedded_resource() -> list[EmbeddedResource]:
        """Return a resource."""
        return [resource("test://embedded-resource", "This is an embedded resource content.")]

    @server.tool()
    def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
        """Return text, an image and a resource."""
        data = json.dumps({"test": "data", "value": 123})
        mixed = resource("test://mixed-content-resource", data, "application/json")
        return [text("Multiple content types test:"), image(), mixed]

    @server.tool()
    def test_error_handling() -> str:
        """Fail."""
        raise RuntimeError("This tool intentionally returns an error for testing")

    @server.tool()
    async def test_tool_with_progress(context: Context) -> str:
        """Report progress."""
        for done in (0, 50, 100):
            await context.report_progress(done, 100, f"Completed step {done} of 100")
        return str((context.request_context.meta or {}).get("progress_token", 0))


def _conversations(server: MCPServer) -> None:
    """What the era before 2026 does in the middle of a call."""

    @server.tool()
    async def test_tool_with_logging(context: Context) -> str:
        """Log three lines."""
        for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await context.info(line)
        return "Tool with logging executed successfully"

    @server.tool()
    async def test_sampling(prompt: str, context: Context) -> str:
        """Ask the client's model."""
        said = await context.session.create_message(
            messages=[SamplingMessage(role="user", content=text(prompt))],
            max_tokens=100,
            related_request_id=context.request_id,
        )
        return f"LLM response: {getattr(said.content, 'text', 'No response')}"

    async def elicit(context: Context, message: str, schema: Mapping[str, Any]) -> str:
        result = await context.session.elicit_form(
            message, {"type": "object", **schema}, related_request_id=context.request_id
        )
        return f"action={result.action}, content={json.dumps(result.content or {})}"

    @server.tool()
    async def test_elicitation(message: str, context: Context) -> str:
        """Ask the client's user."""
        schema = {"properties": {"response": {"type": "string"}}, "required": ["response"]}
        return f"User response: {await elicit(context, message, schema)}"

    @server.tool()
    async def test_elicitation_sep1034_defaults(context: Context) -> str:
        """Ask with defaults of every primitive type."""
        properties = {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": True},
        }
        return f"Elicitation result: {await elicit(context, 'Please provide it', {'properties': properties})}"

    @server.tool()
    async def test_elicitation_sep1330_enums(context: Context) -> str:
        """Ask with every kind of choice."""
        titled = [{"const": name, "title": name.title()} for name in ("low", "medium", "high")]
        properties = {
            "untitledSingle": {"type": "string", "enum": ["active", "inactive", "pending"]},
            "titledSingle": {"type": "string", "oneOf": titled},
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["read", "write"]}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled}},
            "legacyEnum": {"type": "string", "enum": ["small", "large"], "enumNames": ["Small", "Large"]},
        }
        return f"Elicitation completed: {await elicit(context, 'Please choose', {'properties': properties})}"

    @server.tool()
    async def test_reconnection(context: Context) -> str:
        """Close the stream in the middle of the call."""
        await context.close_sse_stream()
        return "Reconnection test completed"


def _changes(server: MCPServer) -> None:
    """Lists that change while somebody listens."""

    def passing() -> str:
        """Come and go."""
        return "gone"

    @server.tool()
    async def test_trigger_tool_change(context: Context) -> str:
        """Change the list of tools."""
        server.add_tool(passing, name="test_dynamic_tool")
        server.remove_tool("test_dynamic_tool")
        await context.notify_tools_changed()
        return "tool list changed"

    @server.tool()
    async def test_trigger_prompt_change(context: Context) -> str:
        """Change the list of prompts."""
        server.add_prompt(Prompt.from_function(passing, name="test_dynamic_prompt"))
        server.remove_prompt("test_dynamic_prompt")
        await context.notify_prompts_changed()
        return "prompt list changed"


def asks(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests or None, request_state=state)


async def test_input_required_result_elicitation(context: Context) -> str | InputRequiredResult:
    """Ask for a name."""
    name = filled(context, "user_name", "name")
    return f"Hello, {name}!" if name else asks(user_name=form("What is your name?", name="string"))


async def test_input_required_result_sampling(context: Context) -> str | InputRequiredResult:
    """Ask a model."""
    said = (context.input_responses or {}).get("capital_question")
    content = getattr(said, "content", None)
    if content is not None:
        return f"Model said: {content.text}"
    return asks(capital_question=sample("What is the capital of France?"))


async def test_input_required_result_list_roots(context: Context) -> str | InputRequiredResult:
    """Ask for roots."""
    roots = getattr((context.input_responses or {}).get("client_roots"), "roots", None)
    if roots is not None:
        return f"Client exposed {len(roots)} root(s)."
    return asks(client_roots=ListRootsRequest())


async def test_input_required_result_request_state(context: Context) -> str | InputRequiredResult:
    """Ask, with state."""
    if context.request_state == "asked" and "confirm" in (context.input_responses or {}):
        return "state-ok: confirmation received"
    return asks("asked", confirm=form("Please confirm", ok="boolean"))


async def test_input_required_result_tampered_state(context: Context) -> str | InputRequiredResult:
    """Ask, with state that must come back as it was."""
    if context.request_state is not None:
        return f"state-ok: {context.request_state}"
    return asks("round-1", confirm=form("Please confirm", ok="boolean"))


async def test_input_required_result_multiple_inputs(context: Context) -> str | InputRequiredResult:
    """Ask for three things at once."""
    if {"user_name", "greeting", "client_roots"} <= (context.input_responses or {}).keys():
        return "All inputs received."
    return asks(
        "three",
        user_name=form("What is your name?", name="string"),
        greeting=sample("Generate a greeting"),
        client_roots=ListRootsRequest(),
    )


async def test_input_required_result_multi_round(context: Context) -> str | InputRequiredResult:
    """Ask for a name and then for a color."""
    if context.request_state == "step 1" and (name := filled(context, "step1", "name")):
        return asks(f"step 2 {name}", step2=form("Step 2: What is your favorite color?", color="string"))
    if (context.request_state or "").startswith("step 2 ") and (color := filled(context, "step2", "color")):
        return f"{(context.request_state or '')[7:]} likes {color}."
    return asks("step 1", step1=form("Step 1: What is your name?", name="string"))


async def test_input_required_result_capabilities(context: Context) -> InputRequiredResult:
    """Ask only what the client can answer."""
    can = context.client_capabilities
    requests: dict[str, InputRequest] = {}
    if can is None or can.sampling is not None:
        requests["sample"] = sample("Say hello")
    if can is None or can.elicitation is not None:
        requests["ask"] = form("What is your name?", name="string")
    return asks("gated", **requests)


async def test_missing_capability(context: Context) -> str:
    """Need what the client may not have."""
    can = context.client_capabilities
    if can is None or can.sampling is None:
        data = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "sampling is needed", data)
    return "The client has it."


def _round_trips(server: MCPServer) -> None:
    """What the era of 2026 asks by returning."""
    for tool in (
        test_input_required_result_elicitation,
        test_input_required_result_sampling,
        test_input_required_result_list_roots,
        test_input_required_result_request_state,
        test_input_required_result_tampered_state,
        test_input_required_result_multiple_inputs,
        test_input_required_result_multi_round,
        test_input_required_result_capabilities,
        test_missing_capability,
    ):
        server.add_tool(tool)


def _schemas(server: MCPServer) -> None:
    @server.tool()
    def test_x_mcp_header(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "<none>",
    ) -> str:
        """Take an argument that stands in a header too."""
        return f"region={region}"

    @server.tool()
    def json_schema_2020_12_tool() -> str:
        """Have a schema with every keyword of the dialect."""
        return "ok"

    # The SDK has no public way to publish a schema that is not derived from a function.
    server._tool_manager._tools["json_schema_2020_12_tool"].parameters = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }


def _resources(server: MCPServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """Text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """Bytes."""
        return base64.b64decode(PIXEL)

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def templated(id: str) -> str:
        """One of many."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        """What may change."""
        return "Watched resource content"


def _prompts(server: MCPServer) -> None:
    @server.prompt()
    def test_simple_prompt() -> list[UserMessage]:
        """Take nothing."""
        return [UserMessage(text("This is a simple prompt for testing."))]

    @server.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
        """Take two arguments."""
        return [UserMessage(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]

    @server.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        """Hold a resource."""
        embedded = resource(resourceUri, "Embedded resource content for testing.")
        return [UserMessage(embedded), UserMessage(text("Please process the embedded resource above."))]

    @server.prompt()
    def test_prompt_with_image() -> list[UserMessage]:
        """Hold an image."""
        return [UserMessage(image()), UserMessage(text("Please analyze the image above."))]

    @server.prompt()
    async def test_input_required_result_prompt(context: Context) -> list[UserMessage] | InputRequiredResult:
        """Ask first."""
        told = filled(context, "user_context", "context")
        if told:
            return [UserMessage(text(f"Use the following context: {told}"))]
        question = form("What context should the prompt use?", context="string")
        return InputRequiredResult(input_requests={"user_context": question})


def _handlers(server: MCPServer) -> None:
    """Methods of the earlier era that the SDK's server leaves to the program."""

    async def accept(context: Any, params: Any) -> EmptyResult:
        await anyio.lowlevel.checkpoint()
        return EmptyResult()

    lowlevel = server._lowlevel_server
    lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, accept)
    lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, accept)
    lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, accept)

    @server.completion()
    async def complete(ref: Any, argument: Any, context: Any) -> Completion:
        return Completion(values=[], total=0, has_more=False)

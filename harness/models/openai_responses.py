"""Models behind the Responses API: OpenAI, and servers and gateways that speak it.

Nothing is kept at the server: each request holds the whole conversation, earlier thinking as the encrypted
items it came in. Such an item goes back byte for byte, before what it led to, and what it led to under its
own id (see `harness.models.responses_replies` for how the id travels). Where the thinking is no longer in the
conversation, or was another model's or endpoint's, what it led to goes without an id, as if written by hand;
where nothing follows it any more, it is not sent.
Source: https://platform.openai.com/docs/guides/reasoning and the types of https://github.com/openai/openai-python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from yarl import URL

from harness.messages import Image, Message, Reasoning, Text, ToolCall, ToolDefinition, ToolResult
from harness.models.dialects.asking import by_effort, degrade
from harness.models.encoding import decode_json, encode_json
from harness.models.json_transcripts import JsonTranscript
from harness.models.json_values import as_object
from harness.models.port import CallOptions
from harness.models.profiles import Profile
from harness.models.replies import Reply, StreamReader
from harness.models.responses_replies import StreamedResponse, read_reply
from harness.models.thinking import Effort, Thinking, ThinkingPlan, merged
from harness.models.wire import WireModel

_TOLD = ("top_p", "temperature")
"""Fields of `extra` that a trace has a word for."""
_PER_CALL = ("reasoning", "max_output_tokens")
"""Fields of `extra` that a call may change."""
_LEAST_OUTPUT = 16
"""The API refuses to be asked for less."""


class OpenAIResponsesModel(WireModel["ResponsesTranscript"]):
    """A language model behind one Responses endpoint.

    What a team has no words for goes through `extra`: `reasoning: {context: all_turns, mode: pro}` stands beside
    the effort that is asked for.
    """

    provider = "openai"
    official_url = "https://api.openai.com/v1"
    own_fields: ClassVar[frozenset[str]] = frozenset(
        {"model", "input", "instructions", "tools", "stream", "tool_choice"}
    )

    def url(self, base: URL) -> URL:
        """See `WireModel`."""
        path = base.path.rstrip("/")
        path = path if path.endswith("/responses") else f"{path}/responses"
        return base.with_path(path, keep_query=True)

    def key_headers(self) -> dict[str, str]:
        """See `WireModel`."""
        return {"Authorization": f"Bearer {self.endpoint.api_key}"} if self.endpoint.api_key else {}

    def told(self) -> Mapping[str, Any]:
        """See `WireModel`."""
        extra = self.endpoint.extra
        told: dict[str, Any] = {name: extra[name] for name in _TOLD if name in extra}
        if self.endpoint.max_tokens is None:
            told["max_tokens"] = extra.get("max_output_tokens")
        told["reasoning"] = as_object(extra.get("reasoning")).get("effort")
        if wanted := as_object(as_object(extra.get("text")).get("format")):
            told["output"] = "text" if wanted.get("type") == "text" else "json"
        return told

    def head(self, tools: Sequence[ToolDefinition]) -> bytes:
        """See `WireModel`."""
        endpoint = self.endpoint
        fields: dict[str, Any] = {
            "model": endpoint.model,
            "stream": endpoint.stream,
            "store": False,
            "include": ["reasoning.encrypted_content"],
        }
        if tools:
            fields["tools"] = [_wire_tool(definition) for definition in tools]
        if endpoint.heard_temperature is not None:
            fields["temperature"] = endpoint.heard_temperature
        fields.update(endpoint.extra)
        fields = {
            name: value for name, value in fields.items() if value is not None and name not in _PER_CALL
        }
        return encode_json(fields)[:-1] + b',"input":['

    def transcript(self, head: bytes, tools: Sequence[ToolDefinition]) -> ResponsesTranscript:
        """See `WireModel`."""
        return ResponsesTranscript(head, tools, bound=(self.provider, self.name, self.route))

    def tail(self, transcript: ResponsesTranscript, options: CallOptions, plan: ThinkingPlan) -> bytes:
        """See `WireModel`."""
        endpoint = self.endpoint
        fields = merged(
            {name: endpoint.extra[name] for name in _PER_CALL if name in endpoint.extra}, plan.fields
        )
        if transcript.tools and options.tool_choice != "auto":
            fields["tool_choice"] = options.tool_choice
        asked = endpoint.max_tokens if options.max_tokens is None else options.max_tokens
        if asked is not None:
            fields["max_output_tokens"] = max(_LEAST_OUTPUT, asked)
        fields = {name: value for name, value in fields.items() if value is not None}
        rest = encode_json(fields)[1:-1]
        return b"]" + b"".join(b"," + part for part in (transcript.instructions, rest) if part) + b"}"

    def read(self, body: bytes) -> Reply:
        """See `WireModel`."""
        return read_reply(body, place=self.place, bind=self._bind)

    def reader(self) -> StreamReader:
        """See `WireModel`."""
        return StreamedResponse(place=self.place, bind=self._bind)

    def plan_thinking(self, thinking: Thinking) -> ThinkingPlan:
        """See `harness.models.port.plan_thinking`."""
        return _plan(thinking, self.endpoint.profile)

    def _bind(self, text: str, payload: str) -> Reasoning:
        return Reasoning(text, self.provider, self.name, payload, self.route)


class ResponsesTranscript(JsonTranscript):
    """A conversation as the Responses API has it: a list of items, in the order they came."""

    sends_reasoning = True

    def __init__(self, head: bytes, tools: Sequence[ToolDefinition], *, bound: tuple[str, str, str]) -> None:
        super().__init__(head, tools)
        self.instructions = b""
        """The field that holds the system message that opens the conversation, encoded."""
        self._bound = bound
        """Provider, model and route whose reasoning may go back."""

    def append(self, message: Message) -> None:
        """Add a message, encoding it now and never again."""
        match message.role:
            case "assistant":
                self._add_assistant(message)
            case "tool":
                for part in message.parts:
                    if isinstance(part, ToolResult):
                        output = _content(part.text, part.images) if part.images else part.text
                        self._add({"type": "function_call_output", "call_id": part.call_id, "output": output})
            case "system" if not self._buffer and not self.instructions:
                self.instructions = b'"instructions":' + encode_json(message.text)
                self._hash.update(self.instructions)
            case role:
                images = [part for part in message.parts if isinstance(part, Image)]
                content = _content(message.text, images) if images else message.text
                self._add({"type": "message", "role": role, "content": content})

    def another(self) -> ResponsesTranscript:
        """See `JsonTranscript`."""
        return ResponsesTranscript(self.head, self.tools, bound=self._bound)

    def _add_assistant(self, message: Message) -> None:
        """Add what a reply said; its reasoning only before something it led to."""
        waiting: list[str] = []
        sent: set[str] = set()
        mark: dict[str, Any] = {}
        for part in message.parts:
            if isinstance(part, Reasoning):
                if not part.payload or (part.provider, part.model, part.route) != self._bound:
                    continue
                item = as_object(decode_json(part.payload.encode()))
                if item.get("type") == "reasoning":
                    waiting.append(part.payload)
                    sent.add(item.get("id", ""))
                else:
                    mark = item
                continue
            fields = self._wire_item(part)
            if not fields:
                continue
            for payload in waiting:
                self._add_encoded(payload.encode())
            waiting.clear()
            self._add(_marked(fields, mark, sent))
            mark = {}

    def _wire_item(self, part: Any) -> dict[str, Any]:
        """Return a part of a reply as an item; nothing where it says nothing."""
        match part:
            case Text(text) if text:
                return {"type": "message", "role": "assistant", "content": text}
            case ToolCall(identity, name, arguments):
                return {
                    "type": "function_call",
                    "call_id": self._use_id(identity),
                    "name": self.wire_name(name),
                    "arguments": arguments,
                }
            case _:
                return {}


def _marked(item: dict[str, Any], mark: Mapping[str, Any], sent: set[str]) -> dict[str, Any]:
    """Return an item with what its mark says of it; with its id only if the reasoning it came after is there."""
    if not mark or mark.get("type") != item["type"]:
        return item
    known = {**mark, **item}
    after = known.pop("after", None)
    if "id" not in known or (after is not None and after not in sent):
        known.pop("id", None)
        known.pop("status", None)
    elif item["type"] == "message":
        known["content"] = [{"type": "output_text", "text": item["content"], "annotations": []}]
    return known


def _plan(thinking: Thinking, profile: Profile) -> ThinkingPlan:
    """Return what is asked of a model's thinking.

    A family that is not in the table is taken to know every effort, and `none`.
    """
    known, reasons = profile.thinking, list[str]()
    if known.never:
        if thinking.mode == "on":
            degrade(thinking, f"{profile.family} does not think", reasons)
            return ThinkingPlan(reason=reasons[0])
        return ThinkingPlan(enforcement="hard", reason=f"{profile.family} does not think")
    summary: dict[str, Any] = {}
    if thinking.mode == "on" and thinking.visible != "hidden":
        summary["summary"] = "auto"
        if thinking.visible == "full":
            if profile.family:
                degrade(thinking, f"{profile.family} shows only a summary of its thinking", reasons)
            summary["summary"] = "detailed"
    if profile.family and not known.toggle:
        profile = replace(profile, thinking=replace(known, always=True))

    def fields(effort: Effort | None) -> Mapping[str, Any]:
        return {"reasoning": {"effort": effort or "none", **summary}}

    plan = by_effort(thinking, profile, fields, server="the Responses API")
    return replace(plan, reason="; ".join([*reasons, plan.reason]))


def _wire_tool(definition: ToolDefinition) -> dict[str, Any]:
    return {
        "type": "function",
        "name": definition.wire_name,
        "description": definition.description,
        "parameters": dict(definition.parameters),
        # Left out, the API would change the schema to one in which every argument is required.
        "strict": False,
    }


def _content(text: str, images: Sequence[Image]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": text}] if text else []
    return parts + [
        {
            "type": "input_image",
            "image_url": f"data:{image.media_type};base64,{image.data}",
            "detail": "auto",
        }
        for image in images
    ]

"""Models behind Gemini's generateContent (https://ai.google.dev/api/generate-content).

A conversation is a list of contents with the roles `user` and `model`; what the agent is told to be stands
beside it, in the tail of the request. All results of one turn go into one content of the user.

Reasoning comes as signatures, each on one part, and goes back on exactly that part, or not at all: where the
model or the route is another one by now. Gemini 3 and later refuse the calls of a turn whose first one has
none, so there it gets the value that is documented for calls the model did not make itself
(https://ai.google.dev/gemini-api/docs/thought-signatures).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import orjson
from yarl import URL

from harness.messages import Image, Message, Reasoning, Text, ToolCall, ToolDefinition, ToolResult
from harness.models.encoding import encode_json
from harness.models.gemini_replies import SIGNATURE, ReplyDraft, StreamedReply, read_reply
from harness.models.gemini_schemas import inlined
from harness.models.gemini_thinking import plan_of
from harness.models.json_transcripts import JsonTranscript, is_made_up
from harness.models.port import CallOptions
from harness.models.replies import Reply, StreamReader
from harness.models.thinking import Thinking, ThinkingPlan, merged
from harness.models.wire import WireModel

UNSIGNED = "skip_thought_signature_validator"
"""Stands for the signature of a call that another model made."""

_MODES = {"required": "ANY", "none": "NONE"}
_TOLD = {
    "top_p": "topP",
    "seed": "seed",
    "stop": "stopSequences",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
"""Fields of `generationConfig` that a trace has a word for."""


class GeminiModel(WireModel["GeminiTranscript"]):
    """A language model behind one generateContent endpoint."""

    provider = "gcp.gemini"
    official_url = "https://generativelanguage.googleapis.com/v1beta"
    own_fields: ClassVar[frozenset[str]] = frozenset({"contents", "tools", "systemInstruction", "toolConfig"})

    def url(self, base: URL) -> URL:
        """See `WireModel`."""
        name = self.endpoint.model if "/" in self.endpoint.model else f"models/{self.endpoint.model}"
        method = "streamGenerateContent" if self.endpoint.stream else "generateContent"
        url = base.with_path(f"{base.path.rstrip('/')}/{name}:{method}", keep_query=True)
        return url.update_query(alt="sse") if self.endpoint.stream else url

    def key_headers(self) -> dict[str, str]:
        """See `WireModel`."""
        return {"x-goog-api-key": self.endpoint.api_key} if self.endpoint.api_key else {}

    def told(self) -> Mapping[str, Any]:
        """See `WireModel`."""
        config = self._generation(None)
        told: dict[str, Any] = {name: config[field] for name, field in _TOLD.items() if field in config}
        told["temperature"] = config.get("temperature")
        told["max_tokens"] = config.get("maxOutputTokens")
        told["reasoning"] = config.get("thinkingConfig", {}).get("thinkingLevel")
        return told

    def head(self, tools: Sequence[ToolDefinition]) -> bytes:
        """See `WireModel`."""
        fields: dict[str, Any] = {}
        if tools:
            fields["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in tools]}]
        extra = self.endpoint.extra.items()
        fields.update(
            {name: value for name, value in extra if name != "generationConfig" and value is not None}
        )
        return encode_json({**fields, "contents": []})[:-2]

    def transcript(self, head: bytes, tools: Sequence[ToolDefinition]) -> GeminiTranscript:
        """See `WireModel`."""
        told = encode_json({"model": self.name, "generationConfig": self._generation(None)})
        signed = self.endpoint.profile.reasoning_required
        return GeminiTranscript(head, tools, told=told, model=self.name, route=self.route, signed=signed)

    def tail(self, transcript: GeminiTranscript, options: CallOptions, plan: ThinkingPlan) -> bytes:
        """See `WireModel`."""
        config = self._generation(options.max_tokens)
        if plan.fields:
            # A level and a budget refuse each other, so what `extra` says of thinking goes whole.
            config.pop("thinkingConfig", None)
        fields = merged({"generationConfig": config} if config else {}, plan.fields)
        if transcript.tools and options.tool_choice != "auto":
            fields["toolConfig"] = {"functionCallingConfig": {"mode": _MODES[options.tool_choice]}}
        instruction = transcript.instruction
        return b"".join(
            (
                b"]",
                b',"systemInstruction":' + instruction if instruction else b"",
                b"," + encode_json(fields)[1:] if fields else b"}",
            )
        )

    def read(self, body: bytes) -> Reply:
        """See `WireModel`."""
        return read_reply(body, self._draft(), place=self.place)

    def reader(self) -> StreamReader:
        """See `WireModel`."""
        return StreamedReply(self._draft(), place=self.place)

    def plan_thinking(self, thinking: Thinking) -> ThinkingPlan:
        """See `harness.models.port.plan_thinking`."""
        return plan_of(thinking, self.endpoint.profile)

    def _draft(self) -> ReplyDraft:
        return ReplyDraft(self.provider, self.name, self.route)

    def _generation(self, most_tokens: int | None) -> dict[str, Any]:
        """Return `generationConfig` for a call that may write `most_tokens`, or what the model is set to."""
        endpoint = self.endpoint
        asked = endpoint.max_tokens if most_tokens is None else most_tokens
        given = cast("Mapping[str, Any]", endpoint.extra.get("generationConfig") or {})
        config = {"temperature": endpoint.heard_temperature, "maxOutputTokens": asked, **given}
        if asked is not None and config["maxOutputTokens"] is not None:
            config["maxOutputTokens"] = asked
        return {name: value for name, value in config.items() if value is not None}


class GeminiTranscript(JsonTranscript):
    """A conversation as Gemini has it.

    The results of a turn share one content, which stays open until something else comes.
    """

    sends_reasoning = True

    def __init__(
        self,
        head: bytes,
        tools: Sequence[ToolDefinition],
        *,
        told: bytes,
        model: str,
        route: str,
        signed: bool,
    ) -> None:
        super().__init__(head, tools)
        self._told = told
        """What belongs to a request and stands in its address or its tail."""
        self._hash.update(told)
        self.instruction = b""
        """What the agent is told to be, as a request holds it."""
        self._instructions: list[dict[str, Any]] = []
        self._bound_to = (model, route)
        self._signed = signed
        """Whether this is Gemini 3 or later: calls need signatures, and results hold images themselves."""
        self._results: list[dict[str, Any]] = []
        self._result_images: list[dict[str, Any]] = []
        self._called: dict[str, str] = {}
        """The wire names of the last calls, by id."""

    def append(self, message: Message) -> None:
        """Add a message, encoding it now and never again."""
        if message.role == "tool":
            for part in message.parts:
                if isinstance(part, ToolResult):
                    self._add_result(part)
            return
        if (results := self.open_message()) is not None:
            self._add(results)
            self._results, self._result_images = [], []
        if message.role == "assistant":
            self._add_reply(message)
        elif message.role == "system" and not self._buffer:
            self._instructions.append({"text": message.text})
            self.instruction = encode_json({"parts": self._instructions})
            self._hash.update(self.instruction)
        else:
            images = [_image(part) for part in message.parts if isinstance(part, Image)]
            self._add({"role": "user", "parts": [{"text": message.text}, *images]})

    def open_message(self) -> Mapping[str, Any] | None:
        """See `JsonTranscript`."""
        if not self._results:
            return None
        return {"role": "user", "parts": [*self._results, *self._result_images]}

    def another(self) -> GeminiTranscript:
        """See `JsonTranscript`."""
        model, route = self._bound_to
        return GeminiTranscript(
            self.head, self.tools, told=self._told, model=model, route=route, signed=self._signed
        )

    def _add_reply(self, message: Message) -> None:
        parts: list[dict[str, Any]] = []
        signature: dict[str, Any] = {}
        for part in message.parts:
            match part:
                case Reasoning() if part.payload and (part.model, part.route) == self._bound_to:
                    signature = orjson.loads(part.payload)
                    if "text" in signature:
                        parts.append(signature)
                        signature = {}
                case Text() if part.text:
                    parts.append({"text": part.text, **signature})
                    signature = {}
                case ToolCall():
                    parts.append({"functionCall": self._call(part), **signature})
                    signature = {}
                case _:
                    pass
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None and self._signed:
            first.setdefault(SIGNATURE, UNSIGNED)
        if parts:
            self._add({"role": "model", "parts": parts})

    def _call(self, call: ToolCall) -> dict[str, Any]:
        name = self._called[call.id] = self.wire_name(call.name)
        self._use_id(call.id)
        return {**_identity(call.id), "name": name, "args": _arguments(call.arguments)}

    def _add_result(self, result: ToolResult) -> None:
        name = self._called.pop(result.call_id, "unknown")
        response: dict[str, Any] = {
            **_identity(result.call_id),
            "name": name,
            "response": {"error" if result.is_error else "output": result.text},
        }
        if result.images and self._signed:
            response["parts"] = [_image(image) for image in result.images]
        elif result.images:
            self._result_images.append({"text": f"Images of the result of {name}:"})
            self._result_images += map(_image, result.images)
        self._results.append({"functionResponse": response})


def _declaration(definition: ToolDefinition) -> dict[str, Any]:
    return {
        "name": definition.wire_name,
        "description": definition.description,
        "parametersJsonSchema": inlined(definition.parameters),
    }


def _image(image: Image) -> dict[str, Any]:
    return {"inlineData": {"mimeType": image.media_type, "data": image.data}}


def _identity(call_id: str) -> dict[str, str]:
    """Return the field of a call's id; ids that the endpoint did not give are not told to it."""
    return {} if is_made_up(call_id) else {"id": call_id}


def _arguments(written: str) -> dict[str, Any]:
    """Return the arguments as an object, which the API insists on, even of what is none."""
    try:
        arguments: Any = orjson.loads(written or "{}")
    except orjson.JSONDecodeError:
        arguments = written
    return cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {"arguments": arguments}

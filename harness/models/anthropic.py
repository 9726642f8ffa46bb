"""Models behind the Messages API: Anthropic and every server that speaks it.

Users and assistants take turns, and the results of all calls of a turn stand first in one user message.
So what comes between two replies stays open, and is closed by the next reply. The cache of the endpoint
keeps what stands before a marker: markers stand at the end of what never changes, the tools and the
instructions, and in the open message, so that nothing that is closed is ever encoded again and each
request repeats what the one before it was kept for.

Source: https://platform.claude.com/docs/en/api/messages, `build-with-claude/prompt-caching` and
`build-with-claude/thinking`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import orjson
from yarl import URL

from harness.messages import Image, Message, Part, Reasoning, Text, ToolCall, ToolDefinition, ToolResult
from harness.models.anthropic_replies import StreamedReply, read_reply
from harness.models.anthropic_thinking import INTERLEAVED, fitted, plan, thinks
from harness.models.encoding import encode_json
from harness.models.json_transcripts import JsonTranscript
from harness.models.port import CallOptions
from harness.models.replies import Reply, StreamReader
from harness.models.thinking import Thinking, ThinkingPlan, merged
from harness.models.wire import WireModel

VERSION = "2023-06-01"
_DEFAULT_MAX_TOKENS = 8192
"""What an answer may have beside its thinking, where neither the team file nor the profile says."""
_OF_EACH_CALL = frozenset({"thinking", "output_config", "max_tokens", "temperature", "cache_control"})
"""Fields of `extra` that are not part of the head."""
_CLOSE_TOGETHER = 8
"""Blocks of an open message beyond which its first one is marked too: a cache looks back 20 blocks from a
marker, and the reply before has about as many blocks as there are results."""
_ENDS_IN_VERSION = re.compile(r"/v\d+[a-z0-9]*$")
_NOT_IN_CALL_IDS = re.compile(r"[^a-zA-Z0-9_-]")


class AnthropicModel(WireModel["AnthropicTranscript"]):
    """A language model behind one Messages endpoint.

    `cache_control` in `extra` is what the markers say, such as `{type: ephemeral, ttl: 1h}`; None sets none.
    """

    provider = "anthropic"
    official_url = "https://api.anthropic.com/v1"
    own_fields: ClassVar[frozenset[str]] = frozenset(
        {"model", "messages", "system", "tools", "stream", "tool_choice"}
    )

    def url(self, base: URL) -> URL:
        """See `WireModel`; a base without a version, as other clients want it, will do."""
        path = base.path.rstrip("/")
        if not path.endswith("/messages"):
            path += "/messages" if _ENDS_IN_VERSION.search(path) else "/v1/messages"
        return base.with_path(path, keep_query=True)

    def key_headers(self) -> dict[str, str]:
        """See `WireModel`."""
        headers = {"anthropic-version": VERSION}
        if self.endpoint.api_key:
            headers["x-api-key"] = self.endpoint.api_key
        if self.endpoint.profile.thinking.budget is not None:
            headers["anthropic-beta"] = INTERLEAVED
        return headers

    def told(self) -> Mapping[str, Any]:
        """See `WireModel`."""
        extra = self.endpoint.extra
        effort = extra.get("output_config")
        return {
            "top_p": extra.get("top_p"),
            "stop": extra.get("stop_sequences"),
            "max_tokens": self._most_tokens(None, {}),
            "reasoning": effort.get("effort") if isinstance(effort, Mapping) else None,  # pyright: ignore[reportUnknownMemberType]
        }

    def head(self, tools: Sequence[ToolDefinition]) -> bytes:
        """See `WireModel`."""
        endpoint = self.endpoint
        fields: dict[str, Any] = {"model": endpoint.model, "stream": endpoint.stream}
        if tools:
            definitions = [_wire_tool(definition) for definition in tools]
            if self._marker is not None:
                definitions[-1]["cache_control"] = self._marker
            fields["tools"] = definitions
        fields.update({name: value for name, value in endpoint.extra.items() if name not in _OF_EACH_CALL})
        return encode_json({name: value for name, value in fields.items() if value is not None})[:-1] + b","

    def transcript(self, head: bytes, tools: Sequence[ToolDefinition]) -> AnthropicTranscript:
        """See `WireModel`."""
        return AnthropicTranscript(
            head,
            tools,
            bound_to=(self.provider, self.name, self.route),
            marker=self._marker,
            keeps_reasoning=not self.endpoint.profile.reasoning_bound,
        )

    def tail(self, transcript: AnthropicTranscript, options: CallOptions, plan: ThinkingPlan) -> bytes:
        """See `WireModel`."""
        endpoint, profile = self.endpoint, self.endpoint.profile
        asked = {name: endpoint.extra.get(name) for name in ("thinking", "output_config")}
        if "thinking" in plan.fields:
            asked["thinking"] = None
        fields = merged({name: value for name, value in asked.items() if value is not None}, plan.fields)
        most = self._most_tokens(options.max_tokens, fields.get("thinking") or {})
        if "thinking" in fields:
            fields["thinking"] = fitted(
                fields["thinking"], most, began_without=transcript.began_without_thinking
            )
        thinking = thinks(fields.get("thinking"), profile.thinking)
        fields["max_tokens"] = most
        temperature = endpoint.extra.get("temperature", endpoint.heard_temperature)
        if temperature is not None and not thinking:
            fields["temperature"] = temperature
        if transcript.tools:
            may_require = plan.can_require_tools and profile.forced_calls and not thinking
            if options.tool_choice == "none":
                fields["tool_choice"] = {"type": "none"}
            elif options.tool_choice == "required" and may_require:
                fields["tool_choice"] = {"type": "any"}
        return b"]," + encode_json(fields)[1:]

    def read(self, body: bytes) -> Reply:
        """See `WireModel`."""
        return read_reply(body, place=self.place).reply(
            provider=self.provider, model=self.name, route=self.route
        )

    def reader(self) -> StreamReader:
        """See `WireModel`."""
        return StreamedReply(place=self.place, provider=self.provider, model=self.name, route=self.route)

    def plan_thinking(self, thinking: Thinking) -> ThinkingPlan:
        """See `harness.models.port.plan_thinking`."""
        limit = self.endpoint.max_tokens or self.endpoint.extra.get("max_tokens")
        return plan(thinking, self.endpoint.profile, limit)

    @property
    def _marker(self) -> Mapping[str, Any] | None:
        return self.endpoint.extra.get("cache_control", {"type": "ephemeral"})

    def _most_tokens(self, asked: int | None, thinking: Mapping[str, Any]) -> int:
        """Return what `max_tokens` says: it counts the thinking too, and no request goes without it."""
        endpoint, most = self.endpoint, self.endpoint.profile.max_output
        wanted = asked or endpoint.max_tokens or endpoint.extra.get("max_tokens")
        if wanted is not None:
            return min(wanted, most or wanted)
        return most or _DEFAULT_MAX_TOKENS + thinking.get("budget_tokens", 0)


class AnthropicTranscript(JsonTranscript):
    """A conversation as the Messages API has it.

    Reasoning goes back as it came where this model gave it at this endpoint, and all of a turn's reasoning
    stays away where it did not, or where nothing follows it.
    """

    sends_reasoning = True

    def __init__(
        self,
        head: bytes,
        tools: Sequence[ToolDefinition],
        *,
        bound_to: tuple[str, str, str],
        marker: Mapping[str, Any] | None,
        keeps_reasoning: bool,
    ) -> None:
        super().__init__(head, tools)
        self._bound_to = bound_to
        """Provider, model and route of the reasoning that may go back."""
        self._marker = marker
        self._mark = b"" if marker is None else b',"cache_control":' + encode_json(marker)
        self._keeps_reasoning = keeps_reasoning
        """Whether reasoning may go back after something before it was changed."""
        self._former: _Former | None = None
        """Where reasoning is bound to what stands before it, what this is opened again from."""
        self._instructions: list[bytes] = []
        self._results: list[bytes] = []
        self._rest: list[bytes] = []
        """The blocks of the open message: results of calls, which must stand first, and what follows them."""
        self._began_thinking: bool | None = None
        """Whether the turn of the model, which lasts until a user speaks, began with thinking."""

    @property
    def began_without_thinking(self) -> bool:
        """Whether results are awaited by a turn of the model that began without thinking."""
        return bool(self._results) and self._began_thinking is False

    def append(self, message: Message) -> None:
        """Add a message, encoding it now and never again."""
        match message.role:
            case "assistant":
                self._add_assistant(message)
            case "system" if not (self._instructions or self._buffer or self._results or self._rest):
                self._instructions = _blocks(message.parts)
                self._hash.update(b"".join(self._instructions))
            case "tool":
                self._results += [_result(part) for part in message.parts if isinstance(part, ToolResult)]
            case _:
                self._rest += _blocks(message.parts)

    def open_message(self) -> Mapping[str, Any] | None:
        """See `JsonTranscript`; the end of the message is marked for the cache."""
        blocks = [*self._results, *self._rest]
        if not blocks:
            return None
        for place in {0, len(blocks) - 1} if len(blocks) > _CLOSE_TOGETHER else {len(blocks) - 1}:
            blocks[place] = self._marked(blocks[place])
        return _message("user", blocks)

    def pieces(self) -> tuple[bytes | bytearray, ...]:
        """See `JsonTranscript`; the instructions stand between the head and the messages."""
        head, *messages = super().pieces()
        system = b""
        if self._instructions:
            *first, last = self._instructions
            system = b'"system":[' + b",".join([*first, self._marked(last)]) + b"],"
        return head, system + b'"messages":[', *messages

    def another(self) -> Self:
        """See `JsonTranscript`."""
        return type(self)(
            self.head,
            self.tools,
            bound_to=self._bound_to,
            marker=self._marker,
            keeps_reasoning=self._keeps_reasoning,
        )

    def reopened(self, messages: Iterable[Message]) -> Self:
        """See `JsonTranscript`; reasoning stays away where it is bound to something that is not the same now."""
        again = self.another()
        again._call_ids |= self._call_ids
        again._former = None if self._keeps_reasoning else _Former(self._instructions, self._buffer)
        for message in messages:
            again.append(message)
        again._former = None
        return again

    def _add_assistant(self, message: Message) -> None:
        said = [part for part in message.parts if not isinstance(part, Text) or part.text.strip()]
        if all(isinstance(part, Reasoning) for part in said):
            return
        if self._rest and not self._results:
            self._began_thinking = None
        if self._results or self._rest:
            self._add(_message("user", [*self._results, *self._rest]))
            self._results, self._rest = [], []
        bare = [part for part in said if not isinstance(part, Reasoning)]
        parts = said if self._may_go_back(said) else bare
        encoded = self._assistant(parts)
        if parts is said and self._former and not self._former.has(encoded, self._instructions, self._buffer):
            parts, encoded = bare, self._assistant(bare)
        if self._began_thinking is None:
            self._began_thinking = isinstance(parts[0], Reasoning)
        self._add(encoded)

    def _assistant(self, parts: Sequence[Part]) -> dict[str, Any]:
        blocks: list[bytes] = []
        for part in parts:
            match part:
                case Reasoning():
                    blocks.append(part.payload.encode())
                case ToolCall():
                    blocks.append(self._call(part))
                case _:
                    blocks += _blocks([part])
        return _message("assistant", blocks)

    def _may_go_back(self, said: Sequence[Part]) -> bool:
        """Return whether all reasoning of a turn goes back; otherwise none of it does.

        The API takes no message that ends in thinking, which a reply does that was cut.
        """
        ours = [
            bool(part.payload) and (part.provider, part.model, part.route) == self._bound_to
            for part in said
            if isinstance(part, Reasoning)
        ]
        return bool(ours) and all(ours) and not isinstance(said[-1], Reasoning)

    def _call(self, call: ToolCall) -> bytes:
        """Return a call; what the model wrote goes back byte for byte, unless it is no JSON object."""
        arguments = (call.arguments.strip() or "{}").encode("utf-8", "replace")
        try:
            is_object = isinstance(orjson.loads(arguments), dict)
        except orjson.JSONDecodeError:
            is_object = False
        given = orjson.Fragment(arguments) if is_object else {"malformed": call.arguments}
        identity = _wire_id(self._use_id(call.id))
        name = self.wire_name(call.name)
        return encode_json({"type": "tool_use", "id": identity, "name": name, "input": given})

    def _marked(self, block: bytes) -> bytes:
        return block[:-1] + self._mark + b"}"


class _Former:
    """What a transcript held before it was opened again, compared with it as it grows anew."""

    def __init__(self, instructions: list[bytes], messages: bytearray) -> None:
        self._instructions = instructions
        self._messages = messages
        self._compared = 0
        self._same = True

    def has(self, message: Mapping[str, Any], instructions: list[bytes], before: bytearray) -> bool:
        """Return whether the message stood there, and after the same messages as it comes after now."""
        new = before[self._compared :]
        self._same = (
            self._same
            and instructions == self._instructions
            and self._messages.startswith(new, self._compared)
        )
        self._compared = len(before)
        separator = b"," if before else b""
        return self._same and self._messages.startswith(separator + encode_json(message), self._compared)


def _message(role: str, blocks: Iterable[bytes]) -> dict[str, Any]:
    return {"role": role, "content": [orjson.Fragment(block) for block in blocks]}


def _blocks(parts: Iterable[Part]) -> list[bytes]:
    """Return text and images as blocks; text of white space alone is refused by the API, and left out."""
    return [
        encode_json({"type": "text", "text": part.text} if isinstance(part, Text) else _image(part))
        for part in parts
        if isinstance(part, Image) or (isinstance(part, Text) and part.text.strip())
    ]


def _result(result: ToolResult) -> bytes:
    fields: dict[str, Any] = {"type": "tool_result", "tool_use_id": _wire_id(result.call_id)}
    text = result.text if result.text.strip() else ""
    if result.images:
        texts = [{"type": "text", "text": text}] if text else []
        fields["content"] = [*texts, *map(_image, result.images)]
    elif text:
        fields["content"] = text
    if result.is_error:
        fields["is_error"] = True
    return encode_json(fields)


def _image(image: Image) -> dict[str, Any]:
    source = {"type": "base64", "media_type": image.media_type, "data": image.data}
    return {"type": "image", "source": source}


def _wire_tool(definition: ToolDefinition) -> dict[str, Any]:
    return {
        "name": definition.wire_name,
        "description": definition.description,
        "input_schema": dict(definition.parameters),
    }


def _wire_id(identity: str) -> str:
    """Return a call's id as the API accepts it; another provider may have given it."""
    return _NOT_IN_CALL_IDS.sub("_", identity)

"""The four wire APIs as one would write them by hand for the floor: the request, and what a reply says.

Each speaks its own API natively, streamed where the harness streams, so that a ratio compares like with like.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool to offer."""

    name: str
    description: str
    parameters: Json


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of a reply."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class Said:
    """What a reply says, and what of it goes into the next request."""

    items: list[Json]
    text: str
    calls: list[Call]


class FloorWire(Protocol):
    """One API."""

    def path(self, *, stream: bool) -> str:
        """Return where requests go, from the base URL."""
        ...

    def begin(
        self, instructions: str, task: str, tools: list[Tool], *, stream: bool
    ) -> tuple[Json, list[Json]]:
        """Return a request and the list in it that grows."""
        ...

    def read(self, document: Json) -> Said:
        """Return what a whole reply says."""
        ...

    async def gather(self, events: AsyncIterable[Json]) -> Json:
        """Return the whole reply that the events of a stream amount to."""
        ...

    def results(self, results: Iterable[tuple[Call, str]]) -> list[Json]:
        """Return what goes into the next request for the results of calls."""
        ...


class Chat:
    """Chat Completions."""

    def path(self, *, stream: bool) -> str:
        return "/chat/completions"

    def begin(
        self, instructions: str, task: str, tools: list[Tool], *, stream: bool
    ) -> tuple[Json, list[Json]]:
        messages: list[Json] = [
            {"role": "system", "content": instructions},
            {"role": "user", "content": task},
        ]
        offered = [{"type": "function", "function": _definition(tool)} for tool in tools]
        request: Json = {"model": "bench", "messages": messages, "tools": offered}
        if stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        return request, messages

    def read(self, document: Json) -> Said:
        message = document["choices"][0]["message"]
        calls = [
            Call(call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls") or ()
        ]
        return Said([message], message["content"] or "", calls)

    async def gather(self, events: AsyncIterable[Json]) -> Json:
        text, calls = "", list[Json]()
        async for event in events:
            for choice in event["choices"]:
                delta = choice["delta"]
                text += delta.get("content") or ""
                for fragment in delta.get("tool_calls") or ():
                    if "id" in fragment:
                        calls.append({key: value for key, value in fragment.items() if key != "index"})
                    else:
                        function = calls[fragment["index"]]["function"]
                        function["arguments"] += fragment["function"]["arguments"]
        message: Json = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = calls
        return {"choices": [{"message": message}]}

    def results(self, results: Iterable[tuple[Call, str]]) -> list[Json]:
        return [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in results]


class Responses:
    """The Responses API."""

    def path(self, *, stream: bool) -> str:
        return "/responses"

    def begin(
        self, instructions: str, task: str, tools: list[Tool], *, stream: bool
    ) -> tuple[Json, list[Json]]:
        items: list[Json] = [{"role": "user", "content": task}]
        offered = [{"type": "function", "strict": False, **_definition(tool)} for tool in tools]
        request = {"model": "bench", "instructions": instructions, "store": False, "tools": offered}
        return {**request, "stream": stream, "input": items}, items

    def read(self, document: Json) -> Said:
        text, calls = "", list[Call]()
        for item in document["output"]:
            if item["type"] == "function_call":
                calls.append(Call(item["call_id"], item["name"], orjson.loads(item["arguments"])))
            else:
                text += "".join(part["text"] for part in item["content"])
        return Said(document["output"], text, calls)

    async def gather(self, events: AsyncIterable[Json]) -> Json:
        whole: Json = {}
        async for event in events:
            if event["type"] == "response.completed":
                whole = event["response"]
        return whole

    def results(self, results: Iterable[tuple[Call, str]]) -> list[Json]:
        return [
            {"type": "function_call_output", "call_id": call.id, "output": text} for call, text in results
        ]


class Anthropic:
    """The Messages API, with a marker for the cache where the conversation ends."""

    def path(self, *, stream: bool) -> str:
        return "/messages"

    def begin(
        self, instructions: str, task: str, tools: list[Tool], *, stream: bool
    ) -> tuple[Json, list[Json]]:
        messages: list[Json] = [{"role": "user", "content": task}]
        offered = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in tools
        ]
        request = {
            "model": "bench",
            "system": instructions,
            "messages": messages,
            "tools": offered,
            "max_tokens": 8192,
            "stream": stream,
            "cache_control": {"type": "ephemeral"},
        }
        return request, messages

    def read(self, document: Json) -> Said:
        content = document["content"]
        calls = [Call(one["id"], one["name"], one["input"]) for one in content if one["type"] == "tool_use"]
        text = "".join(one["text"] for one in content if one["type"] == "text")
        return Said([{"role": "assistant", "content": content}], text, calls)

    async def gather(self, events: AsyncIterable[Json]) -> Json:
        content: list[Json] = []
        arguments = ""
        async for event in events:
            match event["type"]:
                case "content_block_start":
                    content.append(event["content_block"])
                    arguments = ""
                case "content_block_delta":
                    delta = event["delta"]
                    if delta["type"] == "text_delta":
                        content[-1]["text"] += delta["text"]
                    else:
                        arguments += delta["partial_json"]
                case "content_block_stop" if content[-1]["type"] == "tool_use":
                    content[-1]["input"] = orjson.loads(arguments or "{}")
                case _:
                    pass
        return {"content": content}

    def results(self, results: Iterable[tuple[Call, str]]) -> list[Json]:
        blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": text} for call, text in results]
        return [{"role": "user", "content": blocks}]


class Gemini:
    """Gemini's generateContent."""

    def path(self, *, stream: bool) -> str:
        return f"/models/bench:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"

    def begin(
        self, instructions: str, task: str, tools: list[Tool], *, stream: bool
    ) -> tuple[Json, list[Json]]:
        contents: list[Json] = [{"role": "user", "parts": [{"text": task}]}]
        declared = [
            {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}
            for tool in tools
        ]
        request = {
            "contents": contents,
            "systemInstruction": {"parts": [{"text": instructions}]},
            "tools": [{"functionDeclarations": declared}],
        }
        return request, contents

    def read(self, document: Json) -> Said:
        content = document["candidates"][0]["content"]
        text, calls = "", list[Call]()
        for part in content["parts"]:
            if call := part.get("functionCall"):
                calls.append(Call(call["id"], call["name"], call["args"]))
            else:
                text += part["text"]
        return Said([content], text, calls)

    async def gather(self, events: AsyncIterable[Json]) -> Json:
        parts: list[Json] = []
        async for event in events:
            parts += event["candidates"][0]["content"]["parts"]
        return {"candidates": [{"content": {"role": "model", "parts": parts}}]}

    def results(self, results: Iterable[tuple[Call, str]]) -> list[Json]:
        parts = [
            {"functionResponse": {"id": call.id, "name": call.name, "response": {"output": text}}}
            for call, text in results
        ]
        return [{"role": "user", "parts": parts}]


FLOOR_WIRES: dict[str, Callable[[], FloorWire]] = {
    "openai-chat": Chat,
    "openai-responses": Responses,
    "anthropic": Anthropic,
    "gemini": Gemini,
}


def _definition(tool: Tool) -> Json:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}

"""A generateContent server that refuses what Gemini refuses, in its words.

It plays one conversation: how many contents of the model a request holds says which reply comes next, so
that it keeps no state and can be asked the same twice. It signs what it says as Gemini does (the first call
of each step; the end of a text), and can tell by the signature alone whether a part came back as it was:
a signature is made of the model and the part.

Sources of the rules: https://ai.google.dev/gemini-api/docs/thought-signatures and `/function-calling`,
`/thinking`; the fields are those of the types of https://github.com/googleapis/python-genai.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from aiohttp import web

SENTINEL = "skip_thought_signature_validator"
KEY = "AIza-strict-key"
LEVELS = {
    "gemini-3-flash-preview": ("MINIMAL", "LOW", "MEDIUM", "HIGH"),
    "gemini-3-pro-preview": ("LOW", "HIGH"),
    "gemini-3.1-pro-preview": ("LOW", "MEDIUM", "HIGH"),
}
BUDGETS = {"gemini-2.5-flash": (0, 24576), "gemini-2.5-pro": (128, 32768)}

_FIELDS = {
    "request": {
        "contents",
        "tools",
        "toolConfig",
        "systemInstruction",
        "generationConfig",
        "safetySettings",
        "cachedContent",
    },
    "content": {"role", "parts"},
    "part": {"text", "thought", "thoughtSignature", "functionCall", "functionResponse", "inlineData"},
    "functionCall": {"id", "name", "args"},
    "functionResponse": {"id", "name", "response", "parts"},
    "inlineData": {"mimeType", "data"},
    "functionDeclaration": {"name", "description", "parameters", "parametersJsonSchema", "response"},
    "generationConfig": {
        "temperature",
        "topP",
        "topK",
        "seed",
        "stopSequences",
        "maxOutputTokens",
        "thinkingConfig",
    },
    "thinkingConfig": {"includeThoughts", "thinkingBudget", "thinkingLevel"},
    "functionCallingConfig": {"mode", "allowedFunctionNames"},
}

Turn = Sequence[Mapping[str, Any]]
"""The parts of one reply, without their signatures."""


class Refused(Exception):
    """What the server says with HTTP 400."""


@dataclass(slots=True)
class StrictGemini:
    """What the server was asked."""

    turns: Sequence[Turn]
    base_url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    models: list[str] = field(default_factory=list[str])
    refusals: list[str] = field(default_factory=list[str])

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        model, _, method = request.match_info["call"].partition(":")
        body: dict[str, Any] = orjson.loads(await request.read())
        try:
            if request.headers.get("x-goog-api-key") != KEY:
                raise Refused("API key not valid. Please pass a valid API key.")
            check(body, model)
        except Refused as refused:
            self.refusals.append(str(refused))
            error = {"code": 400, "message": str(refused), "status": "INVALID_ARGUMENT"}
            return web.json_response({"error": error}, status=400)
        self.requests.append(body)
        self.models.append(model)
        step = sum(content["role"] == "model" for content in body["contents"])
        parts = signed(self.turns[step], model)
        if method == "generateContent":
            return web.json_response(_document(model, parts, "STOP"))
        assert request.query_string == "alt=sse"
        return await _streamed(request, model, parts)


@asynccontextmanager
async def strict_gemini(*turns: Turn) -> AsyncGenerator[StrictGemini]:
    """Serve a conversation, one of `turns` for each reply."""
    state = StrictGemini(turns)
    application = web.Application()
    application.router.add_post("/v1beta/models/{call}", state.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        state.base_url = f"http://{host}:{port}/v1beta"
        yield state
    finally:
        await runner.cleanup()


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """Return a part that calls a function, its id made of what it says."""
    identity = hashlib.sha256(orjson.dumps([name, arguments])).hexdigest()[:8]
    return {"functionCall": {"id": identity, "name": name, "args": arguments}}


def signature(model: str, part: Mapping[str, Any]) -> str:
    """Return the signature of a part."""
    plain = {name: value for name, value in part.items() if name != "thoughtSignature"}
    made = hashlib.sha256(model.encode() + orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).digest()
    return base64.b64encode(made).decode()


def signed(turn: Turn, model: str) -> list[dict[str, Any]]:
    """Return the parts of a reply with the signatures that the model gives."""
    parts = [dict(part) for part in turn]
    calls = [part for part in parts if "functionCall" in part]
    if calls:
        calls[0]["thoughtSignature"] = signature(model, calls[0])
    else:
        empty = {"text": ""}
        parts.append({**empty, "thoughtSignature": signature(model, empty)})
    return [{"text": "Let me see.", "thought": True}, *parts]


def check(body: Mapping[str, Any], model: str) -> None:
    """Refuse a request that Gemini would refuse.

    Raises:
        Refused: It would.
    """
    _known(body, "request")
    names = _declared(body)
    _check_thinking(body.get("generationConfig", {}), model)
    if config := body.get("toolConfig"):
        _known(config["functionCallingConfig"], "functionCallingConfig")
        if not names:
            raise Refused("Function calling config is set without function_declarations.")
    contents: list[dict[str, Any]] = body.get("contents") or []
    if not contents:
        raise Refused("contents is not specified")
    _check_shape(contents)
    _check_turns(contents)
    _check_signatures(contents, model)


def _known(fields: Mapping[str, Any], kind: str) -> None:
    for name in fields:
        if name not in _FIELDS[kind]:
            raise Refused(
                f'Invalid JSON payload received. Unknown name "{name}" at {kind}: Cannot find field.'
            )


def _declared(body: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for tool in body.get("tools", []):
        for declaration in tool["functionDeclarations"]:
            _known(declaration, "functionDeclaration")
            if "parameters" in declaration and "parametersJsonSchema" in declaration:
                raise Refused("parameters and parameters_json_schema are mutually exclusive.")
            _check_schema(declaration.get("parametersJsonSchema", {}))
            names.append(declaration["name"])
    return names


def _check_schema(node: Any) -> None:
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            _check_schema(item)
    elif isinstance(node, dict):
        fields = cast("dict[str, Any]", node)
        if isinstance(fields.get("$schema"), str):
            raise Refused('Invalid JSON payload received. Unknown name "$schema": Cannot find field.')
        reference = fields.get("$ref")
        if isinstance(reference, str) and set(fields) - {"$ref", "description", "default"}:
            raise Refused(f"$ref '{reference}' was set alongside unsupported fields.")
        if isinstance(reference, str) and not reference.startswith("#/$defs/"):
            raise Refused(f"Reference '{reference}' cannot be resolved.")
        _check_schema(list(fields.values()))


def _check_thinking(config: Mapping[str, Any], model: str) -> None:
    _known(config, "generationConfig")
    thinking = config.get("thinkingConfig", {})
    _known(thinking, "thinkingConfig")
    level, budget = thinking.get("thinkingLevel"), thinking.get("thinkingBudget")
    if level is not None and budget is not None:
        raise Refused("You can only set only one of thinking budget and thinking level.")
    if level is not None and model not in LEVELS:
        raise Refused("Thinking level is not supported for this model.")
    if level is not None and level not in LEVELS[model]:
        raise Refused(f"Thinking level {level} is not supported for this model.")
    if budget is not None and model in BUDGETS:
        least, most = BUDGETS[model]
        if budget == 0 and least > 0:
            raise Refused("Budget 0 is invalid. This model only works in thinking mode.")
        if budget != -1 and not least <= budget <= most:
            raise Refused(
                f"The thinking budget {budget} is invalid. Please choose a value between {least} and {most}."
            )


def _check_shape(contents: Sequence[Mapping[str, Any]]) -> None:
    for content in contents:
        _known(content, "content")
        if content.get("role") not in ("user", "model"):
            raise Refused("Please use a valid role: user, model.")
        if not content.get("parts"):
            raise Refused("GenerateContentRequest.contents.parts must not be empty.")
        for part in content["parts"]:
            _known(part, "part")
            kinds = [
                name for name in ("text", "functionCall", "functionResponse", "inlineData") if name in part
            ]
            if len(kinds) != 1:
                raise Refused("required oneof field 'data' must have one initialized field")
            if kinds[0] != "text":
                _known(part[kinds[0]], kinds[0])


def _check_turns(contents: Sequence[Mapping[str, Any]]) -> None:
    before: Mapping[str, Any] | None = None
    for content in [*contents, None]:
        asked = _all(before, "functionCall")
        given = _all(content, "functionResponse")
        if asked and content is None:
            raise Refused("Please ensure that function call turn is followed by a function response turn.")
        if len(asked) != len(given):
            raise Refused(
                "Please ensure that the number of function response parts is equal to the number of "
                "function call parts of the function call turn."
            )
        if sorted(one["name"] for one in asked) != sorted(one["name"] for one in given):
            raise Refused("Please ensure that function responses are named as their calls.")
        if {one.get("id") for one in asked} != {one.get("id") for one in given}:
            raise Refused("Please ensure that function responses have the ids of their calls.")
        if any(not isinstance(one["response"], dict) for one in given):
            raise Refused("functionResponse.response is not an object.")
        calls_now = _all(content, "functionCall")
        if calls_now and (before is None or before["role"] != "user"):
            raise Refused(
                "Please ensure that function call turn comes immediately after a user turn or after a "
                "function response turn."
            )
        if calls_now and content is not None and content["role"] != "model":
            raise Refused("Please ensure that function calls are the model's.")
        before = content


def _check_signatures(contents: Sequence[Mapping[str, Any]], model: str) -> None:
    asked = [number for number, content in enumerate(contents) if _begins_a_turn(content)]
    for number, content in enumerate(contents):
        calls = [part for part in content["parts"] if "functionCall" in part]
        if (
            calls
            and model in LEVELS
            and asked
            and number > asked[-1]
            and not calls[0].get("thoughtSignature")
        ):
            name = calls[0]["functionCall"]["name"]
            raise Refused(
                "Function call is missing a thought_signature in functionCall parts. This is required for "
                "tools to work correctly, and missing thought_signature may lead to degraded model "
                f"performance. Additional data, function call `default_api:{name}` , position {number + 1}."
            )
        for part in content["parts"]:
            given = part.get("thoughtSignature")
            if given is None:
                continue
            if given == SENTINEL:
                if model not in LEVELS or not calls or part is not calls[0]:
                    raise Refused("Invalid thought signature.")
            elif given != signature(model, part):
                raise Refused("Corrupted thought signature.")


def _begins_a_turn(content: Mapping[str, Any]) -> bool:
    """Whether a content is what a person says, not the results of calls."""
    return content["role"] == "user" and not _all(content, "functionResponse")


def _all(content: Mapping[str, Any] | None, kind: str) -> list[dict[str, Any]]:
    return [part[kind] for part in content["parts"] if kind in part] if content is not None else []


def _document(model: str, parts: Sequence[Mapping[str, Any]], finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": list(parts)}}
    document: dict[str, Any] = {"candidates": [candidate], "modelVersion": model, "responseId": "r1"}
    if finish is not None:
        candidate["finishReason"] = finish
        document["usageMetadata"] = {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 40,
            "candidatesTokenCount": 10,
            "thoughtsTokenCount": 30,
            "totalTokenCount": 140,
        }
    return document


async def _streamed(
    request: web.Request, model: str, parts: Sequence[Mapping[str, Any]]
) -> web.StreamResponse:
    """Send a reply in one chunk per part, texts in two, the reason of the end with the last."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    pieces = [piece for part in parts for piece in _halves(part)]
    for number, piece in enumerate(pieces, start=1):
        document = _document(model, [piece], "STOP" if number == len(pieces) else None)
        await response.write(b"data: " + orjson.dumps(document) + b"\r\n\r\n")
    await response.write_eof()
    return response


def _halves(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    text = part.get("text", "")
    if len(text) < 2 or "thoughtSignature" in part:
        return [part]
    middle = len(text) // 2
    return [{**part, "text": text[:middle]}, {**part, "text": text[middle:]}]

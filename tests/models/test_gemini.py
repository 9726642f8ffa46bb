"""What `GeminiModel` sends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import orjson
import pytest

from harness.errors import ContextOverflow, ModelRejected, UsageError
from harness.messages import (
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
    assistant,
    system,
    tool,
    user,
)
from harness.models.endpoint import Endpoint
from harness.models.gemini import UNSIGNED, GeminiModel
from harness.models.port import CallOptions, ModelResponse, settings_of
from harness.models.profiles import profile_of
from harness.models.thinking import Thinking, ThinkingUnsupported
from tests.models.asking import SEARCH, answered, ignore
from tests.models.server import FaultServer, answer, event_stream, fault_server

pytestmark = pytest.mark.anyio

FLASH, OLD = "gemini-3-flash-preview", "gemini-2.5-flash"
SEARCH_ON_THE_WIRE = {
    "name": "corpus__search",
    "description": "Find passages.",
    "parametersJsonSchema": SEARCH.parameters,
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")


def reply(*parts: dict[str, Any], finish: str = "STOP", **fields: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": list(parts) or [{"text": "fine"}]}
    return {
        "candidates": [{"content": content, "finishReason": finish, "index": 0}],
        "modelVersion": "gemini-x-001",
        "responseId": "r1",
        **fields,
    }


@asynccontextmanager
async def model_at(base_url: str, model: str = FLASH, **settings: Any) -> AsyncGenerator[GeminiModel]:
    told: dict[str, Any] = {
        "api_key": "AIza-secret-key",
        "retries": 0,
        "profile": profile_of(model),
        **settings,
    }
    opened = GeminiModel(Endpoint(model=model, base_url=base_url, **told))
    try:
        yield opened
    finally:
        await opened.close()


async def ask(
    server: FaultServer,
    *messages: Message,
    tools: Sequence[ToolDefinition] = (),
    options: CallOptions | None = None,
    **settings: Any,
) -> ModelResponse:
    async with model_at(server.base_url, **settings) as model:
        return await answered(model, messages, tools, options)


async def sent(*messages: Message, **settings: Any) -> Any:
    """Return the body of the request."""
    async with fault_server(answer(reply())) as server:
        await ask(server, *messages, **settings)
    return server.requests[0].json


def bound(payload: str, *, model: str = FLASH, route: str = "gcp.gemini@127.0.0.1") -> Reasoning:
    return Reasoning("", "gcp.gemini", model, payload, route)


async def test_a_request_holds_the_whole_conversation():
    body = await sent(
        system("Be brief."),
        user("What is this?", Image("QUJD", "image/jpeg")),
        Message(
            "assistant",
            (
                Reasoning("It is a picture.", "gcp.gemini", FLASH, route="gcp.gemini@127.0.0.1"),
                Text("I look."),
                bound('{"thoughtSignature":"c2ln"}'),
                ToolCall("c1", "corpus.search", '{"query": "pictures"}'),
                ToolCall("c2", "corpus.search", ""),
            ),
        ),
        tool(ToolResult("c1", "seen", images=(Image("REVG"),))),
        tool(ToolResult("c2", "query is missing", is_error=True)),
        user("Well?"),
        tools=[SEARCH],
        options=CallOptions(tool_choice="required", max_tokens=100, thinking=Thinking("on", "high")),
        temperature=0.5,
        extra={"safetySettings": [], "generationConfig": {"topP": 0.9}},
    )

    assert body == {
        "tools": [{"functionDeclarations": [SEARCH_ON_THE_WIRE]}],
        "safetySettings": [],
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is this?"},
                    {"inlineData": {"mimeType": "image/jpeg", "data": "QUJD"}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "I look."},
                    {
                        "functionCall": {"id": "c1", "name": "corpus__search", "args": {"query": "pictures"}},
                        "thoughtSignature": "c2ln",
                    },
                    {"functionCall": {"id": "c2", "name": "corpus__search", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "id": "c1",
                            "name": "corpus__search",
                            "response": {"output": "seen"},
                            "parts": [{"inlineData": {"mimeType": "image/png", "data": "REVG"}}],
                        }
                    },
                    {
                        "functionResponse": {
                            "id": "c2",
                            "name": "corpus__search",
                            "response": {"error": "query is missing"},
                        }
                    },
                ],
            },
            {"role": "user", "parts": [{"text": "Well?"}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {
            "temperature": 0.5,
            "maxOutputTokens": 100,
            "topP": 0.9,
            "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True},
        },
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    }


@pytest.mark.parametrize(("choice", "mode"), [("auto", None), ("required", "ANY"), ("none", "NONE")])
async def test_the_choice_of_tools(choice: Literal["auto", "required", "none"], mode: str | None):
    body = await sent(user("Go."), tools=[SEARCH], options=CallOptions(choice))
    assert body.get("toolConfig") == ({"functionCallingConfig": {"mode": mode}} if mode else None)
    assert "toolConfig" not in await sent(user("Go."), options=CallOptions(choice))


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (FLASH, f"/v1/models/{FLASH}"),
        (f"models/{FLASH}", f"/v1/models/{FLASH}"),
        ("tunedModels/x", "/v1/tunedModels/x"),
    ],
)
async def test_where_a_request_goes_and_with_which_key(model: str, target: str):
    async with fault_server(
        answer(reply()), event_stream(b"data: " + orjson.dumps(reply()) + b"\r\n\r\n")
    ) as server:
        await ask(server, user("Go."), model=model)
        await ask(server, user("Go."), model=model, stream=True)

    assert [one.target for one in server.requests] == [
        f"{target}:generateContent",
        f"{target}:streamGenerateContent?alt=sse",
    ]
    assert {one.headers["x-goog-api-key"] for one in server.requests} == {"AIza-secret-key"}


def test_the_official_address_is_used_where_none_is_given():
    model = GeminiModel(Endpoint(model=FLASH, api_key="k"))
    assert (
        model.place
        == f"{FLASH} at https://generativelanguage.googleapis.com/v1beta/models/{FLASH}:generateContent"
    )
    assert model.route == "gcp.gemini@generativelanguage.googleapis.com"


async def test_images_of_results_stand_beside_them_where_a_result_cannot_hold_any():
    body = await sent(
        user("Go."),
        assistant("", ToolCall("c1", "corpus.search", "{}"), ToolCall("c2", "corpus.search", "{}")),
        tool(ToolResult("c1", "one", images=(Image("QQ=="),))),
        tool(ToolResult("c2", "two")),
        model=OLD,
    )
    assert [next(iter(part)) for part in body["contents"][-1]["parts"]] == [
        "functionResponse",
        "functionResponse",
        "text",
        "inlineData",
    ]


async def test_ids_that_the_endpoint_did_not_give_are_not_told_to_it():
    call = {"functionCall": {"name": "corpus__search", "args": {"query": "x"}}}
    async with (
        fault_server(answer(reply(call, call)), answer(reply())) as server,
        model_at(server.base_url) as model,
    ):
        transcript = model.open([SEARCH])
        transcript.append(user("Go."))
        response = await model.respond(transcript, CallOptions(), ignore)
        transcript.append(response.message)
        for made in response.message.tool_calls:
            transcript.append(tool(ToolResult(made.id, "found")))
        await model.respond(transcript, CallOptions(), ignore)

    assert len({made.id for made in response.message.tool_calls}) == 2
    contents = server.requests[1].json["contents"]
    assert contents[1]["parts"] == [{**call, "thoughtSignature": UNSIGNED}, call]
    assert (
        contents[2]["parts"]
        == [{"functionResponse": {"name": "corpus__search", "response": {"output": "found"}}}] * 2
    )


async def test_arguments_that_are_no_object_go_back_within_one():
    body = await sent(
        user("Go."),
        assistant("", ToolCall("a", "corpus.search", '{"query": '), ToolCall("b", "corpus.search", "[1]")),
        tool(ToolResult("a", "bad", is_error=True)),
        tool(ToolResult("b", "bad", is_error=True)),
    )
    calls = [part["functionCall"]["args"] for part in body["contents"][1]["parts"]]
    assert calls == [{"arguments": '{"query": '}, {"arguments": [1]}]


TEXT_SIGNATURE = '{"text":"","thoughtSignature":"ZW5k"}'


@pytest.mark.parametrize(
    ("parts", "encoded"),
    [
        (
            (bound('{"thoughtSignature":"YQ=="}'), Text("Yes.")),
            [{"text": "Yes.", "thoughtSignature": "YQ=="}],
        ),
        ((Text("Yes."), bound(TEXT_SIGNATURE)), [{"text": "Yes."}, orjson.loads(TEXT_SIGNATURE)]),
        ((Text("Yes."), bound(TEXT_SIGNATURE, model="gemini-3-pro-preview")), [{"text": "Yes."}]),
        (
            (bound('{"thoughtSignature":"YQ=="}', route="gcp.gemini@elsewhere"), Text("Yes.")),
            [{"text": "Yes."}],
        ),
        ((Text("No"), bound('{"thoughtSignature":"YQ=="}')), [{"text": "No"}]),
    ],
)
async def test_a_signature_goes_back_on_its_own_part_or_not_at_all(
    parts: tuple[Any, ...], encoded: list[dict[str, Any]]
):
    body = await sent(user("Sure?"), Message("assistant", parts), user("Really?"))
    assert body["contents"][1] == {"role": "model", "parts": encoded}


async def test_a_reply_of_nothing_that_can_be_sent_is_left_out():
    thought = Reasoning("Hm.", "gcp.gemini", FLASH, route="gcp.gemini@127.0.0.1")
    body = await sent(user("Sure?"), Message("assistant", (thought,)), user("Really?"))
    assert [content["role"] for content in body["contents"]] == ["user", "user"]


async def test_instructions_that_come_later_are_said_by_the_user():
    body = await sent(system("One."), system("Two."), user("Go."), system("Three."))
    assert body["systemInstruction"] == {"parts": [{"text": "One."}, {"text": "Two."}]}
    assert body["contents"][1] == {"role": "user", "parts": [{"text": "Three."}]}


PLACE = {"type": "object", "properties": {"x": {"type": "integer"}}}
TREE = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}
LADDER = {f"n{n}": {"properties": {side: {"$ref": f"#/$defs/n{n + 1}"} for side in "ab"}} for n in range(40)}


@pytest.mark.parametrize(
    ("schema", "on_the_wire"),
    [
        (
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "properties": {
                    "at": {"$ref": "#/definitions/Place", "title": "Where", "type": "object"},
                    "through": {"items": {"$ref": "#/properties/at"}},
                },
                "definitions": {"Place": PLACE},
            },
            {
                "properties": {
                    "at": {**PLACE, "title": "Where"},
                    "through": {"items": {**PLACE, "title": "Where"}},
                }
            },
        ),
        (
            {"properties": {"tree": {"$ref": "#/$defs/Tree"}}, "$defs": {"Tree": TREE}},
            {"properties": {"tree": TREE}, "$defs": {"Tree": TREE}},
        ),
        ({"properties": {"$ref": {"type": "string"}}}, {"properties": {"$ref": {"type": "string"}}}),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, {"properties": {"a": {"$ref": "#/nowhere"}}}),
        (
            {"properties": {"a": {"$ref": "#/$defs/n0"}}, "$defs": LADDER},
            {"properties": {"a": {"$ref": "#/$defs/n0"}}, "$defs": LADDER},
        ),
    ],
    ids=["references", "cycle", "no reference", "dangling", "too much"],
)
async def test_references_in_schemas_are_replaced_by_what_they_refer_to(
    schema: dict[str, Any], on_the_wire: dict[str, Any]
):
    body = await sent(user("Go."), tools=[ToolDefinition("corpus.search", "Find.", schema)])
    assert body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == on_the_wire


SHOWN = {"includeThoughts": True}


@pytest.mark.parametrize(
    ("model", "thinking", "config", "enforcement"),
    [
        ("gemini-2.5-flash", Thinking("off"), {"thinkingBudget": 0}, "hard"),
        ("gemini-2.5-flash", Thinking("on"), {"thinkingBudget": -1, **SHOWN}, "soft"),
        ("gemini-2.5-flash", Thinking("on", budget=4000), {"thinkingBudget": 4000, **SHOWN}, "soft"),
        ("gemini-2.5-flash", Thinking("on", "low"), {"thinkingBudget": 2048, **SHOWN}, "soft"),
        ("gemini-2.5-flash", Thinking("on", "max"), {"thinkingBudget": 24576, **SHOWN}, "soft"),
        ("gemini-2.5-flash", Thinking("on", "low", visible="hidden"), {"thinkingBudget": 2048}, "soft"),
        ("gemini-2.5-flash-lite", Thinking("on", budget=512), {"thinkingBudget": 512, **SHOWN}, "soft"),
        ("gemini-2.5-pro", Thinking("on", budget=128), {"thinkingBudget": 128, **SHOWN}, "soft"),
        ("gemini-3-flash-preview", Thinking("on"), SHOWN, "soft"),
        ("gemini-3-pro-preview", Thinking("on"), SHOWN, "soft"),
        ("gemini-3-flash-preview", Thinking("on", "minimal"), {"thinkingLevel": "MINIMAL", **SHOWN}, "soft"),
        ("gemini-3-pro-preview", Thinking("on", "high"), {"thinkingLevel": "HIGH", **SHOWN}, "soft"),
        (
            "gemini-3.1-pro-preview",
            Thinking("on", "high", visible="hidden"),
            {"thinkingLevel": "HIGH"},
            "soft",
        ),
        ("gemini-9-unheard-of", Thinking("on", "low"), {"thinkingLevel": "LOW", **SHOWN}, "soft"),
        ("somebodys-model", Thinking("on", budget=50_000), {"thinkingBudget": 50_000, **SHOWN}, "soft"),
        ("gemini-2.0-flash", Thinking("off"), None, "hard"),
    ],
)
async def test_thinking_in_the_words_of_each_family(
    model: str, thinking: Thinking, config: dict[str, Any] | None, enforcement: str
):
    body = await sent(user("Go."), model=model, options=CallOptions(thinking=thinking))
    async with model_at("http://127.0.0.1:9/v1", model) as asked:
        plan = asked.plan_thinking(thinking)

    assert body.get("generationConfig") == ({"thinkingConfig": config} if config else None)
    assert plan.enforcement == enforcement
    assert plan.reason


@pytest.mark.parametrize(
    ("model", "thinking", "config", "enforcement", "words"),
    [
        (
            "gemini-2.5-flash",
            Thinking("on", budget=50_000),
            {"thinkingBudget": 24576, **SHOWN},
            "soft",
            "24,576",
        ),
        ("gemini-2.5-flash-lite", Thinking("on", budget=100), {"thinkingBudget": 0}, "hard", "512"),
        ("gemini-2.5-pro", Thinking("on", budget=1), {"thinkingBudget": 128, **SHOWN}, "soft", "128"),
        ("gemini-2.5-pro", Thinking("off"), {"thinkingBudget": 128}, "soft", "always"),
        ("gemini-3-flash-preview", Thinking("off"), {"thinkingLevel": "MINIMAL"}, "soft", "always"),
        (
            "gemini-3-flash-preview",
            Thinking("on", "max"),
            {"thinkingLevel": "HIGH", **SHOWN},
            "soft",
            "not max",
        ),
        (
            "gemini-3-flash-preview",
            Thinking("on", budget=2500),
            {"thinkingLevel": "LOW", **SHOWN},
            "soft",
            "no budget",
        ),
        ("gemini-2.0-flash", Thinking("on"), None, "ignored", "never"),
    ],
)
async def test_what_a_family_cannot_be_told_is_refused_or_comes_nearest(
    model: str, thinking: Thinking, config: dict[str, Any] | None, enforcement: str, words: str
):
    async with model_at("http://127.0.0.1:9/v1", model) as asked:
        with pytest.raises(ThinkingUnsupported, match=words):
            asked.plan_thinking(thinking)
        plan = asked.plan_thinking(replace(thinking, allow_degraded=True))

    assert plan.fields == ({"generationConfig": {"thinkingConfig": config}} if config else {})
    assert (plan.enforcement, words in plan.reason) == (enforcement, True)


async def test_a_level_never_goes_with_a_budget_of_the_extra_fields():
    extra = {"generationConfig": {"thinkingConfig": {"thinkingBudget": 5}, "seed": 1}}
    asked = await sent(user("Go."), extra=extra, options=CallOptions(thinking=Thinking("on", "low")))
    unasked = await sent(user("Go."), extra=extra)

    assert asked["generationConfig"] == {"seed": 1, "thinkingConfig": {"thinkingLevel": "LOW", **SHOWN}}
    assert unasked["generationConfig"] == extra["generationConfig"]


async def test_extra_fields_may_take_out_what_would_be_sent_and_not_what_the_conversation_is():
    body = await sent(
        user("Go."),
        max_tokens=5,
        extra={"generationConfig": {"maxOutputTokens": None}, "serviceTier": "flex"},
    )
    assert body == {"serviceTier": "flex", "contents": [{"role": "user", "parts": [{"text": "Go."}]}]}
    with pytest.raises(UsageError, match="contents"):
        GeminiModel(Endpoint(model=FLASH, extra={"contents": []}))


async def test_a_trace_is_told_how_the_model_is_asked():
    config = {"topP": 0.5, "stopSequences": ["x"], "thinkingConfig": {"thinkingLevel": "LOW"}}
    async with model_at(
        "http://127.0.0.1:9/v1", temperature=1.0, max_tokens=7, extra={"generationConfig": config}
    ) as model:
        assert settings_of(model) == {
            "address": "127.0.0.1",
            "port": 9,
            "temperature": 1.0,
            "max_tokens": 7,
            "top_p": 0.5,
            "stop": ["x"],
            "reasoning": "LOW",
        }


def test_what_is_asked_of_another_model_has_another_digest():
    digests = {
        GeminiModel(Endpoint(model=model, temperature=temperature)).open([SEARCH]).digest()
        for model in (FLASH, OLD)
        for temperature in (None, 0.5)
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (
            400,
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            ContextOverflow,
        ),
        (400, "Function call is missing a thought_signature in functionCall parts.", ModelRejected),
        (403, "Permission denied.", ModelRejected),
    ],
)
async def test_what_the_endpoint_refuses(status: int, message: str, error: type[Exception]):
    refusal = {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}
    async with fault_server(answer(refusal, status=status)) as server:
        with pytest.raises(error, match=message.split(" (")[0]):
            await ask(server, user("Go."))

"""What each server is told about thinking: the fields of the body that arrive, from one portable setting.

The table is to be read along a server's rows; a row that ends in a text is refused with it, unless less may be
asked for. `as nearest` is the budget with `allow_degraded: true`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from harness.messages import user
from harness.models.dialects import NAMES, dialect
from harness.models.port import CallOptions
from harness.models.profiles import UNKNOWN, Profile
from harness.models.thinking import Thinking, ThinkingOptions, ThinkingUnsupported
from harness.team.model_specs import Dialect, ThinkingSpec, as_thinking
from tests.models.server import answer, event_stream, fault_server
from tests.models.test_openai_chat import ask, reply

pytestmark = pytest.mark.anyio

SETTINGS: dict[str, Any] = {
    "off": "off",
    "on": "on",
    "low": {"effort": "low"},
    "high": {"effort": "high"},
    "4k": {"budget": "4k"},
    "as nearest": {"budget": "4k", "allow_degraded": True},
    "4k, high": {"budget": "4k", "effort": "high"},
}

FAMILIES: dict[str, Profile] = {
    "unknown": UNKNOWN,
    "qwen3": Profile("qwen3", thinking=ThinkingOptions(toggle=True, budget=(0, 38_912))),
    "qwen3 thinking": Profile(
        "qwen3-2507-thinking", thinking=ThinkingOptions(always=True, budget=(0, 81_920))
    ),
    "qwen3 instruct": Profile("qwen3-2507-instruct", thinking=ThinkingOptions(never=True)),
    "qwen3.8": Profile(
        "qwen3.8", thinking=ThinkingOptions(toggle=True, efforts=("low", "xhigh"), budget=(0, 262_144))
    ),
    "qwen3.6": Profile(
        "qwen3.6", thinking=ThinkingOptions(toggle=True), preserve={"preserve_thinking": True}
    ),
    "glm": Profile("glm-5", thinking=ThinkingOptions(toggle=True), preserve={"clear_thinking": False}),
    "deepseek": Profile("deepseek-v4", thinking=ThinkingOptions(toggle=True, efforts=("low", "high", "max"))),
    "kimi": Profile("kimi-k2.6", thinking=ThinkingOptions(toggle=True)),
    "kimi k3": Profile("kimi-k3", thinking=ThinkingOptions(always=True, efforts=("low", "high", "max"))),
    "gpt-5": Profile(
        "gpt-5", thinking=ThinkingOptions(always=True, efforts=("minimal", "low", "medium", "high"))
    ),
    "gpt-5.2": Profile("gpt-5.2", thinking=ThinkingOptions(efforts=("low", "medium", "high", "xhigh"))),
    "gpt-oss": Profile("gpt-oss", thinking=ThinkingOptions(always=True, efforts=("low", "medium", "high"))),
}

OFF, ON = (
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"chat_template_kwargs": {"enable_thinking": True}},
)
DEEP_OFF, DEEP_ON = {"thinking": {"type": "disabled"}}, {"thinking": {"type": "enabled"}}
LLAMA_LAST_WORDS = "\n\nConsidering the limited time by the user, I have to give the solution based on the thinking directly now.\n"
LLAMA_4K = {
    "reasoning_budget_tokens": 4_000,
    "thinking_budget_tokens": 4_000,
    "reasoning_budget_message": LLAMA_LAST_WORDS,
}
ALWAYS = "qwen3-2507-thinking thinks always"
NEVER = "qwen3-2507-instruct never thinks"


def effort(word: str) -> dict[str, Any]:
    return {"reasoning_effort": word}


def kwargs(**switches: Any) -> dict[str, Any]:
    return {"chat_template_kwargs": switches}


TABLE: dict[tuple[Dialect, str], dict[str, Any]] = {
    ("openai", "gpt-5.2"): {
        "off": (effort("none"), "hard"),
        "on": (effort("medium"), "soft"),
        "low": (effort("low"), "soft"),
        "high": (effort("high"), "soft"),
        "4k": "OpenAI Chat has no budget in tokens, only an effort",
        "as nearest": (effort("low"), "soft"),
        "4k, high": "OpenAI Chat has no budget in tokens, only an effort",
    },
    ("openai", "gpt-5"): {
        "off": "gpt-5 thinks always",
        "high": (effort("high"), "soft"),
    },
    ("vllm", "qwen3"): {
        "off": (OFF, "hard"),
        "on": (ON, "soft"),
        "low": ({**ON, "thinking_token_budget": 2_048}, "hard"),
        "high": ({**ON, "thinking_token_budget": 16_384}, "hard"),
        "4k": ({**ON, "thinking_token_budget": 4_000}, "hard"),
        "as nearest": ({**ON, "thinking_token_budget": 4_000}, "hard"),
        "4k, high": ({**ON, "thinking_token_budget": 4_000}, "hard"),
    },
    ("vllm", "unknown"): {"off": (OFF, "soft"), "on": (ON, "soft")},
    ("vllm", "qwen3 thinking"): {
        "off": ALWAYS,
        "on": ({}, "soft"),
        "4k": ({"thinking_token_budget": 4_000}, "hard"),
    },
    ("vllm", "qwen3 instruct"): {"off": ({}, "hard"), "on": NEVER, "high": NEVER, "4k": NEVER, "as nearest": ({}, "ignored")},
    ("vllm", "qwen3.6"): {"off": (OFF, "hard"), "on": (kwargs(enable_thinking=True, preserve_thinking=True), "soft")},
    ("vllm", "deepseek"): {
        "off": (kwargs(thinking=False), "hard"),
        "high": ({**kwargs(thinking=True), **effort("high")}, "soft"),
        "4k": ({**kwargs(thinking=True), "thinking_token_budget": 4_000}, "hard"),
    },
    ("vllm", "qwen3.8"): {"high": ({**ON, "thinking_token_budget": 16_384}, "hard")},
    ("vllm", "gpt-oss"): {"off": "gpt-oss thinks always", "low": (effort("low"), "soft")},
    ("sglang", "qwen3"): {
        "off": (OFF, "hard"),
        "on": (ON, "soft"),
        "low": (kwargs(enable_thinking=True, thinking_budget=2_048), "soft"),
        "high": (kwargs(enable_thinking=True, thinking_budget=16_384), "soft"),
        "4k": (kwargs(enable_thinking=True, thinking_budget=4_000), "soft"),
        "as nearest": (kwargs(enable_thinking=True, thinking_budget=4_000), "soft"),
    },
    ("sglang", "glm"): {"on": (kwargs(enable_thinking=True, clear_thinking=False), "soft")},
    ("llama.cpp", "qwen3"): {
        "off": (OFF, "hard"),
        "on": (ON, "soft"),
        "low": ({**ON, **LLAMA_4K, "reasoning_budget_tokens": 2_048, "thinking_budget_tokens": 2_048}, "hard"),
        "high": ({**ON, **LLAMA_4K, "reasoning_budget_tokens": 16_384, "thinking_budget_tokens": 16_384}, "hard"),
        "4k": ({**ON, **LLAMA_4K}, "hard"),
        "as nearest": ({**ON, **LLAMA_4K}, "hard"),
    },
    ("ollama", "qwen3"): {
        "off": (effort("none"), "hard"),
        "on": (effort("medium"), "soft"),
        "low": (effort("low"), "soft"),
        "high": (effort("high"), "soft"),
        "4k": "Ollama has no budget in tokens, only an effort",
        "as nearest": (effort("low"), "soft"),
    },
    ("ollama", "gpt-oss"): {"off": "gpt-oss thinks always", "high": (effort("high"), "soft")},
    ("transformers", "qwen3"): {
        "off": (OFF, "hard"),
        "on": (ON, "soft"),
        "low": "transformers serve knows no effort here, only on and off",
        "high": "transformers serve knows no effort here, only on and off",
        "4k": "transformers serve has no budget in tokens",
        "as nearest": (ON, "soft"),
    },
    ("dashscope", "qwen3"): {
        "off": ({"enable_thinking": False}, "hard"),
        "on": ({"enable_thinking": True}, "soft"),
        "low": ({"enable_thinking": True, "thinking_budget": 2_048}, "hard"),
        "high": ({"enable_thinking": True, "thinking_budget": 16_384}, "hard"),
        "4k": ({"enable_thinking": True, "thinking_budget": 4_000}, "hard"),
        "as nearest": ({"enable_thinking": True, "thinking_budget": 4_000}, "hard"),
        "4k, high": ({"enable_thinking": True, "thinking_budget": 4_000}, "hard"),
    },
    ("dashscope", "qwen3 thinking"): {"off": ALWAYS, "4k": ({"thinking_budget": 4_000}, "hard")},
    ("dashscope", "qwen3.6"): {"on": ({"enable_thinking": True, "preserve_thinking": True}, "soft")},
    ("dashscope", "qwen3.8"): {
        "low": ({"enable_thinking": True, **effort("low")}, "soft"),
        "high": ({"enable_thinking": True, "thinking_budget": 16_384}, "hard"),
    },
    ("dashscope", "deepseek"): {
        "low": ({"enable_thinking": True, **effort("low")}, "soft"),
        "4k": ({"enable_thinking": True, "thinking_budget": 4_000}, "hard"),
        "4k, high": "DashScope takes a budget or an effort, not both",
    },
    ("deepseek", "deepseek"): {
        "off": (DEEP_OFF, "hard"),
        "on": (DEEP_ON, "soft"),
        "low": ({**DEEP_ON, **effort("low")}, "soft"),
        "high": ({**DEEP_ON, **effort("high")}, "soft"),
        "4k": "DeepSeek has no budget in tokens, only an effort",
        "as nearest": ({**DEEP_ON, **effort("low")}, "soft"),
    },
    ("deepseek", "glm"): {"on": ({"thinking": {"type": "enabled", "clear_thinking": False}}, "soft")},
    ("kimi", "kimi"): {
        "off": (DEEP_OFF, "hard"),
        "on": (DEEP_ON, "soft"),
        "low": "Kimi knows no effort here, only on and off",
        "high": "Kimi knows no effort here, only on and off",
        "4k": "Kimi has no budget in tokens",
        "as nearest": (DEEP_ON, "soft"),
    },
    ("kimi", "kimi k3"): {"off": "kimi-k3 thinks always", "on": ({}, "soft"), "high": (effort("high"), "soft")},
    ("zai", "kimi"): {
        "off": (DEEP_OFF, "hard"),
        "on": (DEEP_ON, "soft"),
        "low": "Z.ai knows no effort here, only on and off",
        "high": "Z.ai knows no effort here, only on and off",
        "4k": "Z.ai has no budget in tokens",
        "as nearest": (DEEP_ON, "soft"),
    },
    ("openrouter", "qwen3"): {
        "off": ({"reasoning": {"effort": "none"}}, "hard"),
        "on": ({"reasoning": {"enabled": True}}, "soft"),
        "low": ({"reasoning": {"effort": "low"}}, "soft"),
        "high": ({"reasoning": {"effort": "high"}}, "soft"),
        "4k": ({"reasoning": {"max_tokens": 4_000}}, "soft"),
        "as nearest": ({"reasoning": {"max_tokens": 4_000}}, "soft"),
        "4k, high": "OpenRouter takes a budget or an effort, not both",
    },
    ("openrouter", "glm"): {
        "high": (
            {"reasoning": {"effort": "high"}, "thinking": {"type": "enabled", "clear_thinking": False}},
            "soft",
        ),
    },
    ("litellm", "unknown"): {
        "off": (effort("none"), "soft"),
        "on": (effort("medium"), "soft"),
        "low": (effort("low"), "soft"),
        "high": (effort("high"), "soft"),
        "4k": ({"thinking": {"type": "enabled", "budget_tokens": 4_000}}, "soft"),
        "as nearest": ({"thinking": {"type": "enabled", "budget_tokens": 4_000}}, "soft"),
        "4k, high": "LiteLLM takes a budget or an effort, not both",
    },
}  # fmt: skip


def refusal_of(name: Dialect, family: str, setting: str) -> str:
    """Return why this is refused; nothing if it is not."""
    expected = TABLE[name, family][setting]
    return expected if isinstance(expected, str) else ""


ROWS: list[tuple[Dialect, str, str]] = [
    (name, family, setting) for (name, family), row in TABLE.items() for setting in row
]


def asked(setting: str) -> Thinking:
    """Return a team file's setting as the models get it."""
    spec = ThinkingSpec.model_validate(as_thinking(SETTINGS[setting]))
    assert spec.mode != "auto"
    return Thinking(spec.mode, spec.effort, spec.budget, spec.visible, spec.allow_degraded)


async def body(thinking: Thinking | None, **settings: Any) -> dict[str, Any]:
    """Return the body that arrives, without what every request has."""
    async with fault_server(answer(reply())) as server:
        await ask(server, user("x"), options=CallOptions(thinking=thinking), **settings)
    sent: dict[str, Any] = server.requests[0].json
    return {
        name: value
        for name, value in sent.items()
        if name not in ("model", "stream", "stream_options", "messages")
    }


@pytest.mark.parametrize(("name", "family", "setting"), [row for row in ROWS if not refusal_of(*row)])
async def test_a_server_is_told_of_thinking_in_its_own_words(name: Dialect, family: str, setting: str):
    (fields, enforcement), thinking = TABLE[name, family][setting], asked(setting)

    assert await body(thinking, dialect=name, profile=FAMILIES[family]) == fields
    plan = dialect(name).plan(thinking, FAMILIES[family])
    assert (plan.fields, plan.enforcement) == (fields, enforcement)
    assert plan.reason


@pytest.mark.parametrize(("name", "family", "setting"), [row for row in ROWS if refusal_of(*row)])
def test_what_a_server_has_no_words_for_is_refused_with_the_reason(name: Dialect, family: str, setting: str):
    with pytest.raises(ThinkingUnsupported) as refused:
        dialect(name).plan(asked(setting), FAMILIES[family])

    reason = f"{refusal_of(name, family, setting)}; set allow_degraded: true to do what comes nearest"
    assert str(refused.value) == reason


async def test_nothing_is_sent_of_what_is_refused():
    async with fault_server() as server:
        for setting in ("4k", "off"):
            with pytest.raises(ThinkingUnsupported):
                await ask(
                    server,
                    user("x"),
                    dialect="openai",
                    profile=FAMILIES["gpt-5"],
                    options=CallOptions(thinking=asked(setting)),
                )

    assert server.requests == []


@pytest.mark.parametrize(("name", "family", "setting"), ROWS)
def test_what_is_refused_is_done_as_near_as_can_be_where_that_is_allowed(
    name: Dialect, family: str, setting: str
):
    plan = dialect(name).plan(replace(asked(setting), allow_degraded=True), FAMILIES[family])

    if expected := refusal_of(name, family, setting):
        assert expected in plan.reason
        assert (
            plan.enforcement in ("soft", "hard") or plan.reason == f"{FAMILIES[family].family} never thinks"
        )


def test_every_dialect_of_a_team_file_is_in_the_table():
    names = set(get_args(Dialect))

    assert names == set(NAMES)
    assert names == {name for name, _ in TABLE}
    for name in names:
        settings = {setting for row, setting in ((n, s) for n, _, s in ROWS) if row == name}
        assert settings >= SETTINGS.keys() - {"4k, high"}


async def test_where_nothing_is_said_of_thinking_nothing_is_sent():
    for name in NAMES:
        assert await body(None, dialect=name, profile=FAMILIES["qwen3"]) == {}


async def test_a_teams_own_fields_are_kept_beside_those_of_thinking_and_none_is_sent_twice():
    extra = {"chat_template_kwargs": {"tone": "dry"}, "reasoning_effort": None, "seed": 7}
    async with fault_server(answer(reply()), answer(reply())) as server:
        options = CallOptions(thinking=Thinking("on", effort="low"))
        await ask(
            server, user("x"), dialect="vllm", profile=FAMILIES["gpt-oss"], extra=extra, options=options
        )
        options = CallOptions(thinking=Thinking("off"))
        await ask(server, user("x"), dialect="vllm", profile=FAMILIES["qwen3"], extra=extra, options=options)

    first, second = (request.json for request in server.requests)
    assert (first["chat_template_kwargs"], first["seed"]) == ({"tone": "dry"}, 7)
    assert "reasoning_effort" not in first
    assert second["chat_template_kwargs"] == {"tone": "dry", "enable_thinking": False}
    assert server.requests[1].body.count(b"chat_template_kwargs") == 1


SAMPLES = {
    "on": {"temperature": 0.6, "top_p": 0.95, "top_k": 20},
    "off": {"temperature": 0.7, "top_p": 0.8, "top_k": 20},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["on", "off"])
async def test_qwen_is_sampled_as_the_mode_wants_it_as_far_as_the_server_hears(name: str, mode: Any):
    profile = replace(FAMILIES["qwen3"], sampling=SAMPLES)

    sent = await body(Thinking(mode), dialect=name, profile=profile)

    top_k = (
        {"top_k": 20}
        if name not in ("openai", "ollama", "transformers", "deepseek", "kimi", "litellm", "zai")
        else {}
    )
    sampled = {key: value for key, value in sent.items() if key in SAMPLES["on"]}
    assert sampled == {"temperature": SAMPLES[mode]["temperature"], "top_p": SAMPLES[mode]["top_p"], **top_k}


async def test_a_model_that_is_asked_again_without_thinking_is_sampled_so():
    thoughts = b'data: {"choices": [{"delta": {"reasoning": "word and "}}]}\n\n' * 400
    profile = replace(FAMILIES["qwen3"], sampling=SAMPLES)
    options = CallOptions(thinking=Thinking("on", budget=100, allow_degraded=True))
    async with fault_server(event_stream(thoughts), answer(reply("Yes."))) as server:
        response = await ask(server, user("x"), dialect="ollama", profile=profile, options=options)

    first, second = (request.json for request in server.requests)
    assert (first["temperature"], second["temperature"]) == (0.6, 0.7)
    assert (second["reasoning_effort"], response.message.text) == ("none", "Yes.")


async def test_what_the_team_says_of_sampling_comes_first():
    profile = replace(FAMILIES["qwen3"], sampling=SAMPLES)

    sent = await body(
        Thinking("on"), dialect="vllm", profile=profile, temperature=0.1, extra={"top_k": 5, "top_p": None}
    )

    assert {key: sent.get(key) for key in SAMPLES["on"]} == {"temperature": 0.1, "top_p": None, "top_k": 5}


@pytest.mark.parametrize("name", NAMES)
async def test_the_length_of_a_reply_is_limited_in_the_servers_words(name: str):
    sent = await body(None, dialect=name, max_tokens=9)

    assert sent == {"max_completion_tokens" if name == "kimi" else "max_tokens": 9}


@pytest.mark.parametrize(
    ("name", "model", "marked"),
    [
        ("openrouter", "anthropic/claude-sonnet-5", True),
        ("openrouter", "openai/gpt-5.2", False),
        ("vllm", "m", False),
    ],
)
async def test_the_prompt_is_marked_for_caches_that_keep_only_what_is_marked(
    name: str, model: str, marked: bool
):
    assert await body(None, dialect=name, model=model) == (
        {"cache_control": {"type": "ephemeral"}} if marked else {}
    )


@pytest.mark.parametrize(("name", "field"), [("vllm", "reasoning"), ("openai", "reasoning_content")])
async def test_reasoning_goes_back_as_the_server_has_it_or_else_as_the_family_has_it(name: str, field: str):
    profile = Profile("glm-5", reasoning_field="reasoning_content")
    async with fault_server(answer(reply("Yes.", **{field: "Hm."})), answer(reply())) as server:
        first = await ask(server, user("x"), dialect=name, profile=profile)
        await ask(server, user("x"), first.message, user("y"), dialect=name, profile=profile)

    assert server.requests[1].json["messages"][1] == {"role": "assistant", "content": "Yes.", field: "Hm."}

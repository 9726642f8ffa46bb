"""What is known of families of models, by the names that servers give them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.messages import Usage
from harness.models.endpoint import Endpoint
from harness.models.openai_chat import OpenAIChatModel
from harness.models.openai_responses import OpenAIResponsesModel
from harness.models.port import Price, assumptions_of
from harness.models.profiles import UNKNOWN, family, family_names, profile_of
from harness.models.wire import WireModel


@pytest.mark.parametrize(
    ("name", "provider", "expected"),
    [
        ("gpt-5.2", "openai", "gpt-5-later"),
        ("gpt-5-mini", "openai", "gpt-5"),
        ("gpt-5.1-codex-mini", "openai", "gpt-5-codex"),
        ("openai/gpt-4.1-nano", "openrouter", "gpt-4-1"),
        ("o4-mini", "openai", "o-series"),
        ("gpt-oss:20b", "ollama", "gpt-oss"),
        ("Qwen/Qwen3-8B", "vllm", "qwen3"),
        ("qwen3:8b", "ollama", "qwen3"),
        ("Qwen/Qwen3-30B-A3B-Thinking-2507-FP8", "sglang", "qwen3-2507-thinking"),
        ("qwen3-235b-a22b-instruct-2507", "dashscope", "qwen3-2507-instruct"),
        ("Qwen/Qwen3.6-27B", "vllm", "qwen3-5"),
        ("qwen3.8-max", "dashscope", "qwen3-hosted"),
        ("qwen3-coder-plus", "dashscope", "qwen3-coder"),
        ("qwq-32b", "ollama", "qwq"),
        ("deepseek-v4-pro", "deepseek", "deepseek-v4"),
        ("deepseek-ai/DeepSeek-R1-0528", "vllm", "deepseek-r1"),
        ("kimi-k2.6", "kimi", "kimi-k2-5"),
        ("moonshotai/Kimi-K2-Thinking", "vllm", "kimi-k2-thinking"),
        ("glm-5.1", "zai", "glm-5"),
        ("meta-llama/Llama-3.3-70B-Instruct", "vllm", "llama"),
        ("mistral-small-latest", "openai", "mistral-thinking"),
        ("google/gemma-3-27b-it", "vllm", "gemma-3"),
        ("grok-4.20-0309-non-reasoning", "openai", "grok-instruct"),
        ("my-own-model", "vllm", ""),
    ],
)
def test_a_name_is_found_in_its_family(name: str, provider: str, expected: str):
    assert profile_of(name, provider).family == expected


def test_every_family_is_found_by_a_name_of_its_own_and_can_be_read():
    assert len(family_names()) > 30
    for name in family_names():
        told = family(name)
        assert told is not None
        assert told.context_window is None or told.context_window >= 8192
        assert not (told.thinking.always and told.thinking.never), name
        assert not (told.thinking.toggle and told.thinking.never), name


def test_a_price_holds_for_who_has_it_and_not_for_a_server_of_ones_own():
    assert profile_of("deepseek-v4-pro", "deepseek").price == Price(0.435, 0.87, 0.003625)
    assert profile_of("deepseek-v4-pro", "vllm").price is None
    assert profile_of("gpt-5-mini").price is None
    mini = profile_of("gpt-5-mini-2025-08-07", "openai").price
    assert mini is not None
    assert mini.cost(Usage(1_000_000, 1_000_000)) == 2.25


def test_a_request_that_is_long_costs_more_where_its_provider_says_so():
    pro = profile_of("gemini-3.1-pro-preview", "gemini").price
    assert pro is not None
    assert pro.cost(Usage(200_000, 1_000, calls=1)) == pytest.approx(0.4 + 0.012)
    assert pro.cost(Usage(200_001, 1_000, cached_tokens=200_001, calls=1)) == pytest.approx(0.0800004 + 0.018)
    assert pro.cost(Usage(300_000, 1_000, calls=2)) == pytest.approx(0.6 + 0.012)


def test_a_variant_without_a_price_of_its_own_has_none():
    assert profile_of("gpt-5.9", "openai").family == "gpt-5-later"
    assert profile_of("gpt-5.9", "openai").price is None


def test_an_unknown_model_has_defaults_that_are_safe_with_every_server():
    unknown = profile_of("somebody/else", "vllm")
    assert unknown is UNKNOWN
    assert unknown.thinking.efforts == ()
    assert not unknown.thinking.always
    assert unknown.context_window is None


@pytest.mark.parametrize("api", [OpenAIChatModel, OpenAIResponsesModel])
def test_a_temperature_that_a_family_refuses_stays_out_and_that_is_said(api: type[WireModel[Any]]):
    def model(name: str, **more: Any) -> WireModel[Any]:
        return api(Endpoint(model=name, profile=profile_of(name), **more))

    def head(name: str, **more: Any) -> bytes:
        return model(name, **more).open([]).pieces()[0]

    assert b"temperature" not in head("gpt-5.1", temperature=0.2)
    assert b'"temperature":0.2' in head("gpt-4.1", temperature=0.2)
    assert b'"temperature":0.2' in head("gpt-5.1", temperature=0.2, extra={"temperature": 0.2})
    assert assumptions_of(model("gpt-5.1", temperature=0.2)) == (
        "the temperature 0.2 is not sent, as gpt-5.1 takes none",
    )
    assert assumptions_of(model("gpt-4.1", temperature=0.2)) == ()

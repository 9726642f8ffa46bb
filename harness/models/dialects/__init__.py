"""The servers that speak the Chat Completions API, and what each of them does in its own way.

One file for each, and one line here. What a dialect says about thinking is a pure function of what is
asked and of the model's profile, so that a team file can be checked without a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

from harness.models.profiles import Profile
from harness.models.thinking import Thinking, ThinkingPlan

NAMES = {
    "openai": "openai",
    "vllm": "vllm",
    "sglang": "sglang",
    "llama.cpp": "llama_cpp",
    "ollama": "ollama",
    "transformers": "transformers",
    "dashscope": "dashscope",
    "deepseek": "deepseek",
    "kimi": "kimi",
    "openrouter": "openrouter",
    "litellm": "litellm",
    "zai": "zai",
}
"""Dialects by name, and the module of each in this package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way of speaking the Chat Completions API."""

    provider: str
    """As OpenTelemetry names it (`gen_ai.provider.name`)."""
    plan: Callable[[Thinking, Profile], ThinkingPlan]
    """What the server is told about thinking. Raises `ThinkingUnsupported`."""
    reasoning_field: str = ""
    """The field of an assistant message in which reasoning goes back; empty where none may."""
    reasoning_required: bool = False
    """Whether a turn with tool calls must come back with the field, be it empty."""
    payload_field: str = ""
    """The field in which reasoning comes as a list of the provider's own objects, and goes back untouched;
    it then takes the place of `reasoning_field`."""
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    sampling: tuple[str, ...] = ("temperature", "top_p")
    """The fields for sampling that the server hears."""
    tags_in_content: bool = False
    """Whether a reply's content may hold its thinking between `<think>` and `</think>`."""
    continuation: Mapping[str, Any] | None = None
    """Fields of the body that make the server go on with an assistant message at the end of the request;
    None where it cannot."""
    cached_where_asked: tuple[str, ...] = ()
    """Models, by patterns of their names, whose prompts are cached only for requests that ask for it."""
    prefix_mark: str = ""
    """The field of that message which must be true for it, where the server asks for one."""


@cache
def dialect(name: str) -> Dialect:
    """Return the dialect of this name, which is one of `NAMES`."""
    found: Dialect = import_module(f"harness.models.dialects.{NAMES[name]}").DIALECT
    return found

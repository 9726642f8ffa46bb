"""`harness models`: who serves models and what is known of one; also what `harness check` says of a team's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from harness.adapters import build_model
from harness.cli.terminal import plain
from harness.errors import UsageError
from harness.models.port import Model, assumptions_of, plan_thinking
from harness.models.thinking import Thinking, ThinkingUnsupported
from harness.team import ModelSpec
from harness.team.providers import PROVIDERS, model_hint
from harness.views import json_line

ASKED = {
    "off": Thinking("off"),
    "on": Thinking("on"),
    "effort": Thinking("on", effort="high"),
    "budget": Thinking("on", budget=4096),
}
"""What a team file may ask of thinking, and what stands for it here."""

EXAMPLES = {
    "anthropic": "claude-sonnet-4-5",
    "openai": "gpt-5.2",
    "gemini": "gemini-2.5-flash",
    "openrouter": "qwen/qwen3-32b",
    "deepseek": "deepseek-v4-pro",
    "kimi": "kimi-k2.6",
    "dashscope": "qwen3.6-plus",
    "mistral": "mistral-small-latest",
    "groq": "openai/gpt-oss-120b",
    "xai": "grok-4.3",
    "zai": "glm-5.1",
    "litellm": "gpt-5.2",
    "llama.cpp": "Qwen3-8B",
    "ollama": "qwen3:8b",
    "sglang": "Qwen/Qwen3-8B",
    "transformers": "Qwen/Qwen3-8B",
    "vllm": "Qwen/Qwen3-8B",
}
"""A model of each provider, by which it is shown what can be asked there."""


def print_models(line: str, *, as_json: bool) -> int:
    """Print the providers, or what is known of one model; return the exit code.

    Raises:
        UsageError: `line` names no model of a known provider.
    """
    if line:
        known = describe(_model(line))
        print(json_line(known) if as_json else plain(_account(known)))
        return 0
    table = [_provider_view(name) for name in sorted(PROVIDERS)]
    if as_json:
        print(json_line(table))
        return 0
    for row in table:
        key = row["key"] if row["needs_key"] else f"{row['key']}, if its server wants one"
        there = " (set)" if row["key_set"] else ""
        print(
            f"{row['provider']:<13}{row['example']}\n{'':13}{row['api']} at {row['url']}\n{'':13}{key}{there}"
        )
    print(
        "\nharness models PROVIDER/MODEL says more of one; harness run TEAM TASK --model PROVIDER/MODEL takes it"
    )
    return 0


def describe(model: Model) -> dict[str, Any]:
    """Return what is known of a model, and what its endpoint makes of each way of asking for thinking."""
    price = model.price
    return {
        "model": model.name,
        "provider": model.provider,
        "context_window": model.context_window,
        "price": [price.input, price.output] if price else None,
        "price_above": [price.above[0], price.above[1].input, price.above[1].output]
        if price and price.above
        else None,
        "thinking": {word: _planned(model, asked) for word, asked in ASKED.items()},
        "assumed": list(assumptions_of(model)),
    }


def sentence(known: Mapping[str, Any]) -> str:
    """Return the most important of what `describe` says, in one line."""
    window = f"{known['context_window']:,} tokens" if known["context_window"] else "window unknown"
    price = "${:g} in, ${:g} out per million".format(*known["price"]) if known["price"] else "price unknown"
    if known["price_above"]:
        price += ", ${1:g} and ${2:g} beyond {0:,} tokens".format(*known["price_above"])
    facts = f"{known['model']} ({known['provider']}): {window}, {price}"
    return "; ".join([*([facts] if known["price"] or not known["assumed"] else []), *known["assumed"]])


def thinking_table() -> str:
    """Return the table of providers against ways of asking for thinking, as Markdown."""
    lines = [f"| provider | for instance | {' | '.join(ASKED)} |", f"|---|---|{'---|' * len(ASKED)}"]
    for name, example in EXAMPLES.items():
        plans = describe(_model(f"{name}/{example}"))["thinking"]
        cells = " | ".join(plan["enforcement"] for plan in plans.values())
        lines.append(f"| `{name}` | `{example}` | {cells} |")
    return "\n".join(lines) + "\n"


def _model(line: str) -> Model:
    provider, _, name = line.partition("/")
    if provider not in PROVIDERS or not name:
        raise UsageError(f"there is no model '{line}'; {model_hint(line, ())}")
    served = PROVIDERS[provider]
    told = {"api": served.api, "dialect": served.dialect, "base_url": served.url}
    return build_model(ModelSpec.model_validate({**told, "provider": provider, "model": name}))


def _provider_view(name: str) -> dict[str, Any]:
    provider = PROVIDERS[name]
    key = next((key for key in provider.keys if os.environ.get(key)), provider.keys[0])
    return {
        "provider": name,
        "example": f"{name}/{EXAMPLES[name]}",
        "api": provider.api,
        "url": f"${{{provider.url_variable}:-{provider.url}}}",
        "key": key,
        "key_set": bool(os.environ.get(key)),
        "needs_key": provider.needs_key,
    }


def _planned(model: Model, asked: Thinking) -> dict[str, str]:
    try:
        plan = plan_thinking(model, asked)
    except ThinkingUnsupported as error:
        return {"enforcement": "refused", "reason": str(error).partition("; set allow_degraded")[0]}
    return {"enforcement": plan.enforcement, "reason": plan.reason}


def _account(known: Mapping[str, Any]) -> str:
    plans = [
        f"  thinking {word}: {plan['enforcement']}" + (f" ({plan['reason']})" if plan["reason"] else "")
        for word, plan in known["thinking"].items()
    ]
    return "\n".join([sentence(known), *plans])

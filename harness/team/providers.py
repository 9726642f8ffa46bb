"""Who serves models, and the one line `provider/model` that names one of theirs.

A line is short for a mapping with `provider` and `model`, and a provider for what there is to say about
reaching it: the API, where it is, and the variable that holds the key. All of it stands in the tree before
variables are filled in, so a key is redacted like any other and a missing one is found where the line is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, replace

from harness.errors import Problem, TeamError
from harness.team.interpolation import Variables
from harness.team.nodes import Entry, Mapping, Node, Scalar, Sequence, mapping_at, text_in
from harness.team.spelling import did_you_mean, shortened

_LOCAL_APIS = ("offline", "scripted")


@dataclass(frozen=True, slots=True)
class Provider:
    """How the models of one provider are reached."""

    api: str
    url: str
    """Where its API is, if its variable does not say otherwise."""
    url_variable: str
    keys: tuple[str, ...]
    """The variables that people keep its key in; the first that is set counts."""
    dialect: str = "openai"
    known_as: str = ""
    """As OpenTelemetry names it (`gen_ai.provider.name`), where neither API nor dialect tells."""
    needs_key: bool = True


def _chat(url: str, variable: str, *keys: str, dialect: str = "openai", known_as: str = "") -> Provider:
    return Provider("openai-chat", url, variable, keys, dialect, known_as)


def _local(url: str, variable: str, key: str, dialect: str) -> Provider:
    return Provider("openai-chat", url, variable, (key,), dialect, needs_key=False)


_DASHSCOPE = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"

PROVIDERS: dict[str, Provider] = {
    "anthropic": Provider(
        "anthropic", "https://api.anthropic.com", "ANTHROPIC_BASE_URL", ("ANTHROPIC_API_KEY",)
    ),
    "openai": Provider(
        "openai-responses", "https://api.openai.com/v1", "OPENAI_BASE_URL", ("OPENAI_API_KEY",)
    ),
    "gemini": Provider(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_BASE_URL",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    "openrouter": _chat(
        "https://openrouter.ai/api/v1", "OPENROUTER_BASE_URL", "OPENROUTER_API_KEY", dialect="openrouter"
    ),
    "deepseek": _chat(
        "https://api.deepseek.com/v1", "DEEPSEEK_BASE_URL", "DEEPSEEK_API_KEY", dialect="deepseek"
    ),
    "kimi": _chat(
        "https://api.moonshot.ai/v1", "MOONSHOT_BASE_URL", "MOONSHOT_API_KEY", "KIMI_API_KEY", dialect="kimi"
    ),
    "dashscope": _chat(_DASHSCOPE, "DASHSCOPE_BASE_URL", "DASHSCOPE_API_KEY", dialect="dashscope"),
    "mistral": _chat(
        "https://api.mistral.ai/v1", "MISTRAL_BASE_URL", "MISTRAL_API_KEY", known_as="mistral_ai"
    ),
    "groq": _chat("https://api.groq.com/openai/v1", "GROQ_BASE_URL", "GROQ_API_KEY", known_as="groq"),
    "xai": _chat("https://api.x.ai/v1", "XAI_BASE_URL", "XAI_API_KEY", known_as="x_ai"),
    "zai": _chat(
        "https://api.z.ai/api/paas/v4", "ZAI_BASE_URL", "ZAI_API_KEY", "ZHIPU_API_KEY", dialect="zai"
    ),
    "litellm": _local("http://127.0.0.1:4000/v1", "LITELLM_BASE_URL", "LITELLM_API_KEY", "litellm"),
    "llama.cpp": _local("http://127.0.0.1:8080/v1", "LLAMA_CPP_BASE_URL", "LLAMA_API_KEY", "llama.cpp"),
    "ollama": _local("http://127.0.0.1:11434", "OLLAMA_HOST", "OLLAMA_API_KEY", "ollama"),
    "sglang": _local("http://127.0.0.1:30000/v1", "SGLANG_BASE_URL", "SGLANG_API_KEY", "sglang"),
    "transformers": _local(
        "http://127.0.0.1:8000/v1", "TRANSFORMERS_BASE_URL", "TRANSFORMERS_API_KEY", "transformers"
    ),
    "vllm": _local("http://127.0.0.1:8000/v1", "VLLM_BASE_URL", "VLLM_API_KEY", "vllm"),
}
"""By the name that team files give them."""


def opened(root: Mapping) -> Mapping:
    """Return the tree in which a model that is one line is a mapping with `provider` and `model`.

    Where an agent has such a line for its model, that model is added to `models`, and the agent names it.
    """
    written = root.entries.get("models")
    models = mapping_at(root, "models")
    for name, entry in models.entries.items():
        if (line := _opened_line(entry.value)) is not None:
            models = models.having(models.entries[name].key, line)
    agents = mapping_at(root, "agents")
    for entry in agents.entries.values():
        said = entry.value.get("model") if isinstance(entry.value, Mapping) else None
        if not isinstance(said, Scalar) or said.text in models.entries:
            continue
        line = _opened_line(said)
        if line is None or not isinstance(entry.value, Mapping):
            continue
        name = re.sub(r"[^A-Za-z0-9]+", "-", said.text).strip("-")
        models = models.having(Scalar(name, name, said.mark), line)
        named = entry.value.having(entry.value.entries["model"].key, replace(said, value=name, text=name))
        agents = agents.having(entry.key, named)
    if models.entries:
        mark = next(iter(models.entries.values())).key.mark
        key = written.key if written else Scalar("models", "models", mark)
        root = root.having(key, replace(models, mark=models.mark if written else mark))
    return root.having(root.entries["agents"].key, agents) if agents.entries else root


def expanded(root: Mapping, variables: Variables) -> tuple[Mapping, list[Problem]]:
    """Return the tree with what models leave to their provider written out, and what is wrong with that."""
    problems: list[Problem] = []
    models = mapping_at(root, "models")
    for name, entry in models.entries.items():
        value: Node | None = entry.value
        if isinstance(value, Scalar) and isinstance(value.value, str):
            filled, wrong = variables.fill(value, ("models", name, "model"))
            problems += wrong
            value = _opened_line(filled)
            if value is None and not wrong:
                problems.append(
                    filled.mark.problem(f"'{shortened(filled.text)}' is no model", _hint(filled.text))
                )
        provider = value.entries.get("provider") if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) and provider is not None and isinstance(provider.value, Scalar):
            said, wrong = variables.fill(provider.value, ("models", name, "provider"))
            problems += wrong
            if said.text in PROVIDERS:
                value = _with_defaults(value, said, variables.environment)
            elif not wrong:
                # A stand-in for what the provider would have said, which is not to be faulted as well.
                value = value.having(*(Scalar(text, text, said.mark) for text in ("api", "offline")))
                hint = did_you_mean(said.text, PROVIDERS, what="providers")
                problems.append(said.mark.problem(f"there is no provider '{shortened(said.text)}'", hint))
        if value is not None:
            models = models.having(entry.key, value)
    return (root.having(root.entries["models"].key, models) if models.entries else root), problems


def with_addresses(root: Mapping) -> Mapping:
    """Return the tree in which the address that OLLAMA_HOST gives is one of its API.

    The variable holds a host, with or without a scheme and a port, as Ollama reads it.
    """
    models = mapping_at(root, "models")
    for name, entry in models.entries.items():
        model = entry.value
        if not isinstance(model, Mapping) or text_in(model.get("provider")) != "ollama":
            continue
        url = model.entries.get("base_url")
        if url is None or not isinstance(url.value, Scalar) or not url.value.interpolated:
            continue
        text = url.value.text.rstrip("/")
        text = text if "://" in text else f"http://{text}"
        host = text.partition("://")[2]
        if not re.search(r":\d+", host) and text.startswith("http://"):
            text = re.sub(r"(://[^/]+)", r"\1:11434", text)
        text = text if "/" in host else f"{text}/v1"
        models = models.having(
            models.entries[name].key, model.having(url.key, replace(url.value, value=text, text=text))
        )
    return root.having(root.entries["models"].key, models) if models.entries else root


def with_model(root: Mapping, choice: Node) -> Mapping:
    """Return the tree in which every agent has one model: an entry of `models`, or a line `provider/model`.

    The other models are left out, so that nobody needs their keys.

    Raises:
        TeamError: It is neither.
    """
    models = mapping_at(root, "models").entries
    if not isinstance(choice, Scalar):
        raise TeamError([choice.mark.problem("a model is a name, or a line", _hint("", models))])
    entry = models.get(choice.text)
    if entry is None:
        line = _opened_line(choice)
        if line is None:
            raise TeamError(
                [
                    choice.mark.problem(
                        f"there is no model '{shortened(choice.text)}'", _hint(choice.text, models)
                    )
                ]
            )
        entry = Entry(Scalar("default", "default", choice.mark), line)
    root = root.having(Scalar("models", "models", choice.mark), Mapping({entry.key.text: entry}, choice.mark))
    agents = mapping_at(root, "agents")
    for one in agents.entries.values():
        if isinstance(one.value, Mapping):
            agents = agents.having(one.key, _without_summariser(one.value.without("model")))
    if "agents" in root.entries:
        root = root.having(root.entries["agents"].key, agents)
    return _without_summariser(root)


def model_hint(text: str, models: Iterable[str]) -> str:
    """Return what somebody may have meant who gave `text` for the model of an agent."""
    return _hint(text, models)


def _opened_line(node: Node) -> Mapping | None:
    """Return a line as the mapping that it is short for; None for whatever else stands there."""
    provider, slash, model = (text_in(node) or "").partition("/")
    if provider not in PROVIDERS or not slash or not model.strip():
        return None
    parts = {"provider": provider, "model": model.strip()}
    interpolated = isinstance(node, Scalar) and node.interpolated
    return Mapping(
        {
            name: Entry(Scalar(name, name, node.mark), Scalar(text, text, node.mark, interpolated))
            for name, text in parts.items()
        },
        node.mark,
    )


def _with_defaults(model: Mapping, said: Scalar, environment: AbstractMapping[str, str]) -> Mapping:
    """Return the model with all that it does not say itself as its provider has it."""
    if text_in(model.get("api")) in _LOCAL_APIS:
        return model
    provider = PROVIDERS[said.text]
    key = next((name for name in provider.keys if environment.get(name)), provider.keys[0])
    defaults = {
        "api": provider.api,
        "dialect": provider.dialect,
        "base_url": f"${{{provider.url_variable}:-{provider.url}}}",
        "api_key": f"${{{key}}}" if provider.needs_key else f"${{{key}:-}}",
    }
    for name, text in defaults.items():
        if name not in model.entries:
            model = model.having(Scalar(name, name, said.mark), Scalar(text, text, said.mark))
    return model.having(model.entries["provider"].key, said)


def _hint(text: str, models: Iterable[str] = ()) -> str:
    known = sorted(models)
    provider, slash, model = text.partition("/")
    if slash and provider not in PROVIDERS:
        return f"there is no provider '{shortened(provider)}'; " + did_you_mean(
            provider, PROVIDERS, what="providers"
        )
    if slash and not model.strip():
        return f"name the model after the slash, as {provider} knows it"
    close = did_you_mean(text, known, what="models") if known else ""
    if close.startswith("did you mean"):
        return close
    line = f"PROVIDER/MODEL, with one of the providers {', '.join(sorted(PROVIDERS))}"
    return f"{close}; or write {line}" if close else f"write {line}"


def _without_summariser(owner: Mapping) -> Mapping:
    """Return an agent, or a team, whose windows are summed up by the model that fills them."""
    context = owner.entries.get("context")
    strategies = (
        context.value.entries.get("strategies") if context and isinstance(context.value, Mapping) else None
    )
    if context is None or strategies is None or not isinstance(strategies.value, Sequence):
        return owner
    kept: list[Node] = []
    for one in strategies.value.items:
        summarise = one.entries.get("summarise") if isinstance(one, Mapping) else None
        if isinstance(one, Mapping) and summarise and isinstance(summarise.value, Mapping):
            one = one.having(summarise.key, summarise.value.without("model"))
        kept.append(one)
    changed = replace(strategies.value, items=tuple(kept))
    assert isinstance(context.value, Mapping)
    return owner.having(context.key, context.value.having(strategies.key, changed))

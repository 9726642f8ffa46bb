"""What a team file says about its models: how each is reached, what it costs, and how much it may think."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from harness.team.quantities import Count, Positive, TokenCount
from harness.team.strict import Spec

NETWORK_APIS = frozenset({"openai-chat", "openai-responses", "anthropic", "gemini"})
"""Wire APIs that are spoken over the network, and so need a model's name."""

_OFFICIAL = re.compile(
    r"https://(api\.openai\.com|api\.anthropic\.com|generativelanguage\.googleapis\.com)(/|$)"
)

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]

Dialect = Literal[
    "openai",
    "vllm",
    "sglang",
    "llama.cpp",
    "ollama",
    "transformers",
    "dashscope",
    "deepseek",
    "kimi",
    "openrouter",
    "litellm",
    "zai",
]


class TokenPrices(Spec):
    """What tokens cost, in USD per million."""

    input: float = Field(ge=0)
    """USD per million input tokens."""
    output: float = Field(ge=0)
    """USD per million output tokens, reasoning included."""
    cached: float | None = Field(default=None, ge=0)
    """USD per million input tokens read from the provider's cache; the input price if not given."""
    cache_write: float | None = Field(default=None, ge=0)
    """USD per million input tokens written to the provider's cache; the input price if not given."""


class LongRequestPrices(TokenPrices):
    """What long requests cost, where a provider charges more for them."""

    tokens: TokenCount
    """A request with more tokens of input than this costs these prices, all of it."""


class PriceSpec(TokenPrices):
    """What a model costs, in USD per million tokens."""

    above: LongRequestPrices | None = None
    """What longer requests cost, if that is more."""


class ScriptCall(Spec):
    """One tool call of a scripted turn."""

    tool: str
    """The tool's name, `server.tool`, or the bare name of a tool of the harness itself."""
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])
    """The arguments of the call."""


class ScriptTurn(Spec):
    """One answer of a scripted model: text, tool calls, or both."""

    say: str = ""
    """The text of the answer."""
    calls: list[ScriptCall] = Field(default_factory=list[ScriptCall])
    """The tool calls of the answer, in order."""

    @model_validator(mode="after")
    def _says_something(self) -> ScriptTurn:
        if not self.say and not self.calls:
            raise ValueError("a turn needs 'say', 'calls' or both")
        return self


class ThinkingOptionsSpec(Spec):
    """What a model can be told about its thinking."""

    toggle: bool = False
    """Whether it can be turned on and off."""
    efforts: list[Effort] = Field(default_factory=list[Effort])
    """The efforts it knows, from the least to the most."""
    budget: tuple[int, int] | None = None
    """The least and the most tokens a budget may have."""
    always: bool = False
    """Whether it thinks whatever it is told."""
    never: bool = False
    """Whether it never thinks."""


class ProfileSpec(Spec):
    """What a model is like, where that is not known of it or not true of its server."""

    like: str | None = None
    """The family of models it is like, such as `qwen3`; `harness models` lists them."""
    max_output: TokenCount | None = None
    """The most tokens one answer of it may have."""
    thinking: ThinkingOptionsSpec | None = None
    """What it can be told about its thinking."""
    reasoning_field: str | None = None
    """The field of a message that holds its thinking, such as `reasoning_content`."""
    reasoning_required: bool | None = None
    """Whether an earlier turn with tool calls must come back with its thinking."""


class ModelSpec(Spec):
    """A language model and how to reach it."""

    provider: str | None = None
    """Who serves it, such as `anthropic`, `openai`, `openrouter`, `ollama` or `vllm`: gives `api`, `dialect`,
    `base_url` and the variable of the key, where these are not said here. `provider/model` in one line is the same."""
    api: Literal["offline", "openai-chat", "openai-responses", "anthropic", "gemini", "scripted"]
    """How to talk to it: `offline` needs no key and no network and follows rules; `openai-chat` is any server
    with the OpenAI chat completions API, `openai-responses` the one that keeps thinking between calls, `anthropic`
    the Messages API, `gemini` generateContent; `scripted` plays back the turns in `script`."""
    dialect: Dialect = "openai"
    """Which server speaks `openai-chat`, each of which says some things in its own way."""
    base_url: str | None = None
    """Where the API is, up to and including its version, as in http://127.0.0.1:8000/v1; the official address of
    the API if not given."""
    api_key: SecretStr | None = None
    """The key sent with each request; write it as `${NAME}` and set NAME in the environment."""
    model: str | None = None
    """The model's name at that server; required for every API over the network."""
    stream: bool = False
    """Ask the server to send the answer piece by piece."""
    max_tokens: TokenCount | None = None
    """The most tokens one answer may have; the server's own limit if not given."""
    temperature: float | None = Field(default=None, ge=0)
    """The sampling temperature; the server's own default if not given."""
    context_window: TokenCount | None = None
    """How many tokens the model can read and write in one request, such as `128k`."""
    timeout_seconds: Positive = 120
    """Seconds to wait for one answer before the request counts as failed."""
    idle_seconds: Positive = 120
    """Seconds without a piece of a streamed answer after which the request counts as failed."""
    retries: int = Field(default=4, ge=0)
    """How often a failed request is repeated."""
    parallel: Count | None = None
    """How many requests may be under way at this endpoint at once; no limit if not given. This and the next two
    hold for everything in one process that uses the same endpoint and key."""
    requests_per_minute: Count | None = None
    """How many requests may begin at this endpoint within a minute; no limit if not given."""
    tokens_per_minute: TokenCount | None = None
    """How many tokens, read and written, this endpoint may be asked for within a minute; no limit if not given."""
    headers: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Extra HTTP headers of each request."""
    extra: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Extra fields merged into the body of each request."""
    fallback: list[str] = Field(default_factory=list[str])
    """The models to go on with, in this order, once this one cannot be reached, keeps failing, or its account's
    quota is used up; an agent run that has changed over stays with the other."""
    price: PriceSpec | None = None
    """What the tokens cost, for models whose price is not known."""
    profile: ProfileSpec = Field(default_factory=ProfileSpec)
    """What the model is like, beyond its `context_window` and `price`, where that is not known of it."""
    script: list[ScriptTurn] | None = None
    """The turns a `scripted` model plays back, in order."""

    @property
    def served_by(self) -> str:
        """The provider that serves it, by its name in `harness.team.providers`; empty if nobody knows."""
        if self.provider is not None:
            return self.provider
        if self.dialect != "openai":
            return self.dialect
        own = {"anthropic": "anthropic", "gemini": "gemini"}.get(self.api, "openai")
        return own if self.base_url is None or _OFFICIAL.match(self.base_url) else ""


class ThinkingSpec(Spec):
    """How much a model may think before it answers or acts."""

    mode: Literal["off", "on", "auto"] = "on"
    """`off`, `on`, or `auto`: more for planning and after failures, less for routine, decided anew at each turn."""
    effort: Effort | None = None
    """How hard to think, for endpoints that know an effort; others get the budget that stands for it."""
    budget: TokenCount | None = None
    """The most tokens of thinking in one reply, such as `4k`."""
    visible: Literal["hidden", "summary", "full"] = "summary"
    """What a person is shown of the thinking; what the model gets back of it does not depend on this."""
    allow_degraded: bool = False
    """Let an endpoint that cannot express this do what comes nearest, instead of refusing the team."""

    def over(self, other: ThinkingSpec | None) -> Self:
        """Return this with what it does not say taken from `other`."""
        if other is None:
            return self
        said = {name: getattr(self, name) for name in self.model_fields_set}
        return self.model_copy(
            update={**{name: getattr(other, name) for name in other.model_fields_set}, **said}
        )


def as_thinking(given: Any) -> Any:
    """Return a single word as the mapping `{mode: …}` it is short for."""
    return {"mode": given} if isinstance(given, str) else given

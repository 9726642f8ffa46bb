"""What the Messages API refuses, in one request alone; see `strict_anthropic` for where this is from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

Block = dict[str, Any]
Body = Mapping[str, Any]

_FIELDS = {
    "model", "messages", "max_tokens", "system", "tools", "tool_choice", "thinking", "output_config", "stream",
    "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier", "cache_control",
}  # fmt: skip
_BLOCK_FIELDS = {
    "text": {"type", "text", "cache_control"},
    "image": {"type", "source", "cache_control"},
    "tool_use": {"type", "id", "name", "input", "cache_control"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
}
_OF_ROLE = {
    "user": {"text", "image", "tool_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking"},
}
_THINKING_FIELDS = {
    "enabled": {"type", "budget_tokens", "display"},
    "adaptive": {"type", "display"},
    "disabled": {"type"},
    "between_tools": {"type"},
}
_IDENTITY = re.compile(r"[a-zA-Z0-9_-]+")
_ALL = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True)
class Rules:
    """What one model accepts."""

    thinking: tuple[str, ...]
    max_tokens: int
    efforts: tuple[str, ...] = ()
    bound: bool = False
    """Whether its thinking is bound to all that stood before it, and no call can be demanded of it."""
    by_default: bool = False
    samples: bool = True


MODELS = {
    "claude-haiku-4-5": Rules(("enabled", "disabled"), 64_000),
    "claude-sonnet-4-5": Rules(("enabled", "disabled"), 64_000),
    "claude-opus-4-6": Rules(("enabled", "adaptive", "disabled"), 128_000, ("low", "medium", "high", "max")),
    "claude-opus-4-8": Rules(("adaptive", "disabled"), 128_000, _ALL, samples=False),
    "claude-opus-5": Rules(("adaptive", "disabled"), 128_000, _ALL, by_default=True, samples=False),
    "claude-opus-5-5": Rules(("adaptive",), 128_000, _ALL, bound=True, by_default=True, samples=False),
    "claude-sonnet-5-5": Rules(
        ("adaptive", "between_tools"), 128_000, _ALL, bound=True, by_default=True, samples=False
    ),
}


class Refused(Exception):
    """The request is not what the API takes."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def refuse(message: str) -> NoReturn:
    """Refuse the request."""
    raise Refused(message)


def thinks(body: Body) -> bool:
    """Return whether the model thinks at this request."""
    asked: Block | None = body.get("thinking")
    if asked is None:
        return MODELS[body["model"]].by_default
    return asked["type"] in ("enabled", "adaptive")


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse a request without a key or a version."""
    if not headers.get("x-api-key"):
        raise Refused("x-api-key header is required", status=401)
    if headers.get("anthropic-version") != "2023-06-01":
        refuse("anthropic-version: header is required")


def check(body: Body) -> None:
    """Refuse a body that the API does not take."""
    _only(body, _FIELDS, "")
    rules = MODELS[body["model"]]
    most = body.get("max_tokens")
    if most is None:
        refuse("max_tokens: Field required")
    if most > rules.max_tokens:
        refuse(
            f"max_tokens: {most} > {rules.max_tokens}, which is the maximum allowed number of output tokens"
        )
    _check_thinking(body, rules)
    _check_tools(body, rules)
    markers = orjson.dumps(body).count(b'"cache_control"')
    if markers > 4:
        refuse(f"A maximum of 4 blocks with cache_control may be provided. Found {markers}.")
    for block in listed(body, "system"):
        _check_block(block, "system", {"text"})
    _check_messages(body["messages"])


def _check_thinking(body: Body, rules: Rules) -> None:
    asked = body.get("thinking")
    if asked is not None:
        kind = asked["type"]
        if kind not in rules.thinking:
            refuse(f'"thinking.type.{kind}" is not supported for this model.')
        _only(asked, _THINKING_FIELDS[kind], f"thinking.{kind}.")
        if asked.get("display") not in (None, "summarized", "omitted"):
            refuse("thinking.display: Input should be 'summarized' or 'omitted'")
        if kind == "enabled" and asked["budget_tokens"] < 1024:
            refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if kind == "enabled" and asked["budget_tokens"] >= body["max_tokens"]:
            refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    config: Block = body.get("output_config") or {}
    effort = config.get("effort")
    if effort is not None and effort not in rules.efforts:
        refuse(f"output_config.effort: {effort} is not supported for this model")
    if "temperature" in body and (not rules.samples or (thinks(body) and body["temperature"] != 1)):
        refuse("`temperature` may only be set to 1 when thinking is enabled.")


def _check_tools(body: Body, rules: Rules) -> None:
    names = [tool["name"] for tool in listed(body, "tools")]
    if len(names) != len(set(names)):
        refuse("tools: Tool names must be unique.")
    for at, tool in enumerate(listed(body, "tools")):
        _only(tool, {"name", "description", "input_schema", "cache_control"}, f"tools.{at}.custom.")
        if tool["input_schema"].get("type") != "object":
            refuse(f"tools.{at}.custom.input_schema.type: Field required")
    choice = body.get("tool_choice")
    if choice is None:
        return
    if choice["type"] not in ("auto", "any", "none"):
        refuse("tool_choice: Input tag does not match any of the expected tags")
    if choice["type"] == "any" and rules.bound:
        refuse("tool_choice: forced tool use is not supported for this model")
    if choice["type"] == "any" and thinks(body):
        refuse("Thinking may not be enabled when tool_choice forces tool use.")


def _check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        refuse("messages: at least one message is required")
    if messages[0]["role"] != "user":
        refuse("messages: first message must use the user role")
    if messages[-1]["role"] != "user":
        refuse(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    used: set[str] = set()
    for place, message in enumerate(messages):
        _only(message, {"role", "content"}, f"messages.{place}.")
        if message["role"] not in _OF_ROLE:
            refuse(f"messages.{place}.role: Input should be 'user' or 'assistant'")
        content = message["content"]
        if not content:
            refuse(f"messages.{place}: all messages must have non-empty content")
        for at, block in enumerate(content):
            _check_block(block, f"messages.{place}.content.{at}", _OF_ROLE[message["role"]])
        if message["role"] == "assistant" and "thinking" in content[-1]["type"]:
            refuse(f"messages.{place}: The final block in an assistant message cannot be `thinking`.")
        calls = [block["id"] for block in content if block["type"] == "tool_use"]
        if used & set(calls) or len(set(calls)) < len(calls):
            refuse("messages: `tool_use` ids must be unique")
        used |= set(calls)
        _check_results(messages, place, calls)


def _check_results(messages: Sequence[Mapping[str, Any]], place: int, calls: list[str]) -> None:
    """Refuse calls whose results are not the first of what follows, and results that follow no call."""
    following: list[Block] = messages[place + 1]["content"] if place + 1 < len(messages) else []
    first = [block["tool_use_id"] for block in following[: len(calls)] if block["type"] == "tool_result"]
    if missing := set(calls) - set(first):
        refuse(
            f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(missing))}. Each `tool_use` block must have a corresponding `tool_result` block "
            "in the next message."
        )
    results = [block["tool_use_id"] for block in following if block["type"] == "tool_result"]
    if place == 0 and any(block["type"] == "tool_result" for block in messages[0]["content"]):
        refuse("messages.0: unexpected `tool_use_id` found in `tool_result` blocks")
    if len(results) != len(set(results)) or set(results) - set(calls):
        refuse(f"messages.{place + 1}: unexpected `tool_use_id` found in `tool_result` blocks: {results}")


def _check_block(block: Mapping[str, Any], path: str, kinds: set[str]) -> None:
    kind = block["type"]
    if kind not in kinds:
        refuse(
            f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {kinds}"
        )
    _only(block, _BLOCK_FIELDS[kind], f"{path}.{kind}.")
    match kind:
        case "text":
            if not block["text"]:
                refuse("messages: text content blocks must be non-empty")
            if not block["text"].strip():
                refuse("messages: text content blocks must contain non-whitespace text")
        case "tool_use":
            if not _IDENTITY.fullmatch(block["id"]):
                refuse(f"{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if not isinstance(block["input"], dict):
                refuse(f"{path}.tool_use.input: Input should be a valid dictionary")
        case "tool_result":
            inside: list[Block] = [] if isinstance(block.get("content", ""), str) else block["content"]
            for at, inner in enumerate(inside):
                _check_block(inner, f"{path}.content.{at}", {"text", "image"})
        case _:
            pass


def _only(fields: Mapping[str, Any], allowed: set[str], path: str) -> None:
    if unknown := sorted(fields.keys() - allowed):
        refuse(f"{path}{unknown[0]}: Extra inputs are not permitted")


def listed(body: Body, name: str) -> list[Block]:
    return body.get(name) or []

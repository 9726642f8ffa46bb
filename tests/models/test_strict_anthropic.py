"""The strict server refuses what it says it refuses; otherwise what it accepts would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson
import pytest

from tests.models.server import Request
from tests.models.strict_anthropic import StrictClaude, call, hidden, said, thought

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
TOOL = {"name": "look", "description": "Look.", "input_schema": {"type": "object"}}
MANUAL = {"type": "enabled", "budget_tokens": 1024}
ADAPTIVE = {"type": "adaptive"}
TURN = [thought("One."), call("t1", "look"), hidden(), call("t2", "look")]
SCRIPT = [TURN, [thought("Two."), call("t3", "look")], [said("Done.")]]

Change = Callable[[dict[str, Any]], object]


def post(claude: StrictClaude, body: dict[str, Any], headers: dict[str, str] = HEADERS) -> Any:
    """Return the document that the server answers with."""
    answered = claude.respond(Request("POST", "/v1/messages", headers, orjson.dumps(body)))
    assert isinstance(answered, bytes)
    return orjson.loads(answered.partition(b"\r\n\r\n")[2])


def result(identity: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identity, "content": "seen"}


def conversation(model: str, thinking: dict[str, Any], turns: int = 1) -> tuple[StrictClaude, dict[str, Any]]:
    """Return the server and the next request, after it has answered `turns` times."""
    claude = StrictClaude(SCRIPT)
    opening = {"role": "user", "content": [said("Look.")]}
    body = {"model": model, "max_tokens": 4096, "thinking": thinking, "tools": [TOOL], "messages": [opening]}
    for _ in range(turns):
        content = post(claude, body)["content"]
        results = [result(block["id"]) for block in content if block["type"] == "tool_use"]
        body["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    return claude, body


def turn(body: dict[str, Any]) -> list[dict[str, Any]]:
    return body["messages"][1]["content"]


def answers(body: dict[str, Any]) -> list[dict[str, Any]]:
    return body["messages"][2]["content"]


def without_thinking(body: dict[str, Any]) -> None:
    turn(body)[:] = [block for block in turn(body) if "thinking" not in block["type"]]


@pytest.mark.parametrize(
    ("model", "thinking"),
    [("claude-haiku-4-5", MANUAL), ("claude-opus-4-8", ADAPTIVE), ("claude-opus-5-5", ADAPTIVE)],
)
def test_what_comes_back_as_it_went_out_is_accepted(model: str, thinking: dict[str, Any]):
    claude, body = conversation(model, thinking, turns=2)
    assert (post(claude, body)["content"], claude.refusals) == ([said("Done.")], [])


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (without_thinking, "Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
        (lambda body: turn(body).pop(2), "cannot be modified"),
        (lambda body: turn(body)[0].update(thinking="Else."), "Invalid `signature`"),
        (lambda body: turn(body)[0].update(signature="x"), "Invalid `signature`"),
        (lambda body: turn(body)[2].update(data="x"), "Invalid `signature`"),
        (lambda body: turn(body).insert(0, turn(body).pop(2)), "Invalid `signature`"),
        (lambda body: turn(body).append(turn(body).pop(2)), "final block in an assistant message"),
        (lambda body: body.update(model="claude-sonnet-4-5"), "Invalid `signature`"),
        (lambda body: answers(body).pop(), "`tool_use` ids were found without `tool_result`"),
        (lambda body: answers(body).insert(0, said("First.")), "`tool_use` ids were found without"),
        (lambda body: answers(body).append(result("t9")), "unexpected `tool_use_id`"),
        (lambda body: answers(body).append(result("t1")), "unexpected `tool_use_id`"),
        (lambda body: answers(body).append(said("")), "must be non-empty"),
        (lambda body: answers(body).append(said(" \n")), "non-whitespace"),
        (lambda body: answers(body)[0].update(name="look"), "name: Extra inputs are not permitted"),
        (lambda body: body["messages"].pop(), "must end with a user message"),
        (lambda body: body["messages"].pop(0), "first message must use the user role"),
        (lambda body: body["messages"][0].update(role="system"), "first message must use"),
        (lambda body: body["messages"][1].update(role="tool"), "'user' or 'assistant'"),
        (lambda body: body["messages"][0].update(content=[]), "non-empty content"),
        (lambda body: body.update(seed=1), "seed: Extra inputs are not permitted"),
        (lambda body: body.pop("max_tokens"), "max_tokens: Field required"),
        (lambda body: body.update(max_tokens=65_000), "maximum allowed number of output tokens"),
        (lambda body: body.update(max_tokens=1024), "must be greater than `thinking.budget_tokens`"),
        (lambda body: body.update(thinking={**MANUAL, "budget_tokens": 1023}), "greater than or equal to 1024"),
        (lambda body: body.update(thinking=ADAPTIVE), "is not supported for this model"),
        (lambda body: body.update(thinking={**MANUAL, "effort": "low"}), "Extra inputs"),
        (lambda body: body.update(output_config={"effort": "low"}), "effort: low is not supported"),
        (lambda body: body.update(temperature=0.5), "only be set to 1"),
        (lambda body: body.update(tool_choice={"type": "any"}), "tool_choice forces tool use"),
        (lambda body: body["tools"].append(TOOL), "Tool names must be unique"),
        (lambda body: [block.update(cache_control={}) for block in [*body["tools"], *answers(body), *turn(body)[1::2]]], "A maximum of 4"),
    ],
)  # fmt: skip
def test_a_request_that_breaks_a_rule_is_refused(change: Change, refusal: str):
    claude, body = conversation("claude-haiku-4-5", MANUAL)
    body = deepcopy(body)
    change(body)
    assert refusal in post(claude, body)["error"]["message"]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (without_thinking, "cannot be modified"),
        (lambda body: body["messages"][0]["content"].append(said("More.")), "Invalid `signature`"),
        (lambda body: body.update(system=[said("Be brief.")]), "Invalid `signature`"),
        (lambda body: body["tools"][0].update(description="Else."), "Invalid `signature`"),
        (lambda body: body.update(thinking=MANUAL), "is not supported"),
        (lambda body: body.update(thinking={"type": "disabled"}), "is not supported"),
        (lambda body: body.update(temperature=1), "temperature"),
        (lambda body: body.update(tool_choice={"type": "any"}), "forced tool use is not supported"),
    ],
)
def test_a_newer_model_binds_its_thinking_to_all_that_stood_before(change: Change, refusal: str):
    claude, body = conversation("claude-opus-5-5", ADAPTIVE)
    body = deepcopy(body)
    change(body)
    assert refusal in post(claude, body)["error"]["message"]


def test_thinking_may_stay_away_where_something_before_it_was_changed():
    claude, body = conversation("claude-opus-5-5", ADAPTIVE)
    without_thinking(body)
    body["messages"][0]["content"] = [said("Look closely.")]
    assert post(claude, body)["type"] == "message"


@pytest.mark.parametrize(
    ("headers", "kind"), [({}, "authentication_error"), ({"x-api-key": "k"}, "invalid_request_error")]
)
def test_a_request_needs_a_key_and_a_version(headers: dict[str, str], kind: str):
    claude, body = conversation("claude-haiku-4-5", MANUAL, turns=0)
    assert post(claude, body, headers)["error"]["type"] == kind

"""The strict server refuses what Gemini refuses; without that its acceptance would say nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.models.strict_gemini import SENTINEL, Refused, call, check, signature, signed

FLASH, OLD = "gemini-3-flash-preview", "gemini-2.5-flash"
Body = dict[str, Any]


def result(part: dict[str, Any], text: str = "seen") -> dict[str, Any]:
    asked = part["functionCall"]
    return {"functionResponse": {"id": asked["id"], "name": asked["name"], "response": {"output": text}}}


def asking(*turns: list[dict[str, Any]], model: str = FLASH) -> Body:
    """Return a request in the middle of a turn: a question, then calls and their results."""
    contents: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": "Where?"}]}]
    for turn in turns:
        reply = [part for part in signed(turn, model) if not part.get("thought")]
        contents.append({"role": "model", "parts": reply})
        contents.append({"role": "user", "parts": [result(part) for part in turn]})
    return {
        "contents": contents,
        "tools": [
            {"functionDeclarations": [{"name": "look", "description": "", "parametersJsonSchema": {}}]}
        ],
    }


def whole() -> Body:
    return asking(
        [call("look", at="a")],
        [call("look", at="b"), call("look", at="c")],
        [call("look", at="d")],
    )


def parts(body: Body, number: int) -> list[dict[str, Any]]:
    return body["contents"][number]["parts"]


def drop_first(body: Body) -> None:
    del parts(body, 1)[0]["thoughtSignature"]


def drop_second(body: Body) -> None:
    del parts(body, 3)[0]["thoughtSignature"]


def alter(body: Body) -> None:
    parts(body, 3)[0]["thoughtSignature"] = "A" + parts(body, 3)[0]["thoughtSignature"][1:-4] + "AAA="


def alter_the_call(body: Body) -> None:
    parts(body, 1)[0]["functionCall"]["args"] = {"at": "elsewhere"}


def move_beside(body: Body) -> None:
    first, second = parts(body, 3)
    second["thoughtSignature"] = first["thoughtSignature"]


def move_to_another_step(body: Body) -> None:
    parts(body, 5)[0]["thoughtSignature"] = parts(body, 1)[0]["thoughtSignature"]


def take_another_models(body: Body) -> None:
    parts(body, 1)[0]["thoughtSignature"] = signature(OLD, parts(body, 1)[0])


def pretend_on_the_second(body: Body) -> None:
    parts(body, 3)[1]["thoughtSignature"] = SENTINEL


def leave_a_result_out(body: Body) -> None:
    parts(body, 4).pop()


def spread_results(body: Body) -> None:
    last = parts(body, 4).pop()
    body["contents"].insert(5, {"role": "user", "parts": [last]})


def rename_a_result(body: Body) -> None:
    parts(body, 2)[0]["functionResponse"]["name"] = "other"


def call_twice_in_a_row(body: Body) -> None:
    body["contents"] = [
        body["contents"][0],
        *asking([call("look", at="x")])["contents"][1:2],
        *whole()["contents"][1:],
    ]


def call_first(body: Body) -> None:
    body["contents"].pop(0)


def take_an_unknown_role(body: Body) -> None:
    body["contents"][2]["role"] = "tool"


def say_nothing(body: Body) -> None:
    body["contents"][0]["parts"] = []


def set_level_and_budget(body: Body) -> None:
    body["generationConfig"] = {"thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 100}}


def take_an_unknown_level(body: Body) -> None:
    body["generationConfig"] = {"thinkingConfig": {"thinkingLevel": "MAX"}}


def add_a_field(body: Body) -> None:
    body["max_tokens"] = 100


def add_a_field_to_a_call(body: Body) -> None:
    parts(body, 1)[0]["functionCall"]["arguments"] = "{}"


def declare_twice(body: Body) -> None:
    body["tools"][0]["functionDeclarations"][0]["parameters"] = {}


def refer_and_say_more(body: Body) -> None:
    body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] = {
        "properties": {"at": {"$ref": "#/$defs/Place", "type": "object"}}
    }


def name_the_schema(body: Body) -> None:
    body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] = {
        "$schema": "http://json-schema.org/"
    }


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop_first, "missing a thought_signature"),
        (drop_second, "missing a thought_signature"),
        (alter, "Corrupted thought signature"),
        (alter_the_call, "Corrupted thought signature"),
        (move_beside, "Corrupted thought signature"),
        (move_to_another_step, "Corrupted thought signature"),
        (take_another_models, "Corrupted thought signature"),
        (pretend_on_the_second, "Invalid thought signature"),
        (leave_a_result_out, "number of function response parts is equal"),
        (spread_results, "number of function response parts is equal"),
        (rename_a_result, "named as their calls"),
        (call_twice_in_a_row, "number of function response parts is equal"),
        (call_first, "comes immediately after a user turn"),
        (take_an_unknown_role, "valid role"),
        (say_nothing, "must not be empty"),
        (set_level_and_budget, "only one of thinking budget and thinking level"),
        (take_an_unknown_level, "not supported for this model"),
        (add_a_field, "Unknown name"),
        (add_a_field_to_a_call, "Unknown name"),
        (declare_twice, "mutually exclusive"),
        (refer_and_say_more, "alongside unsupported fields"),
        (name_the_schema, "Unknown name"),
    ],
)
def test_a_damaged_request_is_refused(damage: Callable[[Body], None], words: str):
    body = copy.deepcopy(whole())
    check(body, FLASH)

    damage(body)

    with pytest.raises(Refused, match=words):
        check(body, FLASH)


def test_calls_of_earlier_turns_need_no_signature_and_those_of_this_one_do():
    body = asking([call("look", at="a")], [call("look", at="b")])
    body["contents"] += [
        {"role": "user", "parts": [{"text": "And now?"}]},
        *asking([call("look", at="c")])["contents"][1:],
    ]
    drop_first(body)
    drop_second(body)
    check(body, FLASH)

    del parts(body, 6)[0]["thoughtSignature"]

    with pytest.raises(Refused, match="position 7"):
        check(body, FLASH)


@pytest.mark.parametrize(
    ("model", "thinking", "words"),
    [
        (OLD, {"thinkingLevel": "LOW"}, "not supported"),
        (OLD, {"thinkingBudget": 30_000}, "between 0 and 24576"),
        ("gemini-2.5-pro", {"thinkingBudget": 0}, "only works in thinking mode"),
    ],
)
def test_each_family_takes_its_own_words_for_thinking(model: str, thinking: dict[str, Any], words: str):
    body = {**asking(model=model), "generationConfig": {"thinkingConfig": thinking}}
    with pytest.raises(Refused, match=words):
        check(body, model)


def test_older_models_want_no_signature_and_no_pretended_one():
    body = asking([call("look", at="a")], model=OLD)
    drop_first(body)
    check(body, OLD)

    parts(body, 1)[0]["thoughtSignature"] = SENTINEL

    with pytest.raises(Refused, match="Invalid thought signature"):
        check(body, OLD)

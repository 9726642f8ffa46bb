import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from traced_runs import Script, attributes, calls, full_run, named, spans_of

from harness.messages import Message, Reasoning, Text, ToolCall, assistant
from harness.tracing import content_capture
from harness.tracing.content import message_json

HERE = Path(__file__).parent / "semconv"
SCHEMAS = {
    "gen_ai.input.messages": "gen-ai-input-messages.json",
    "gen_ai.output.messages": "gen-ai-output-messages.json",
    "gen_ai.system_instructions": "gen-ai-system-instructions.json",
    "gen_ai.tool.definitions": "gen-ai-tool-definitions.json",
}
SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def test_with_content_off_nothing_that_was_said_is_in_a_span():
    assert "CANARY" not in "".join(span.to_json() for span in spans_of(full_run()))


@pytest.mark.parametrize("mode", ["new", "full"])
def test_content_fits_the_schemas_of_the_conventions(mode: Any):
    validators = {
        name: jsonschema.Draft202012Validator(json.loads((HERE / file).read_text()))
        for name, file in SCHEMAS.items()
    }
    checked = 0
    for span in spans_of(full_run(), mode):
        for name, value in attributes(span).items():
            if name in validators:
                validators[name].validate(json.loads(value))
                checked += 1

    assert checked > 30


def test_sealed_reasoning_is_never_written():
    written = "".join(span.to_json() for span in spans_of(full_run(), "full"))

    assert "CANARY-THOUGHT" in written
    assert "CANARY-SEALED" not in written


def test_thinking_without_words_is_not_shown_as_a_part():
    sealed = Reasoning("", "openai", "m", '{"type":"reasoning","encrypted_content":"x"}')

    shown = json.loads(message_json(Message("assistant", (sealed, Text("At line 4.")))))

    assert shown["parts"] == [{"type": "text", "content": "At line 4."}]


def chats(path: str, mode: Any) -> list[Mapping[str, Any]]:
    spans = map(attributes, named(spans_of(full_run(), mode), "chat qwen3"))
    return [facts for facts in spans if facts["harness.agent.path"] == path]


def test_the_first_request_of_an_agent_shows_exactly_what_its_window_began_with():
    first, second = chats("lead/researcher-1", "new")

    assert json.loads(first["gen_ai.system_instructions"]) == [
        {"type": "text", "content": "CANARY-SYSTEM of researcher"}
    ]
    assert json.loads(first["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "CANARY-BRIEF of t1"}]}
    ]
    assert [tool["name"] for tool in json.loads(first["gen_ai.tool.definitions"])] == [
        "corpus.search",
        "plan",
    ]
    assert "gen_ai.system_instructions" not in second
    assert "gen_ai.tool.definitions" not in second


def test_later_requests_show_what_is_new():
    _, second = chats("lead/researcher-1", "new")

    assert json.loads(second["gen_ai.input.messages"]) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "CANARY-THOUGHT"},
                {
                    "type": "tool_call",
                    "id": "call_1",
                    "name": "corpus.search",
                    "arguments": {"query": "CANARY-QUERY"},
                },
            ],
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "call", "response": "CANARY-RESULT head"}],
        },
    ]


def test_full_requests_show_the_whole_window():
    roles = [
        [message["role"] for message in json.loads(chat["gen_ai.input.messages"])]
        for chat in chats("lead/researcher-1", "full")
    ]

    assert roles == [["user"], ["user", "assistant", "tool"]]
    assert all("gen_ai.system_instructions" in chat for chat in chats("lead/researcher-1", "full"))


def test_content_grows_with_what_is_new_and_not_with_the_square_of_the_turns():
    def written(turns: int) -> int:
        script = Script()
        script.run()
        script.agent("lead", "lead", "task")
        for turn in range(1, turns + 1):
            script.ask("lead", turn)
            script.answer("lead", turn, calls("corpus.search", query="word " * 100))
        return sum(len(span.to_json()) for span in spans_of(script.recorded, "new"))

    assert written(80) < 2.1 * written(40)


def test_tool_calls_show_arguments_and_what_the_model_saw():
    tool = attributes(named(spans_of(full_run(), "new"), "execute_tool corpus.search")[0])

    assert tool["gen_ai.tool.call.arguments"] == '{"query": "CANARY-QUERY"}'
    assert tool["gen_ai.tool.call.result"] == "CANARY-RESULT head"
    assert tool["gen_ai.tool.description"] == "CANARY-DESCRIPTION of search"


def test_agents_and_the_run_show_task_and_answer():
    spans = spans_of(full_run(), "new")
    critic = attributes(named(spans, "invoke_agent critic")[0])
    root = attributes(named(spans, "invoke_workflow research")[0])

    assert "CANARY-BRIEF of the critic" in critic["gen_ai.input.messages"]
    assert "CANARY-REPORT of lead/critic-1" in critic["gen_ai.output.messages"]
    assert "CANARY-TASK" in root["gen_ai.input.messages"]
    assert "CANARY-OUTPUT" in root["gen_ai.output.messages"]


def test_strange_text_and_malformed_arguments_are_written_as_they_are():
    script = Script()
    script.run("half a pair: \ud83d")
    script.agent("lead", "lead", "task")
    script.ask("lead", 1)
    script.answer("lead", 1, assistant("", ToolCall("c", "corpus.search", '{"query": ')))
    script.ask("lead", 2)
    script.answer("lead", 2, Message("assistant", (Text("\ud83d"),)))
    spans = spans_of(script.recorded, "new")
    output = json.loads(attributes(named(spans, "chat qwen3")[0])["gen_ai.output.messages"])

    assert output[0]["parts"][0]["arguments"] == '{"query": '
    assert (
        json.loads(attributes(spans[-1])["gen_ai.input.messages"])[0]["parts"][0]["content"][-1] == "\ud83d"
    )


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (None, "off"),
        ("", "off"),
        ("false", "off"),
        ("NO_CONTENT", "off"),
        ("EVENT_ONLY", "new"),
        ("perhaps", "off"),
        ("true", "new"),
        ("1", "new"),
        ("SPAN_ONLY", "new"),
        ("span_and_event", "new"),
        ("full", "full"),
    ],
)
def test_the_standard_switch_decides(value: str | None, mode: str):
    assert content_capture({} if value is None else {SWITCH: value}) == mode

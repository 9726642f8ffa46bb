from typing import Any

import pytest
from conventions import CHECKER, faults_of
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from traced_runs import RUN, Script, attributes, calls, full_run, named, spans_of, tree

from harness.messages import assistant
from harness.tracing import SpanProjector, export_run, semconv, traceparent


def test_the_spans_of_a_run_form_the_tree_of_its_delegation():
    assert tree(spans_of(full_run())) == [
        "invoke_workflow research",
        "  invoke_agent lead",
        "    plan lead",
        "      chat qwen3",
        "    execute_tool plan",
        "    plan lead",
        "      chat qwen3",
        "    execute_tool plan",
        "      invoke_agent researcher",
        "        chat qwen3",
        "        execute_tool corpus.search",
        "        chat qwen3",
        "      invoke_agent researcher",
        "        chat qwen3",
        "        execute_tool corpus.search",
        "    chat qwen3",
        "    execute_tool delegate",
        "      invoke_agent critic",
        "        chat qwen3",
        "        chat twin",
        "    chat qwen3",
    ]


@pytest.mark.parametrize("content", ["off", "new", "full"])
def test_every_span_keeps_to_the_genai_conventions(content: Any):
    faults = [fault for span in spans_of(full_run(), content) for fault in faults_of(span)]

    assert faults == []


def test_names_are_pinned_to_one_schema():
    assert CHECKER["schema_url"] == semconv.SCHEMA_URL
    scopes = {span.instrumentation_scope for span in spans_of(full_run())}

    assert [(scope.name, scope.version, scope.schema_url) for scope in scopes if scope] == [
        ("harness", "0.1.0", semconv.SCHEMA_URL)
    ]


def test_a_live_run_and_its_export_are_the_same_spans():
    live: list[ReadableSpan] = []
    projector = SpanProjector(live.append)
    for recorded in full_run():
        projector(recorded)

    assert [span.to_json() for span in live] == [span.to_json() for span in spans_of(full_run())]


def test_span_ids_are_unique_and_one_trace_holds_them():
    spans = spans_of(full_run())

    assert len({span.context.span_id for span in spans}) == len(spans)
    assert len({span.context.trace_id for span in spans}) == 1


def test_traceparent_names_the_span_of_the_call():
    call = named(spans_of(full_run()), "execute_tool delegate")[0]

    assert traceparent(RUN, "lead/turn-3/0") == (
        f"00-{call.context.trace_id:032x}-{call.context.span_id:016x}-01"
    )


def test_children_lie_within_their_parents():
    spans = {span.context.span_id: span for span in spans_of(full_run())}

    for span in spans.values():
        parent = spans[span.parent.span_id] if span.parent else span
        assert parent.start_time <= span.start_time <= span.end_time <= parent.end_time


def test_a_chat_span_tells_the_request_the_response_and_the_window():
    chat = named(spans_of(full_run()), "chat qwen3")[0]

    assert chat.kind is SpanKind.CLIENT
    assert attributes(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": RUN,
        "gen_ai.request.model": "qwen3",
        "gen_ai.response.model": "qwen3-0801",
        "gen_ai.response.id": "resp-lead-1",
        "gen_ai.response.finish_reasons": ("tool_call",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.cache_write.input_tokens": 8,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "harness.run.id": RUN,
        "harness.agent.path": "lead",
        "harness.turn": 1,
        "harness.cost.usd": 0.01,
        "harness.window.entries": 2,
        "harness.window.tokens": 100,
        "harness.window.origins": ("system", "task"),
        "harness.window.origin_tokens": (10, 20),
        "harness.request.digest": "feed",
        "harness.model_call.retries": 1,
    }
    assert [(event.name, dict(event.attributes or {})) for event in chat.events] == [
        (
            "harness.model_call.retried",
            {
                "harness.retry.attempt": 1,
                "harness.wait_seconds": 0.5,
                "harness.reason": "503 from the server",
            },
        ),
        (
            "harness.model_call.waited",
            {"harness.wait_seconds": 1.5, "harness.reason": "1 request is under way"},
        ),
    ]


def test_without_content_each_agent_still_proves_its_isolation():
    spans = spans_of(full_run())
    agents = [attributes(span) for span in spans if span.name.startswith("invoke_agent")]
    facts = {
        agent["harness.agent.path"]: (
            agent["harness.context.input.kind"],
            agent["harness.brief.tokens"],
            agent.get("harness.report.tokens"),
        )
        for agent in agents
    }
    later = [
        attributes(span)["harness.window.origins"]
        for span in named(spans, "chat qwen3")
        if attributes(span)["harness.agent.path"] == "lead"
    ]

    assert facts == {
        "lead": (("system", "task"), 20, None),
        "lead/researcher-1": (("system", "brief"), 20, None),
        "lead/researcher-2": (("system", "brief"), 20, None),
        "lead/critic-1": (("system", "brief"), 20, 44),
    }
    assert later == [
        ("system", "task"),
        ("assistant", "tool:plan"),
        ("assistant", "report:lead/*", "nudge"),
        ("assistant", "report:lead/critic-1"),
    ]


def test_an_agents_usage_is_that_of_its_own_calls():
    spans = spans_of(full_run())
    usage = {
        attributes(span)["harness.agent.path"]: attributes(span)["gen_ai.usage.input_tokens"]
        for span in spans
        if span.name.startswith("invoke_agent")
    }

    assert usage == {
        "lead": 400,
        "lead/researcher-1": 200,
        "lead/researcher-2": 100,
        "lead/critic-1": 100,
    }


def test_a_failed_call_and_the_model_it_fell_back_to_are_two_spans():
    spans = spans_of(full_run())
    failed = named(spans, "chat qwen3")[-2]
    fallback = named(spans, "chat twin")[0]
    critic = named(spans, "invoke_agent critic")[0]

    assert attributes(failed)["error.type"] == "ModelUnavailable"
    assert failed.status.description == "ModelUnavailable: http://127.0.0.1:9 refused"
    assert attributes(failed)["gen_ai.response.finish_reasons"] == ("error",)
    assert fallback.kind is SpanKind.INTERNAL
    assert "harness.cost.usd" not in attributes(fallback)
    assert "gen_ai.request.model" not in attributes(critic), "it used more than one"


def test_tool_spans_tell_server_transport_and_failure():
    good, bad = named(spans_of(full_run()), "execute_tool corpus.search")
    facts = attributes(good)

    assert attributes(bad)["error.type"] == "tool_error"
    assert facts["harness.tool.result.whole_characters"] == len("CANARY-RESULT whole text")
    assert {name: facts[name] for name in facts if not name.startswith("harness.")} == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.conversation.id": RUN,
        "gen_ai.tool.name": "corpus.search",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_1_0",
        "gen_ai.agent.name": "researcher",
        "mcp.method.name": "tools/call",
        "network.transport": "pipe",
    }


def test_a_plan_is_seen_being_made_refused_and_carried_out():
    spans = spans_of(full_run())
    refused, made = named(spans, "plan lead")
    carried_out = named(spans, "execute_tool plan")[1]

    assert attributes(refused)["error.type"] == "arguments"
    assert attributes(made)["harness.plan.tasks"] == ("t1", "t2")
    assert attributes(made)["harness.plan.agents"] == ("researcher", "researcher")
    assert [
        (event.name, (event.attributes or {}).get("harness.plan.task")) for event in carried_out.events
    ] == [
        ("harness.plan.created", None),
        ("harness.plan_task.started", "t1"),
        ("harness.plan_task.started", "t2"),
        ("harness.plan_task.finished", "t1"),
        ("harness.plan_task.finished", "t2"),
        ("harness.plan.executed", None),
    ]


def test_limits_rejections_replans_and_citations_stand_on_their_agent():
    spans = spans_of(full_run())
    lead = attributes(named(spans, "invoke_agent lead")[0])
    first, second = map(attributes, named(spans, "invoke_agent researcher"))

    assert second["harness.limits.reached"] == ("turns",)
    assert second["harness.report.status"] == "partial"
    assert first["harness.deliverable.rejections"] == 1
    assert lead["harness.plan.replan_requests"] == 1
    assert (lead["harness.citations.kept"], lead["harness.citations.dropped"]) == (1, 1)


def test_the_root_tells_how_the_run_ended():
    script = Script()
    script.run()
    script.agent("lead", "lead", "task")
    script.finish("limit", error="the token limit is reached")
    root = spans_of(script.recorded)[-1]

    assert attributes(root)["error.type"] == "limit"
    assert root.status.description == "the token limit is reached"
    assert root.parent is None


def test_any_prefix_of_a_run_is_a_whole_tree():
    recorded = full_run()
    for length in range(1, len(recorded) + 1):
        spans = spans_of(recorded[:length])
        ids = {span.context.span_id for span in spans}

        assert len(ids) == len(spans)
        assert [span.name for span in spans if span.parent is None] == ["invoke_workflow research"]
        assert all(span.parent.span_id in ids for span in spans if span.parent)
        assert [fault for span in spans for fault in faults_of(span)] == []


def test_a_cut_off_run_says_that_it_is_unfinished():
    spans = spans_of(full_run()[:20])

    assert attributes(named(spans, "invoke_workflow research")[0])["harness.unfinished"] is True


def test_a_call_begun_again_after_a_crash_is_a_second_attempt():
    script = Script()
    script.run()
    script.agent("lead", "lead", "task")
    script.ask("lead", 1)
    script.ask("lead", 1)
    script.answer("lead", 1, calls("corpus.search"))
    script.call("lead", 1, "corpus.search")
    script.returned(script.call("lead", 1, "corpus.search"), "corpus.search", "found")
    script.report("lead", 1)
    script.finish()
    spans = spans_of(script.recorded)

    for name in ("chat qwen3", "execute_tool corpus.search"):
        first, second = map(attributes, named(spans, name))
        assert first["error.type"] == "interrupted"
        assert second["harness.attempt"] == 2
        assert "error.type" not in second
    assert len({span.context.span_id for span in spans}) == len(spans)


def interrupted_run() -> Script:
    script = Script()
    script.run()
    script.agent("lead", "lead", "task")
    script.ask("lead", 1)
    script.answer("lead", 1, calls("delegate"))
    key = script.call("lead", 1, "delegate")
    script.agent("lead/critic-1", "critic", "brief", parent_call=key)
    script.finish("interrupted")
    return script


def resumed_run() -> Script:
    script = interrupted_run()
    script.ask("lead/critic-1", 1)
    script.answer("lead/critic-1", 1, assistant("yes"))
    script.report("lead/critic-1", 1)
    script.returned("lead/turn-1/0", "delegate", "yes")
    script.report("lead", 1)
    script.finish()
    return script


def test_an_interrupted_run_goes_on_in_further_spans():
    spans = spans_of(resumed_run().recorded)

    assert tree(spans) == [
        "invoke_workflow research",
        "  invoke_agent lead",
        "    chat qwen3",
        "    execute_tool delegate",
        "      invoke_agent critic",
        "invoke_workflow research",
        "  invoke_agent lead",
        "    execute_tool delegate",
        "      invoke_agent critic",
        "        chat qwen3",
    ]
    assert len({span.context.span_id for span in spans}) == len(spans)


def test_a_resumed_process_delivers_only_what_is_new():
    earlier = len(interrupted_run().recorded)
    recorded = resumed_run().recorded
    first: list[ReadableSpan] = []
    second: list[ReadableSpan] = []
    export_run(recorded[:earlier], first.append)
    projector = SpanProjector(second.append)
    projector.skip(recorded[:earlier])
    for item in recorded[earlier:]:
        projector(item)

    assert [span.to_json() for span in first + second] == [span.to_json() for span in spans_of(recorded)]

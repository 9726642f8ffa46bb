"""A limit in dollars or tokens stops a run before the call that would pass it, and counts what was reported."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

import harness
from harness import FunctionToolset, MemoryJournal, RunResult
from harness.events import LimitWasReached, ModelCallLost
from harness.replaying import replay_run
from harness.team import parse_team
from tests.models.server import Reset, Script, answer, event_stream, fault_server

pytestmark = pytest.mark.anyio

PRICE = "price: {input: 1000, output: 1000, cached: 100}"
"""USD per million: a tenth of a cent for each token."""


def looks(prompt: int, completion: int, cached: int = 0) -> bytes:
    call = {"id": "", "function": {"name": "desk__look", "arguments": "{}"}}
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return answer({"choices": [{"message": {"tool_calls": [call]}}], "usage": usage})


async def play(
    folder: Path, limits: str, *scripts: Script, model: str = "", price: str = PRICE
) -> tuple[RunResult, int, MemoryJournal]:
    """Run a team under limits; return the result and how often its model was asked."""
    pages = 0

    def look() -> str:
        """Look."""
        nonlocal pages
        pages += 1
        return f"page {pages}"

    journal = MemoryJournal()
    async with fault_server(*scripts) as server:
        text = f"""
harness: 1
name: frugal
entry: lead
models: {{main: {{api: openai-chat, base_url: '{server.base_url}', model: m, {price}, retries: 1{model}}}}}
limits: {{{limits}}}
agents: {{lead: {{instructions: Do it., tools: [desk]}}}}
"""
        team = parse_team(text, base=folder, environment={}, servers=["desk"])
        with anyio.fail_after(10):
            async with harness.open(team, store=journal, toolsets=[FunctionToolset("desk", look)]) as opened:
                result = await opened.run("Do it.")
    assert (await replay_run(list(journal.read(result.run_id)))).exact
    return result, len(server.requests), journal


async def test_a_reply_as_long_as_it_may_be_would_pass_the_limit(tmp_path: Path):
    """Each call costs 0.3; a third one might cost 0.9 for its reply alone."""
    result, asked, _ = await play(tmp_path, "usd: 1.3", *[looks(100, 200)] * 4, model=", max_tokens: 900")
    assert asked == 1
    assert (result.stop_reason, result.error) == ("limit", "stopped by the limit: usd of the run")
    assert result.cost == pytest.approx(0.3)


async def test_a_request_that_grows_into_a_dearer_price_counts_at_that(tmp_path: Path):
    """The first call costs 0.8; the second, 800 tokens long, would cost ten times what it would have before."""
    price = "price: {input: 1000, output: 1000, above: {tokens: 500, input: 10000, output: 10000}}"
    result, asked, _ = await play(tmp_path, "usd: 5", *[looks(100, 700)] * 4, price=price)
    assert (asked, result.stop_reason) == (1, "limit")
    assert result.cost == pytest.approx(0.8)
    (tmp_path / "plain").mkdir()
    _, asked, _ = await play(tmp_path / "plain", "usd: 5", *[looks(100, 700)] * 4)
    assert asked > 1


async def test_where_replies_may_be_any_length_they_count_as_long_as_they_were(tmp_path: Path):
    """Each call costs 0.8; a third would send the last reply back, 0.8, and be expected to bring as much, 0.7."""
    result, asked, _ = await play(tmp_path, "usd: 2.6", *[looks(100, 700)] * 4)
    assert asked == 2
    assert result.cost == pytest.approx(1.6)


async def test_tokens_stop_before_the_call_that_would_pass_them(tmp_path: Path):
    result, asked, journal = await play(tmp_path, "tokens: 3500", *[looks(400, 600)] * 4)
    assert asked == 2
    assert result.usage.total_tokens == 2000
    (reached,) = [
        item.event for item in journal.read(result.run_id) if isinstance(item.event, LimitWasReached)
    ]
    assert (reached.limit, reached.scope, reached.allowed) == ("tokens", "the run", 3500)


async def test_without_a_limit_in_sight_everything_is_asked(tmp_path: Path):
    done = answer(
        {
            "choices": [{"message": {"content": "Done."}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9},
        }
    )
    result, asked, _ = await play(
        tmp_path, "usd: 50, tokens: 100k", *[looks(400, 600)] * 4, done, model=", max_tokens: 900"
    )
    assert (result.output, asked) == ("Done.", 5)


async def test_a_reply_that_was_lost_on_its_way_counts_against_the_limit(tmp_path: Path):
    """The stream breaks after some words; what had come of it and the request are paid for."""
    words = b'data: {"choices": [{"delta": {"content": "some words that came before it broke"}}]}\n\n'
    broken = [*event_stream(words, end=False), Reset()]
    result, asked, journal = await play(tmp_path, "usd: 50", broken, broken, model=", stream: true")
    lost = [item.event for item in journal.read(result.run_id) if isinstance(item.event, ModelCallLost)]
    assert asked == len(lost) == 2
    assert all(event.usage.output_tokens >= 5 and event.usage.input_tokens > 10 for event in lost)
    assert result.usage.total_tokens == sum(event.usage.total_tokens for event in lost)
    assert result.cost == pytest.approx(sum(event.cost or 0 for event in lost))

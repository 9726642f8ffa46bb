"""Limits of an endpoint hold for everything in this process that asks it, and who comes first is served first."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import anyio
import pytest

import harness
from harness import MemoryJournal
from harness.cli.progress import describe_wait
from harness.events import ModelCallWaited
from harness.messages import user
from harness.models.endpoint import Endpoint
from harness.models.limiter import Limiter, Limits, limiter_of
from harness.models.openai_chat import OpenAIChatModel
from harness.models.port import CallOptions, Notice, Waiting
from harness.replaying import replay_run
from harness.team import parse_team
from tests.models.server import Pause, Script, answer, fault_server

pytestmark = pytest.mark.anyio

FINE = answer({"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]})


class Clock:
    """A clock that is set by hand, so that a minute need not be waited for."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limiter_with(limits: Limits) -> tuple[Limiter, Clock]:
    clock = Clock()
    limiter = Limiter(clock=clock)
    limiter.join(limits)
    return limiter, clock


def unheard(_: Waiting) -> None:
    """Nobody is told of waits."""


async def fits_now(limiter: Limiter, tokens: int = 0) -> bool:
    """Whether a request is admitted without waiting."""
    with anyio.move_on_after(0.02):
        async with limiter.admitted(tokens, unheard):
            return True
    return False


async def ask(model: OpenAIChatModel, heard: list[Notice] | None = None) -> None:
    transcript = model.open([])
    transcript.append(user("x"))
    await model.respond(transcript, CallOptions(), (heard if heard is not None else []).append)


async def test_no_more_requests_begin_within_any_minute_than_may():
    limiter, clock = limiter_with(Limits(requests_per_minute=3))
    assert [await fits_now(limiter) for _ in range(4)] == [True, True, True, False]
    clock.now += 59.9
    assert not await fits_now(limiter)
    clock.now += 0.2
    assert [await fits_now(limiter) for _ in range(4)] == [True, True, True, False]


async def test_tokens_count_as_expected_until_the_provider_says_what_they_were():
    limiter, clock = limiter_with(Limits(tokens_per_minute=1000))
    async with limiter.admitted(900, unheard) as use:
        assert not await fits_now(limiter, 200)
        limiter.used(use, 100)
    assert await fits_now(limiter, 900)
    assert not await fits_now(limiter, 1)
    clock.now += 61
    assert await fits_now(limiter, 5000), "more than the limit goes when nothing else does"
    assert not await fits_now(limiter, 1)


async def test_the_strictest_of_those_that_use_an_endpoint_holds_until_it_is_closed():
    limiter, _ = limiter_with(Limits(parallel=5))
    strict = Limits(parallel=1)
    limiter.join(strict)
    async with limiter.admitted(0, unheard):
        assert not await fits_now(limiter)
        limiter.leave(strict)
        assert await fits_now(limiter)


async def test_who_comes_first_is_served_first_and_who_gives_up_holds_nobody_back():
    limiter, _ = limiter_with(Limits(parallel=1))
    served: list[int] = []
    scopes = [anyio.CancelScope() for _ in range(1000)]

    async def come(number: int) -> None:
        with scopes[number]:
            async with limiter.admitted(0, unheard):
                served.append(number)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group, limiter.admitted(0, unheard):
            for number in range(1000):
                group.start_soon(come, number)
            await anyio.wait_all_tasks_blocked()
            for number in range(0, 1000, 2):
                scopes[number].cancel()
            await anyio.wait_all_tasks_blocked()
            assert served == []
    assert served == list(range(1, 1000, 2))
    assert await fits_now(limiter)


async def test_a_thousand_waiting_cost_about_ten_times_what_a_hundred_cost():
    async def seconds(number: int) -> float:
        limiter, _ = limiter_with(Limits(parallel=1, requests_per_minute=100_000))

        async def come() -> None:
            async with limiter.admitted(0, unheard):
                await asyncio.sleep(0)

        began = time.process_time()
        async with anyio.create_task_group() as group:
            for _ in range(number):
                group.start_soon(come)
        return time.process_time() - began

    few = min([await seconds(200) for _ in range(3)])
    many = min([await seconds(2000) for _ in range(3)])
    assert many < 40 * few


async def test_a_wait_of_more_than_a_second_is_told_of_once_and_when_it_is_over():
    limiter = Limiter()
    limiter.join(Limits(parallel=1))
    told: list[Waiting] = []
    heard = anyio.Event()

    def tell(waiting: Waiting) -> None:
        told.append(waiting)
        heard.set()

    async def come() -> None:
        async with limiter.admitted(0, tell):
            pass

    async with anyio.create_task_group() as group, limiter.admitted(0, unheard):
        group.start_soon(come)
        with anyio.fail_after(5):
            await heard.wait()
        with anyio.move_on_after(0.05):
            await anyio.sleep_forever()
    assert told == [
        Waiting(None, 1, "1 request is under way, and no more may be"),
        Waiting(pytest.approx(1.05, abs=0.5), 0, "1 request is under way, and no more may be"),
    ]


async def test_models_of_one_endpoint_and_key_share_what_it_takes():
    """Two models, as two agents of two runs would have, and one more with another key."""
    scripts: list[Script] = [[Pause(0.05), FINE]] * 6
    async with fault_server(*scripts) as server:
        ours = [
            OpenAIChatModel(
                Endpoint(model=name, base_url=server.base_url, api_key="one", limits=Limits(parallel=1))
            )
            for name in ("a", "b")
        ]
        async with anyio.create_task_group() as group:
            for model in ours * 2:
                group.start_soon(ask, model)
        assert server.most_at_once == 1
        other = OpenAIChatModel(Endpoint(model="c", base_url=server.base_url, api_key="two"))
        async with anyio.create_task_group() as group:
            for model in (ours[0], other):
                group.start_soon(ask, model)
        assert server.most_at_once == 2
        for model in (*ours, other):
            await model.close()


async def test_a_429_quiets_everybody_who_has_the_key():
    busy = answer({"error": {"message": "slow"}}, status=429, headers={"Retry-After": "0.2"})
    async with fault_server(busy, FINE, FINE) as server:
        first, second = (
            OpenAIChatModel(
                Endpoint(model="m", base_url=server.base_url, api_key="same", backoff_seconds=0.01)
            )
            for _ in range(2)
        )
        told = anyio.Event()

        async def be_refused() -> None:
            transcript = first.open([])
            transcript.append(user("x"))
            await first.respond(transcript, CallOptions(), lambda _: told.set())

        async with anyio.create_task_group() as group:
            group.start_soon(be_refused)
            await told.wait()
            began = time.monotonic()
            await ask(second)
            assert time.monotonic() - began >= 0.15
        await first.close()
        await second.close()
    assert len(server.requests) == 3


async def test_threads_with_loops_of_their_own_share_a_limit():
    limiter = limiter_of("http://threads.example", "key")
    limiter.join(Limits(parallel=1))
    at_once, most = 0, 0

    async def work() -> None:
        nonlocal at_once, most
        for _ in range(20):
            async with limiter.admitted(0, unheard):
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.001)
                at_once -= 1

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    with anyio.fail_after(20):
        for thread in threads:
            await anyio.to_thread.run_sync(thread.join)
    assert most == 1
    assert limiter_of("http://threads.example", "key") is limiter


async def test_runs_of_two_open_teams_wait_for_each_other_and_say_so(tmp_path: Path):
    """Two harnesses with a team file each; one request at a time is all that both may make together."""
    waits: list[str] = []
    recorded: list[ModelCallWaited] = []
    async with fault_server([Pause(1.3), FINE], [Pause(1.3), FINE]) as server:

        async def run(name: str) -> None:
            text = f"""
harness: 1
name: {name}
entry: lead
models: {{main: {{api: openai-chat, base_url: '{server.base_url}', model: {name}, parallel: 1}}}}
agents: {{lead: {{instructions: Answer.}}}}
"""
            team = parse_team(text, base=tmp_path, environment={})
            journal = MemoryJournal()
            async with harness.open(team, store=journal) as opened:
                run = await opened.start("Go on.")

                def hear(agent: str, notice: object) -> None:
                    if isinstance(notice, Waiting) and notice.queued:
                        waits.append(f"{agent}: {describe_wait(notice)}")

                run.notices.listen(hear)
                assert (await run.result()).output == "fine"
            events = list(journal.read(run.id))
            recorded.extend(item.event for item in events if isinstance(item.event, ModelCallWaited))
            assert (await replay_run(events)).exact

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(run, "one")
                group.start_soon(run, "two")
    assert [(event.agent, event.turn, event.reason) for event in recorded] == [
        ("lead", 1, "1 request is under way, and no more may be")
    ]
    assert 1 < recorded[0].seconds < 5
    assert server.most_at_once == 1
    assert waits == ["lead: waits: 1 request is under way, and no more may be"]

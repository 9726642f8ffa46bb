"""Calls at a server: lost, late, cancelled, many, large."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from servers_in_use import CONTEXT, Arrival, call, hub, in_process, plain, tool

from harness.errors import ToolError, ToolServerError
from harness.team.specs import TimeoutsSpec
from harness.tools.port import CallContext

pytestmark = pytest.mark.anyio


async def test_a_read_only_call_runs_again_once_on_a_new_server_when_the_server_crashes(tmp_path: Path):
    ledger = tmp_path / "ledger"
    with anyio.fail_after(20):
        async with hub(pipe=plain(effects={"crash_first_time": "read"})) as servers:
            output = await call(servers, "pipe.crash_first_time", ledger=str(ledger))

    assert output.text == "ran 2 times"


async def test_a_read_only_call_that_crashes_every_server_runs_no_third_time(tmp_path: Path):
    starts = tmp_path / "starts"
    with anyio.fail_after(20):
        async with hub(pipe=plain({"starts": str(starts)}, effects={"crash": "read"})) as servers:
            with pytest.raises(ToolServerError):
                await call(servers, "pipe.crash")

    assert starts.read_text() == "started\n" * 2


async def test_a_call_that_must_not_run_twice_is_told_that_its_outcome_is_unknown(tmp_path: Path):
    ledger = tmp_path / "ledger"
    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers:
            with pytest.raises(ToolServerError) as raised:
                await call(servers, "pipe.crash_first_time", ledger=str(ledger))
            assert ledger.read_text() == "ran\n"

            assert (await call(servers, "pipe.echo", text="back")).text == "back"

    assert str(raised.value) == (
        "the server pipe was lost during crash_first_time; whether it took effect is unknown\n"
        "  it ended with exit code 3"
    )


async def test_the_last_words_of_a_crashed_server_are_quoted():
    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers:
            with pytest.raises(ToolServerError, match="its last words: the disk is on fire"):
                await call(servers, "pipe.crash")


async def test_parallel_calls_that_fail_together_share_one_restart(tmp_path: Path):
    starts = tmp_path / "starts"
    texts: list[str] = []
    errors: list[str] = []
    arrivals = [Arrival() for _ in range(10)]

    async def hold(held, arrival: Arrival) -> None:
        with pytest.raises(ToolServerError) as raised:
            await held.invoke({}, arrival.context)
        errors.append(str(raised.value))

    async def again(servers) -> None:
        texts.append((await call(servers, "pipe.pid")).text)

    with anyio.fail_after(20):
        async with hub(pipe=plain({"starts": str(starts)})) as servers:
            held = await tool(servers, "pipe.hold")
            async with anyio.create_task_group() as callers:
                for arrival in arrivals:
                    callers.start_soon(hold, held, arrival)
                for arrival in arrivals:
                    await arrival.event.wait()
                with pytest.raises(ToolServerError):
                    await call(servers, "pipe.crash")
                for _ in range(10):
                    callers.start_soon(again, servers)

    assert starts.read_text() == "started\n" * 2
    assert len(errors) == 10
    assert all("whether it took effect is unknown" in error for error in errors)
    assert len(texts) == 10
    assert len(set(texts)) == 1


async def test_a_server_that_closes_its_output_but_stays_is_replaced():
    with anyio.fail_after(20):
        async with hub(pipe=plain({"deaf": True})) as servers:
            with pytest.raises(ToolServerError, match="whether it took effect is unknown"):
                await call(servers, "pipe.close_output")
            assert (await call(servers, "pipe.echo", text="back")).text == "back"


async def test_an_error_that_merely_looks_like_a_closed_connection_is_the_tools_own(tmp_path: Path):
    starts = tmp_path / "starts"
    with anyio.fail_after(20):
        async with hub(pipe=plain({"starts": str(starts)})) as servers:
            with pytest.raises(ToolError, match="not today") as raised:
                await call(servers, "pipe.deny_with_code", code=-32000)
            await call(servers, "pipe.echo")

    assert not isinstance(raised.value, ToolServerError)
    assert starts.read_text() == "started\n"


@pytest.mark.parametrize(
    "spec", [plain(timeouts=TimeoutsSpec(call=0.5)), in_process(timeouts=TimeoutsSpec(call=0.5))]
)
async def test_a_call_that_hangs_ends_in_time_and_reaches_the_server_as_a_cancellation(spec):
    with anyio.fail_after(20):
        async with hub(server=spec) as servers:
            began = anyio.current_time()
            with pytest.raises(ToolServerError) as raised:
                await call(servers, "server.hold")
            assert 0.4 < anyio.current_time() - began < 2
            if spec.command:
                assert (await call(servers, "server.cancelled")).text == "1"

    assert str(raised.value) == "server.hold gave no sign of life for 0.5 s; the call was cancelled"


async def test_progress_keeps_a_slow_call_alive_and_is_passed_on():
    arrival = Arrival()
    with anyio.fail_after(20):
        async with hub(pipe=plain(timeouts=TimeoutsSpec(call=0.8))) as servers:
            slow = await tool(servers, "pipe.progress")
            began = anyio.current_time()
            output = await slow.invoke({"steps": 5, "seconds": 0.3}, arrival.context)
            assert anyio.current_time() - began > 1.4

    assert output.text == "done"
    assert arrival.reports == [(step, 5, f"step {step}") for step in range(1, 6)]


async def test_cancelling_one_caller_reaches_the_server_and_disturbs_no_other():
    released: list[str] = []
    arrivals = [Arrival() for _ in range(6)]
    scopes = [anyio.CancelScope() for _ in range(6)]

    async def hold(held, number: int) -> None:
        with scopes[number]:
            released.append((await held.invoke({}, arrivals[number].context)).text)

    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers:
            held = await tool(servers, "pipe.hold")
            async with anyio.create_task_group() as callers:
                for number in range(6):
                    callers.start_soon(hold, held, number)
                for arrival in arrivals:
                    await arrival.event.wait()
                for number in range(3):
                    scopes[number].cancel()
                while (await call(servers, "pipe.cancelled")).text != "3":
                    await anyio.lowlevel.checkpoint()
                await call(servers, "pipe.release")

    assert released == ["released 6"] * 3


@pytest.mark.parametrize("spec", [plain(), in_process()])
async def test_a_hundred_calls_at_once(spec):
    name, argument = ("server.echo", "text") if spec.command else ("server.greet", "name")
    texts: dict[int, str] = {}

    async def one(found, number: int) -> None:
        texts[number] = (await found.invoke({argument: str(number)}, CONTEXT)).text

    with anyio.fail_after(20):
        async with hub(server=spec) as servers:
            found = await tool(servers, name)
            async with anyio.create_task_group() as callers:
                for number in range(100):
                    callers.start_soon(one, found, number)

    assert {number: text.split()[-1] for number, text in texts.items()} == {n: str(n) for n in range(100)}


async def test_noise_on_the_output_is_passed_over():
    with anyio.fail_after(20):
        async with hub(pipe=plain({"banner": 300})) as servers:
            assert (await call(servers, "pipe.echo", text="hi")).text == "hi"


async def test_a_flood_on_the_error_output_blocks_nothing():
    with anyio.fail_after(20):
        async with hub(pipe=plain({"stderr": 10_000_000})) as servers:
            assert (await call(servers, "pipe.echo", text="hi")).text == "hi"


async def test_a_result_of_twenty_megabytes_takes_time_in_proportion():
    async def seconds(servers, size: int) -> float:
        began = anyio.current_time()
        assert len((await call(servers, "pipe.big", size=size)).text) == size
        return anyio.current_time() - began

    with anyio.fail_after(30):
        async with hub(pipe=plain()) as servers:
            small = await seconds(servers, 2_000_000)
            large = await seconds(servers, 20_000_000)

    assert large < 25 * max(small, 0.02)
    assert large < 2.5


async def test_keyed_calls_carry_their_key_and_run_again_with_the_same_one(tmp_path: Path):
    context = CallContext("lead", 1, "call-1", "lead/turn-1/0", run_id="run-9")
    spec = plain(effects={"meta": "keyed", "crash_first_time": "keyed"})
    with anyio.fail_after(20):
        async with hub(pipe=spec) as servers:
            meta = json.loads((await (await tool(servers, "pipe.meta")).invoke({}, context)).text)
            again = await tool(servers, "pipe.crash_first_time")
            output = await again.invoke({"ledger": str(tmp_path / "ledger")}, context)

    assert meta["harness/idempotency-key"] == "run-9/lead/turn-1/0"
    assert output.text == "ran 2 times"


async def test_a_keyed_call_without_a_run_does_not_run_again(tmp_path: Path):
    """Its key would not tell it from the same place in another run."""
    with anyio.fail_after(20):
        async with hub(pipe=plain(effects={"crash_first_time": "keyed"})) as servers:
            with pytest.raises(ToolServerError, match="is unknown"):
                await call(servers, "pipe.crash_first_time", ledger=str(tmp_path / "ledger"))

"""When servers start, and that nothing is left of them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import pytest
from servers_in_use import (
    CONTEXT,
    Arrival,
    HttpServer,
    call,
    descendants,
    gone,
    hub,
    in_process,
    is_running,
    plain,
    tool,
)

from harness.errors import RequiredServerFailed, ToolServerError
from harness.events import Event, ToolServerFailed, ToolServerStarted
from harness.team import ServerSpec
from harness.team.specs import TimeoutsSpec

pytestmark = pytest.mark.anyio


def starts(ledger: Path) -> int:
    return len(ledger.read_text().splitlines()) if ledger.exists() else 0


async def test_nothing_starts_until_a_tool_of_it_is_asked_for(tmp_path: Path):
    used, unused = tmp_path / "used", tmp_path / "unused"
    with anyio.fail_after(20):
        async with hub(used=plain({"starts": str(used)}), unused=plain({"starts": str(unused)})) as servers:
            assert await servers.tools([]) == []
            assert (starts(used), starts(unused)) == (0, 0)

            assert (await call(servers, "used.echo", text="hi")).text == "hi"

            assert (starts(used), starts(unused)) == (1, 0)


async def test_servers_start_side_by_side(tmp_path: Path):
    """Each waits at start until the other has started as well."""
    code = (
        "import os, sys, time\n"
        "open(sys.argv[1], 'w').close()\n"
        "while not os.path.exists(sys.argv[2]): time.sleep(0.01)\n"
        "os.execv(sys.executable, [sys.executable, sys.argv[3]])\n"
    )
    script = str(Path(__file__).parent / "servers" / "plain_server.py")
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    specs = {
        "first": ServerSpec(command=sys.executable, args=["-c", code, a, b, script]),
        "second": ServerSpec(command=sys.executable, args=["-c", code, b, a, script]),
    }
    with anyio.fail_after(20):
        async with hub(**specs) as servers:
            names = [one.definition.name for one in await servers.tools(["*.echo"])]

    assert names == ["first.echo", "second.echo"]


async def test_ninety_calls_from_ninety_tasks_start_each_server_once(tmp_path: Path):
    ledgers = [tmp_path / f"ledger-{number}" for number in range(3)]
    specs = {f"s{number}": plain({"starts": str(ledger)}) for number, ledger in enumerate(ledgers)}
    answers: dict[int, str] = {}

    async def one(servers, number: int) -> None:
        answers[number] = (await call(servers, f"s{number % 3}.echo", text=str(number))).text

    with anyio.fail_after(30):
        async with hub(**specs) as servers, anyio.create_task_group() as callers:
            for number in range(90):
                callers.start_soon(one, servers, number)

    assert answers == {number: str(number) for number in range(90)}
    assert [starts(ledger) for ledger in ledgers] == [1, 1, 1]


async def test_a_hub_may_be_entered_and_left_in_another_task_than_the_callers(http_server: HttpServer):
    ready, finished = anyio.Event(), anyio.Event()
    opened = []

    async def own() -> None:
        async with hub(pipe=plain(), here=in_process(), web=http_server.spec()) as servers:
            opened.append(servers)
            ready.set()
            await finished.wait()

    texts = []

    async def use(name: str, arguments: dict[str, str]) -> None:
        texts.append((await call(opened[0], name, **arguments)).text)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own)
            await ready.wait()
            async with anyio.create_task_group() as callers:
                callers.start_soon(use, "pipe.echo", {"text": "piped"})
                callers.start_soon(use, "here.greet", {"name": "you"})
                callers.start_soon(use, "web.greet", {"name": "web"})
            finished.set()

    assert sorted(texts) == ["hello web", "hello you", "piped"]


async def test_hubs_may_be_closed_in_any_order():
    """First in, first out: what an SDK client in the caller's task does not survive."""
    closing = [anyio.Event() for _ in range(3)]
    ready = [anyio.Event() for _ in range(3)]
    closed = [anyio.Event() for _ in range(3)]

    async def own(number: int) -> None:
        async with hub(pipe=plain(), here=in_process()) as servers:
            await servers.tools(["pipe", "here"])
            ready[number].set()
            await closing[number].wait()
        closed[number].set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as owners:
            for number in range(3):
                owners.start_soon(own, number)
                await ready[number].wait()
            for number in (1, 0, 2):
                closing[number].set()
                await closed[number].wait()


async def test_closing_ends_the_server_and_what_it_started():
    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers:
            server = int((await call(servers, "pipe.pid")).text)
            grandchild = int((await call(servers, "pipe.spawn")).text)
            assert is_running(server)
            assert is_running(grandchild)
        assert not is_running(server)
        await gone(grandchild)


@pytest.mark.parametrize("options", [{"deaf": True}, {"deaf": True, "stubborn": True}])
async def test_a_server_that_does_not_want_to_end_is_made_to(options: dict[str, bool]):
    with anyio.fail_after(20):
        async with hub(pipe=plain(options)) as servers:
            server = int((await call(servers, "pipe.pid")).text)
        assert not is_running(server)


async def test_a_server_that_hangs_at_start_holds_up_nobody_else_and_ends(tmp_path: Path):
    grandchild = tmp_path / "grandchild"
    hangs = plain(
        {"silent": True, "say": "waiting for the moon", "grandchild": str(grandchild)},
        timeouts=TimeoutsSpec(connect=1.0),
        required=False,
    )
    events: list[Event] = []
    with anyio.fail_after(20):
        async with hub(hangs=hangs, works=plain()) as servers:
            assert (await call(servers, "works.echo", text="hi")).text == "hi"
            began = anyio.current_time()
            tools = await servers.tools(["hangs", "works.echo"], emit=events.append)
            assert anyio.current_time() - began < 3
            assert [one.definition.name for one in tools] == ["works.echo"]
            await gone(int(grandchild.read_text()))

            again = anyio.current_time()
            await servers.tools(["hangs", "works.echo"])
            assert anyio.current_time() - again < 0.5, "it is not tried again at once"

    [failed] = events
    assert isinstance(failed, ToolServerFailed)
    assert failed.error == (
        "the server hangs could not be started: no answer within 1 s\n  its last words: waiting for the moon"
    )


async def test_all_who_wait_for_a_hanging_start_are_told_at_the_same_time():
    errors: list[str] = []

    async def wait(servers, seconds: float) -> None:
        await anyio.sleep(seconds)
        with pytest.raises(RequiredServerFailed) as raised:
            await servers.tools(["hangs"])
        errors.append(str(raised.value))

    with anyio.fail_after(20):
        async with (
            hub(hangs=plain({"silent": True}, timeouts=TimeoutsSpec(connect=0.5))) as servers,
            anyio.create_task_group() as waiting,
        ):
            for number in range(5):
                waiting.start_soon(wait, servers, number * 0.08)

    assert errors == ["the server hangs could not be started: no answer within 0.5 s"] * 5


async def test_a_missing_program_is_named():
    async with hub(gone=ServerSpec(command="no-such-program-anywhere")) as servers:
        with anyio.fail_after(10), pytest.raises(RequiredServerFailed) as raised:
            await servers.tools(["gone"])

    assert str(raised.value) == (
        "the server gone could not be started: command or file not found: no-such-program-anywhere"
    )


async def test_a_server_that_ends_at_start_is_quoted():
    async with hub(broken=plain({"say": "no license \x1b[31mfound", "exit": 3})) as servers:
        with anyio.fail_after(10), pytest.raises(RequiredServerFailed) as raised:
            await servers.tools(["broken"])

    assert str(raised.value) == (
        "the server broken could not be started: it ended before it answered\n"
        "  it ended with exit code 3\n"
        "  its last words: no license  [31mfound"
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (in_process(args={"fail": "no root"}), "ValueError: no root"),
        (in_process(args={"fail": "exit"}), "the module sdk_server called exit(7) while it was imported"),
        (ServerSpec(module="no.such.module"), "ModuleNotFoundError: No module named 'no'"),
        (in_process(args={"roof": 1}), "TypeError: create() got an unexpected keyword argument 'roof'"),
        (plain(envFile="no.env"), "command or file not found: "),
        (plain(cwd="no/such/folder"), "command or file not found: "),
        (ServerSpec(url="http://127.0.0.1:9/mcp"), "no connection: "),
    ],
)
async def test_what_keeps_a_server_from_starting_is_said(spec: ServerSpec, message: str):
    async with hub(broken=spec) as servers:
        with anyio.fail_after(10), pytest.raises(RequiredServerFailed) as raised:
            await servers.tools(["broken"])

    assert f"could not be {'reached' if spec.url else 'started'}: {message}" in str(raised.value)


async def test_a_server_that_is_not_required_leaves_the_rest_working():
    events: list[Event] = []
    with anyio.fail_after(20):
        async with hub(
            gone=ServerSpec(command="no-such-program", required=False), here=in_process()
        ) as servers:
            tools = await servers.tools(["gone", "here.greet"], emit=events.append)
            assert [one.definition.name for one in tools] == ["here.greet"]

    assert [event for event in events if isinstance(event, ToolServerFailed)] == [
        ToolServerFailed(
            server="gone",
            error="the server gone could not be started: command or file not found: no-such-program",
            required=False,
        )
    ]
    [started] = [event for event in events if isinstance(event, ToolServerStarted)]
    assert (started.server, started.transport) == ("here", "in-process")


async def test_cancelling_a_start_from_above_leaves_nothing(tmp_path: Path):
    grandchild = tmp_path / "grandchild"
    os.mkfifo(grandchild)
    with anyio.fail_after(10):
        with anyio.CancelScope() as scope:
            async with (
                hub(hangs=plain({"silent": True, "grandchild": str(grandchild)})) as servers,
                anyio.create_task_group() as waiting,
            ):
                waiting.start_soon(servers.tools, ["hangs"])
                process = int(await anyio.Path(grandchild).read_text())
                began = anyio.current_time()
                scope.cancel()
        assert scope.cancelled_caught
        assert anyio.current_time() - began < 2
        await gone(process)


async def test_cancelling_the_caller_of_a_start_lets_the_others_have_the_server():
    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers, anyio.create_task_group() as callers:
            with anyio.CancelScope() as impatient:
                async with anyio.create_task_group() as early:
                    early.start_soon(servers.tools, ["pipe"])
                    await anyio.lowlevel.checkpoint()
                    impatient.cancel()
            callers.start_soon(call, servers, "pipe.echo")
            assert (await call(servers, "pipe.echo", text="hi")).text == "hi"


async def test_cancelling_a_close_from_above_leaves_nothing():
    with anyio.fail_after(10):
        with anyio.CancelScope() as scope:
            async with hub(deaf=plain({"deaf": True, "stubborn": True}), works=plain()) as servers:
                server = int((await call(servers, "deaf.pid")).text)
                await servers.tools(["works"])
                scope.deadline = anyio.current_time() + 0.2
        assert not is_running(server)
    assert descendants() == set()


async def test_leaving_while_calls_are_under_way_fails_them_and_ends():
    outcomes: list[str] = []
    arrival = Arrival()

    async def hold(held) -> None:
        try:
            await held.invoke({}, arrival.context)
        except ToolServerError as error:
            outcomes.append(str(error))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as callers, hub(pipe=plain()) as servers:
            callers.start_soon(hold, await tool(servers, "pipe.hold"))
            await arrival.event.wait()

    assert outcomes == ["the server pipe was lost during hold; whether it took effect is unknown"]


async def test_a_hub_that_was_left_starts_nothing_again():
    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers:
            echo = await tool(servers, "pipe.echo")
        with pytest.raises(ToolServerError, match="the server pipe was closed"):
            await echo.invoke({}, CONTEXT)


async def test_a_server_killed_from_outside_is_started_again_even_for_a_call_that_must_not_run_twice():
    with anyio.fail_after(20):
        async with hub(pipe=plain()) as servers:
            first = int((await call(servers, "pipe.pid")).text)
            grandchild = int((await call(servers, "pipe.spawn")).text)
            os.kill(first, signal.SIGKILL)
            await gone(grandchild)

            second = await call(servers, "pipe.pid")

            assert int(second.text) != first

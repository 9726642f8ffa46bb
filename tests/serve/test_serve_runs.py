"""Runs over HTTP: started, watched, listed and stopped by real clients over TCP."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from house import PAIR, Gate, House, Sent, house, read_events

import harness
from harness import MemoryJournal, calls, says, scripted
from harness.serve import ServeOptions
from harness.views import event_view

pytestmark = pytest.mark.anyio


async def recorded(served: House, run_id: str) -> list[dict[str, Any]]:
    """What the journal holds of a run, as `harness run --json` prints it."""
    import orjson

    return [orjson.loads(orjson.dumps(event_view(item))) for item in served.harness.journal.read(run_id)]


def sequences(events: list[Sent]) -> list[int]:
    return [event.id for event in events]


async def test_a_run_that_is_started_can_be_watched_to_its_answer(tmp_path: Path):
    async with house(tmp_path, lead=scripted(says("X is at 4."))) as served:
        reply = await served.ask("POST", "/runs", json={"task": "Where is X?", "session": "s1"})
        run_id = reply.body["run_id"]
        events = await served.events(run_id)
        shown = (await served.ask("GET", reply.headers["Location"])).body

    assert reply.status == 202
    assert reply.body["links"]["events"] == f"/runs/{run_id}/events"
    assert sequences(events) == list(range(len(events)))
    assert [event.event for event in events] == [event.data["type"] for event in events]
    assert (shown["status"], shown["output"], shown["session"]) == ("done", "X is at 4.", "s1")
    assert shown["usage"]["calls"] == 1


async def test_the_stream_is_what_the_command_line_prints(tmp_path: Path):
    async with house(tmp_path, lead=scripted(says("X is at 4."))) as served:
        run_id = await served.start()
        events = await served.events(run_id)

        assert [event.data for event in events] == await recorded(served, run_id)


async def test_a_client_that_comes_back_goes_on_where_it_was(tmp_path: Path):
    gate = Gate()
    async with house(tmp_path, desk=[gate.wait], lead=scripted(calls("desk.wait"), says("Done."))) as served:
        run_id = await served.start()
        await gate.entered.wait()
        first: list[Sent] = []
        async with served.http.get(f"{served.url}/runs/{run_id}/events") as response:
            async for sent in read_events(response):
                first.append(sent)
                if sent.event == "tool_call.started":
                    break
        gate.opened.set()
        rest = await served.events(run_id, after=first[-1].id)
        by_query = await served.ask("GET", f"/runs/{run_id}/events?after={rest[-2].id}")

        assert [event.data for event in first + rest] == await recorded(served, run_id)
        assert by_query.body.count(b"data: ") == 1


async def test_whoever_has_seen_the_end_is_told_that_nothing_will_come(tmp_path: Path):
    async with house(tmp_path, lead=scripted(says("Done."))) as served:
        run_id = await served.start()
        last = (await served.events(run_id))[-1]
        again = await served.ask("GET", f"/runs/{run_id}/events", headers={"Last-Event-ID": str(last.id)})

    assert (again.status, again.body) == (204, b"")


async def test_many_readers_of_one_run_each_see_everything(tmp_path: Path):
    gate = Gate()
    async with house(tmp_path, desk=[gate.wait], lead=scripted(calls("desk.wait"), says("Done."))) as served:
        run_id = await served.start()
        seen: list[list[int]] = []

        async def read() -> None:
            seen.append(sequences(await served.events(run_id)))

        async with anyio.create_task_group() as readers:
            for _ in range(20):
                readers.start_soon(read)
            await gate.entered.wait()
            gate.opened.set()

    assert len(seen) == 20
    assert all(each == list(range(len(seen[0]))) for each in seen)


async def test_a_run_of_an_earlier_process_can_be_read(tmp_path: Path):
    journal = MemoryJournal()
    async with house(tmp_path, store=journal, lead=scripted(says("Then."))) as earlier:
        run = await earlier.harness.start("Where was X?")
        await run.result()
    async with house(tmp_path, store=journal, lead=scripted(says("Now."))) as served:
        events = await served.events(run.id)
        shown = (await served.ask("GET", f"/runs/{run.id}")).body

    assert (events[-1].event, events[-1].data["output"]) == ("run.finished", "Then.")
    assert (shown["status"], shown["output"]) == ("done", "Then.")


async def test_readers_that_do_not_read_neither_slow_the_run_nor_fill_memory_nor_lose_anything(
    tmp_path: Path,
):
    readers, turns = 20, 60

    def page(number: int) -> str:
        """Return a long page."""
        return f"{number} " + "x" * 100_000

    script = [calls("desk.page", number=number) for number in range(turns)]
    async with house(tmp_path, desk=[page], lead=scripted(*script, says("Done."))) as served:
        run_id = await served.start()
        run = served.harness.live[run_id]
        async with AsyncExitStack() as stack:
            # Nothing is read before the run has ended: the streams stand still at what fits into sockets.
            stuck = [
                await stack.enter_async_context(served.http.get(f"{served.url}/runs/{run_id}/events"))
                for _ in range(readers)
            ]
            before = resident_bytes()
            result = await run.result()
            held = resident_bytes() - before
            seen = [[sent async for sent in read_large(response)] for response in stuck]

    assert result.output == "Done."
    assert all(each == list(range(len(seen[0]))) for each in seen)
    assert len(seen[0]) > turns * 8
    # Streams encoded for each reader would take 20 times 18 MB.
    assert held < 100e6


def resident_bytes() -> int:
    """The memory this process uses at the moment, where the system says so."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


async def read_large(response: Any) -> Any:
    """Yield the ids of a stream whose lines are longer than a client's buffer."""
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n\n")
        for block in whole:
            if block.startswith(b"id: "):
                yield int(block[4 : block.index(b"\n")])


class HeldJournal(MemoryJournal):
    """A journal whose disk can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = anyio.Event()
        self.written = anyio.Event()
        self.written.set()

    def hold(self) -> None:
        self.asked, self.written = anyio.Event(), anyio.Event()

    async def durable(self, run_id: str = "") -> None:
        self.asked.set()
        await self.written.wait()


async def test_nothing_is_shown_that_a_crash_could_take_back(tmp_path: Path):
    journal, gate = HeldJournal(), Gate()
    options = ServeOptions(keep_alive_seconds=0.05)
    lead = scripted(calls("desk.wait"), says("Done."))
    async with house(tmp_path, options=options, store=journal, desk=[gate.wait], lead=lead) as served:
        run_id = await served.start()
        async with served.http.get(f"{served.url}/runs/{run_id}/events") as response:
            lines = response.content
            await until(lines, b"event: tool_call.started\n")
            journal.hold()
            gate.opened.set()
            await journal.asked.wait()
            shown_meanwhile = await until(lines, b": nothing new\n")
            journal.written.set()
            await until(lines, b"event: run.finished\n")

    assert not any(line.startswith(b"id:") for line in shown_meanwhile)


async def until(lines: aiohttp.StreamReader, wanted: bytes) -> list[bytes]:
    """Read up to a line, and return what came before it."""
    before: list[bytes] = []
    async for line in lines:
        if line == wanted:
            return before
        before.append(line)
    raise AssertionError(f"{wanted!r} never came")


async def test_a_silent_stream_says_that_it_lives(tmp_path: Path):
    gate = Gate()
    options = ServeOptions(keep_alive_seconds=0.02)
    async with house(
        tmp_path, options=options, desk=[gate.wait], lead=scripted(calls("desk.wait"), says("Done."))
    ) as served:
        run_id = await served.start()
        async with served.http.get(f"{served.url}/runs/{run_id}/events") as response:
            lines: list[bytes] = []
            async for line in response.content:
                lines.append(line)
                if line == b": nothing new\n":
                    gate.opened.set()

    assert lines[0] == b"retry: 1000\n"
    assert b"event: run.finished\n" in lines


async def test_the_same_key_means_the_same_run(tmp_path: Path):
    async with house(tmp_path, lead=scripted(says("Done."))) as served:
        key = {"Idempotency-Key": "order 66"}
        first = await served.ask("POST", "/runs", json={"task": "Once."}, headers=key)
        again = await served.ask("POST", "/runs", json={"task": "Once."}, headers=key)
        await served.events(first.body["run_id"])
        later = await served.ask("POST", "/runs", json={"task": "Once."}, headers=key)
        other = await served.ask("POST", "/runs", json={"task": "Twice."}, headers=key)
        listed = (await served.ask("GET", "/runs")).body["runs"]

    assert first.body["run_id"] == again.body["run_id"] == later.body["run_id"]
    assert again.headers["Idempotent-Replay"] == "true"
    assert "Idempotent-Replay" not in first.headers
    assert other.status == 422
    assert len(listed) == 1


async def test_runs_are_listed_newest_first_and_filtered(tmp_path: Path):
    gate = Gate()
    lead = scripted(calls("desk.wait"), says("Done."))
    async with house(tmp_path, desk=[gate.wait], lead=lead) as served:
        gate.opened.set()
        done = await served.start("First", session="a")
        await served.events(done)
        gate.opened = anyio.Event()
        going = await served.start("Second", session="b")

        async def listed(query: str = "") -> list[str]:
            return [run["run_id"] for run in (await served.ask("GET", f"/runs{query}")).body["runs"]]

        assert await listed() == [going, done]
        assert await listed("?status=running") == [going]
        assert await listed("?status=done") == [done]
        assert await listed("?session=a") == [done]
        assert await listed("?limit=1") == [going]
        assert (await served.ask("GET", "/runs?limit=many")).status == 400
        gate.opened.set()
        await served.events(going)


async def test_a_cancelled_run_has_ended_when_the_answer_comes(tmp_path: Path):
    gate = Gate()
    async with house(tmp_path, desk=[gate.wait], lead=scripted(calls("desk.wait"))) as served:
        run_id = await served.start()
        await gate.entered.wait()
        reply = await served.ask("POST", f"/runs/{run_id}/cancel")
        again = await served.ask("POST", f"/runs/{run_id}/cancel")
        events = await served.events(run_id)

    assert (reply.status, reply.body["status"]) == (200, "cancelled")
    assert again.status == 409
    assert events[-1].data["stop_reason"] == "cancelled"


async def test_clients_start_at_the_entry_agent_unless_more_are_offered(tmp_path: Path):
    models = {"lead": scripted(says("From the lead.")), "scout": scripted(says("From the scout."))}
    async with house(tmp_path, PAIR, **models) as served:
        refused = await served.ask("POST", "/runs", json={"task": "Go.", "entry": "scout"})
    async with house(tmp_path, PAIR, options=ServeOptions(agents=("lead", "scout")), **models) as served:
        run_id = await served.start("Go.", entry="scout")
        events = await served.events(run_id)

    assert (refused.status, refused.body["error"]["hint"]) == (404, "try lead")
    assert events[-1].data["output"] == "From the scout."


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/runs/none", None, 404, "there is no run 'none'"),
        ("GET", "/runs/none/events", None, 404, "there is no run 'none'"),
        ("POST", "/runs/none/cancel", None, 404, "there is no run 'none'"),
        ("POST", "/runs/none/approve", b"{}", 404, "there is no run 'none'"),
        ("POST", "/runs/none/resume", None, 404, "there is no run 'none'"),
        ("POST", "/runs", b"{", 400, "not JSON"),
        ("POST", "/runs", b'{"task": 4}', 400, "task: Input should be a valid string"),
        ("POST", "/runs", b'{"task": "x", "aks": 1}', 400, "aks: Extra inputs are not permitted"),
        ("POST", "/runs", b'{"task": "  "}', 400, "the task is empty"),
        (
            "POST",
            "/runs",
            b'{"task": "x", "images": ["http://elsewhere/a.png"]}',
            400,
            "in the request itself",
        ),
        ("GET", "/nowhere", None, 404, "Not Found"),
        ("DELETE", "/runs", None, 405, "Method Not Allowed"),
    ],
)
async def test_wrong_requests_are_told_what_is_wrong(
    tmp_path: Path, method: str, path: str, body: bytes | None, status: int, said: str
):
    async with house(tmp_path) as served:
        reply = await served.ask(method, path, data=body)

    assert reply.status == status
    assert said in reply.body["error"]["message"]


async def test_images_reach_the_model(tmp_path: Path):
    lead = scripted(says("A cat."))
    image = {"data": "AAAA", "media_type": "image/gif"}
    async with house(tmp_path, lead=lead) as served:
        run_id = await served.start("What is it?", images=[image, "data:image/png;base64,BBBB"])
        await served.events(run_id)

    task = lead.requests[0][-1]
    assert task.parts[1:] == (harness.Image("AAAA", "image/gif"), harness.Image("BBBB", "image/png"))


async def test_no_more_runs_than_there_is_room_for(tmp_path: Path):
    gate = Gate()
    options = ServeOptions(max_runs=1)
    async with house(
        tmp_path, options=options, desk=[gate.wait], lead=scripted(calls("desk.wait"), says("Done."))
    ) as served:
        first = await served.start()
        refused = await served.ask("POST", "/runs", json={"task": "Another."})
        gate.opened.set()
        await served.events(first)
        second = await served.start()
        await served.events(second)

    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) >= 1


async def test_what_an_earlier_server_left_is_carried_on_and_its_streams_with_it(tmp_path: Path):
    journal, gate = MemoryJournal(), Gate()
    lead = scripted(calls("desk.wait"), says("Done."))
    stopping = ServeOptions(grace_seconds=0.01)
    async with house(
        tmp_path, options=stopping, store=journal, effect="read", desk=[gate.wait], lead=lead
    ) as earlier:
        first = await earlier.start("First")
        second = await earlier.start("Second")
        await gate.entered.wait()
    left = [item.event.type for item in journal.read(second)]
    one_by_one = ServeOptions(max_runs=1)
    async with house(
        tmp_path, options=one_by_one, store=journal, effect="read", desk=[gate.wait], lead=lead
    ) as served:
        async with served.http.get(f"{served.url}/runs/{second}/events") as response:
            stream = read_events(response)
            seen = [await anext(stream) for _ in left]
            gate.opened.set()
            seen += [sent async for sent in stream]
        first_seen = await served.events(first)

    assert left[-1] == "run.finished"
    assert seen[len(left) - 1].data["stop_reason"] == "interrupted"
    assert seen[len(left)].event == "run.resumed"
    assert sequences(seen) == list(range(len(seen)))
    assert seen[-1].data["output"] == first_seen[-1].data["output"] == "Done."


async def test_nothing_is_carried_on_if_that_is_switched_off(tmp_path: Path):
    journal, gate = MemoryJournal(), Gate()
    stopping = ServeOptions(grace_seconds=0.01)
    async with house(
        tmp_path, options=stopping, store=journal, desk=[gate.wait], lead=scripted(calls("desk.wait"))
    ) as earlier:
        run_id = await earlier.start()
        await gate.entered.wait()
    async with house(
        tmp_path, options=ServeOptions(carry_on=False), store=journal, lead=scripted(says("Done."))
    ) as served:
        shown = (await served.ask("GET", f"/runs/{run_id}")).body
        live = dict(served.harness.live)

    assert shown["status"] == "interrupted"
    assert live == {}


async def test_a_run_that_failed_can_be_carried_on_by_request(tmp_path: Path):
    journal = MemoryJournal()
    async with house(tmp_path, store=journal, lead=scripted()) as served:
        run_id = await served.start()
        failed = await served.events(run_id)
    async with house(tmp_path, store=journal, lead=scripted(says("Done."))) as served:
        reply = await served.ask("POST", f"/runs/{run_id}/resume")
        rest = await served.events(run_id, after=failed[-1].id)
        again = await served.ask("POST", f"/runs/{run_id}/resume")

    assert (failed[-1].data["stop_reason"], reply.status, again.status) == ("failed", 202, 400)
    assert (rest[0].event, rest[-1].data["output"]) == ("run.resumed", "Done.")
    assert "is done" in again.body["error"]["message"]


async def test_a_broken_store_makes_the_server_unready(tmp_path: Path):
    class Full(MemoryJournal):
        broken = False

        async def durable(self, run_id: str = "") -> None:
            if self.broken:
                raise harness.StoreError("the disk is full")

    journal = Full()
    async with house(tmp_path, store=journal) as served:
        before = await served.ask("GET", "/readyz")
        journal.broken = True
        after = await served.ask("GET", "/readyz")
        alive = await served.ask("GET", "/healthz")

    assert (before.status, after.status, alive.status) == (200, 503, 200)
    assert "the disk is full" in after.body["status"]


async def test_the_team_file_says_what_is_served_unless_told_otherwise(tmp_path: Path):
    agents = f"{PAIR}serve: {{expose: [scout], max_concurrent: 1, requests_per_minute: 3, max_body: 1kB}}\n"
    models = {"lead": scripted(says("From the lead.")), "scout": scripted(says("From the scout."))}
    async with house(tmp_path, agents, **models) as served:
        run_id = await served.start("Go.")
        events = await served.events(run_id)
        large = await served.ask("POST", "/runs", data=b"x" * 2000)
        fourth = await served.ask("GET", "/runs")
    async with house(
        tmp_path, agents, options=ServeOptions(agents=("lead",), body_limit=5000), **models
    ) as served:
        other = await served.events(await served.start("Go." + " " * 2000))

    assert events[-1].data["output"] == "From the scout."
    assert (large.status, fourth.status) == (413, 429)
    assert other[-1].data["output"] == "From the lead."

"""Group commit over a sink that the test holds in its hand."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import anyio
import anyio.to_thread
import pytest

from harness.errors import Fenced, StoreError
from harness.journal.rows import ContentRow, EventRow
from harness.journal.writer import GroupCommit

pytestmark = pytest.mark.anyio


class HeldSink:
    """Takes a batch when it is let, and has lost the runs that were named."""

    name = "the sink"

    def __init__(self) -> None:
        self.written: list[EventRow] = []
        self.began = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.lost: set[str] = set()

    def write(self, events: Sequence[EventRow], contents: Sequence[ContentRow]) -> Mapping[str, StoreError]:
        self.began.release()
        self.let.acquire()
        self.written += [row for row in events if row[0] not in self.lost]
        return {run_id: Fenced(f"run {run_id} is gone") for run_id in self.lost & {row[0] for row in events}}

    def tend(self) -> float | None:
        return None

    def close(self) -> None:
        pass


def row(run_id: str, sequence: int) -> EventRow:
    return run_id, sequence, 0.0, "", "turn.started", b"{}"


async def test_what_was_put_before_its_run_was_known_to_be_lost_is_not_written():
    sink = HeldSink()
    writer = GroupCommit(sink)
    writer.put([row("lost", 0), row("kept", 0)], [], 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.committed, "kept")
        await anyio.to_thread.run_sync(sink.began.acquire)
        writer.put([row("lost", 1), row("kept", 1)], [], 1)
        sink.lost.add("lost")
        sink.let.release()
    sink.lost.clear()
    sink.let.release()

    await writer.committed("kept")
    with pytest.raises(Fenced, match="run lost is gone"):
        await writer.committed("lost")
    with pytest.raises(Fenced, match="run lost is gone"):
        writer.put([row("lost", 2)], [], 1)
    assert sink.written == [row("kept", 0), row("kept", 1)]

    writer.restore("lost")
    writer.put([row("lost", 1)], [], 1)
    sink.let.release()
    await writer.committed("lost")
    assert sink.written[2:] == [row("lost", 1)]
    await writer.close()


async def test_waiting_for_one_run_does_not_wait_for_the_next_batch():
    sink = HeldSink()
    writer = GroupCommit(sink)
    writer.put([row("first", 0)], [], 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.committed, "first")
        await anyio.to_thread.run_sync(sink.began.acquire)
        writer.put([row("second", 0)], [], 1)
        # The sink takes one batch only: a wait for both would not end.
        sink.let.release()

    assert sink.written == [row("first", 0)]
    sink.let.release()
    await writer.close()


async def test_a_job_that_is_refused_stops_nobody_and_one_that_breaks_stops_all():
    sink = HeldSink()
    writer = GroupCommit(sink)

    def refuse() -> None:
        raise Fenced("not yours")

    def break_down() -> None:
        raise OSError("the disk is on fire")

    with pytest.raises(Fenced, match="not yours"):
        await writer.perform(refuse)
    assert await writer.perform(lambda: 7) == 7
    with pytest.raises(StoreError, match="the sink could not be written: the disk is on fire"):
        await writer.perform(break_down)
    with pytest.raises(StoreError, match="nothing more is accepted"):
        writer.put([row("run", 0)], [], 1)
    await writer.close()

"""A client that does not give up: it starts one run and reads its events, however often the server dies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import aiohttp
import anyio
from house import Sent, read_events

RECONNECT_SECONDS = 0.2
"""What an EventSource would wait, too."""


class Milestones:
    """How far all clients are together.

    Args:
        clients: How many there are.
        enough: How many events are half the way.
    """

    def __init__(self, clients: int, enough: int) -> None:
        self.half_way = anyio.Event()
        self.all_done = anyio.Event()
        self._clients = clients
        self._enough = enough

    def saw(self, client: StubbornClient) -> None:
        """Count one event."""
        self._enough -= 1
        self._clients -= client.done
        if self._enough == 0:
            self.half_way.set()
        if self._clients == 0:
            self.all_done.set()


@dataclass
class StubbornClient:
    """One client and what it has seen."""

    http: aiohttp.ClientSession
    url: str
    number: int
    milestones: Milestones
    run_id: str = ""
    seen: list[Sent] = field(default_factory=list[Sent])
    connections: int = 0

    async def run(self) -> None:
        """Start a run and read its events to its end."""
        while not self.run_id:
            await self._attempt(self._start)
        while not self.done:
            await self._attempt(self._read)

    @property
    def done(self) -> bool:
        """Whether the run has come to its own end."""
        return bool(self.seen) and self.seen[-1].data.get("stop_reason") == "done"

    @property
    def sequences(self) -> list[int]:
        """The sequences of the events that came, in the order they came."""
        return [sent.id for sent in self.seen]

    async def _attempt(self, action: Any) -> None:
        try:
            await action()
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            await anyio.sleep(RECONNECT_SECONDS)

    @property
    def events_path(self) -> str:
        """Where the events of the run are."""
        return f"/runs/{self.run_id}/events"

    async def _start(self) -> None:
        body = {"task": f"Task {self.number}."}
        headers = {"Idempotency-Key": f"client {self.number}"}
        async with self.http.post(f"{self.url}/runs", json=body, headers=headers) as response:
            if response.status == 202:
                self.run_id = (await response.json())["run_id"]
            else:
                await anyio.sleep(RECONNECT_SECONDS)

    async def _read(self) -> None:
        headers = {"Last-Event-ID": str(self.seen[-1].id)} if self.seen else {}
        self.connections += 1
        async with self.http.get(self.url + self.events_path, headers=headers) as response:
            async for sent in read_events(response):
                self.seen.append(sent)
                self.milestones.saw(self)

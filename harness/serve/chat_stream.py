"""A chat completion piece by piece.

Only the entry agent's final answer is content. Whether what an agent says is its final answer is
known when its turn is over, unless it has no tools: then every word it says is. So the text of an
agent without tools is passed on as it comes, and any other answer is sent in pieces once it is
whole. What happens meanwhile is told in comments, which clients pass over.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from harness.errors import StoreError
from harness.events import AgentRunStarted, Recorded
from harness.loop.log import Happening
from harness.models.port import TextDelta
from harness.run import Run, RunResult
from harness.serve.chat_shapes import chat_usage, content_of, extension, failure, finish_reason
from harness.serve.chat_task import ChatRequest
from harness.serve.following import Following
from harness.serve.problems import openai_problem, refusal_of
from harness.serve.sse import HEADERS, MEDIA_TYPE, comment
from harness.serve.telling import progress_line
from harness.views import json_line

_PIECE = re.compile(r"\S*\s*(?:\S+\s*){0,7}")
"""A handful of words."""


class ChatStream(Response):
    """Answers with the chunks of one run."""

    def __init__(
        self, run: Run, entry: str, asked: ChatRequest, following: Following, keep_alive_seconds: float
    ) -> None:
        super().__init__(headers=HEADERS, media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._run = run
        self._entry = entry
        self._asked = asked
        self._following = following
        self._keep_alive_seconds = keep_alive_seconds
        self._created = int(time.time())
        self._speech = _Speech(entry)
        self._said = ""
        run.notices.listen(self._speech.hear)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; cancel the run if the client goes away."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await self._answer(receive, send)
        finally:
            if not self._run.is_over:
                with anyio.CancelScope(shield=True):
                    await self._run.cancel()

    async def _answer(self, receive: Receive, send: Send) -> None:
        outcome: RunResult | Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, receive)
            await self._send(send, self._delta({"role": "assistant", "content": ""}))
            tasks.start_soon(self._tell, send)
            tasks.start_soon(self._pass_on, send)
            try:
                outcome = await self._run.result()
            except Exception as error:
                outcome = error
            tasks.cancel_scope.cancel()
        for chunk in self._end(outcome):
            await self._send(send, chunk)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await self._run.cancel()

    async def _tell(self, send: Send) -> None:
        """Tell in comments what happens, and learn whether the entry agent's words are its answer."""
        batches = self._following.events(self._run.id, silence_seconds=self._keep_alive_seconds)
        # A store that breaks ends the run, which is told at the end.
        with suppress(StoreError):
            async for batch in batches:
                if any(map(self._speaks_freely, batch)):
                    self._speech.open()
                lines = [progress_line(recorded.event) for recorded in batch] if batch else ["still at work"]
                text = b"".join(comment(line) for line in lines if line)
                if text:
                    await send({"type": "http.response.body", "body": text, "more_body": True})

    def _speaks_freely(self, recorded: Recorded) -> bool:
        event = recorded.event
        return isinstance(event, AgentRunStarted) and event.agent == self._entry and not event.tools

    async def _pass_on(self, send: Send) -> None:
        while True:
            text = await self._speech.next()
            self._said += text
            await self._send(send, self._delta({"content": text}))

    def _end(self, outcome: RunResult | Exception | None) -> Iterator[Mapping[str, object]]:
        """Yield the chunks that remain when the run is over."""
        if not isinstance(outcome, RunResult):
            yield {"error": openai_problem(refusal_of(outcome or RuntimeError()))}
            return
        if outcome.stop_reason in ("failed", "cancelled", "interrupted"):
            yield {"error": openai_problem(failure(outcome))}
            return
        waiting = self._run.waiting
        for piece in _pieces(_rest(content_of(outcome, waiting), self._said)):
            yield self._delta({"content": piece})
        last = self._delta({}, finish_reason(outcome))
        yield {**last, "harness": extension(outcome, waiting, self._asked)}
        if self._wants_usage:
            yield {**self._chunk([]), "usage": chat_usage(outcome.usage)}

    @property
    def _wants_usage(self) -> bool:
        return self._asked.stream_options is not None and self._asked.stream_options.include_usage

    def _delta(self, delta: Mapping[str, str], reason: str | None = None) -> Mapping[str, object]:
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}])

    def _chunk(self, choices: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
        chunk: dict[str, object] = {
            "id": self._run.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._asked.model,
            "choices": choices,
        }
        return chunk | ({"usage": None} if self._wants_usage else {})

    async def _send(self, send: Send, chunk: Mapping[str, object]) -> None:
        body = f"data: {json_line(chunk)}\n\n".encode()
        await send({"type": "http.response.body", "body": body, "more_body": True})


class _Speech:
    """What the entry agent says, held back until it is known to be the answer."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._heard = ""
        self._opened = False
        self._changed = anyio.Event()

    def hear(self, agent: str, notice: Happening) -> None:
        """Take a notice of the run."""
        if agent == self._agent and isinstance(notice, TextDelta):
            self._heard += notice.text
            self._changed.set()

    def open(self) -> None:
        """Let out what was said and what will be."""
        self._opened = True
        self._changed.set()

    async def next(self) -> str:
        """Wait for words and return all there are."""
        while not (self._opened and self._heard):
            await self._changed.wait()
            self._changed = anyio.Event()
        text, self._heard = self._heard, ""
        return text


def _rest(answer: str, said: str) -> str:
    """Return what of the answer has not been said; all of it if something else was said before."""
    said = said.strip()
    if answer.startswith(said):
        return answer[len(said) :]
    return f"\n\n{answer}"


def _pieces(text: str) -> Iterator[str]:
    return (match.group() for match in _PIECE.finditer(text) if match.group())

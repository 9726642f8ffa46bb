"""A web service with a team inside: FastAPI around one long-lived harness.

    pip install harness-agents fastapi
    python examples/service/app.py --port 8400

Needs no key and no network. Kill it while it answers and start it again: every question is carried
on where it was, and clients that reconnect miss nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

import harness
from harness.serve import Following, ServerSpans, current_traceparent, event_stream, request_tracer, serve

TEAM = Path(__file__).resolve().parent / "team.yaml"
GRACE_SECONDS = 5.0
"""How long questions may be worked on when the service is told to stop."""


class Question(BaseModel):
    """What somebody wants to know."""

    text: str
    careful: bool = False
    """Ask a person before anybody reads on in a document."""


class Decision(BaseModel):
    """A person's answer about a call that waits."""

    call: str = ""
    allow: bool = True
    by: str = ""


class HelpDesk:
    """The harness and what follows its runs, open for as long as the service lives."""

    def __init__(self, team: harness.Harness, following: Following) -> None:
        self.team = team
        self.following = following

    @classmethod
    @asynccontextmanager
    async def opened(cls, team_file: Path, *, store: Path, trace: Path | None) -> AsyncIterator[HelpDesk]:
        """Open the team, carry on what an earlier process has left, and stop cleanly at the end."""
        async with (
            harness.open(team_file, store=store, trace=trace) as team,
            Following(team).opened() as following,
        ):
            desk = cls(team, following)
            await team.resume_all()
            try:
                yield desk
            finally:
                await desk.stop()

    async def stop(self) -> None:
        """Take no more questions, let those under way end for a while, and interrupt the rest."""
        await self.team.drain(grace=GRACE_SECONDS)
        self.following.close()


def desk_of(request: Request) -> HelpDesk:
    """Return the desk that serves this request."""
    return request.app.state.desk


def create_app(team_file: Path, *, store: Path, trace: Path | None = None) -> FastAPI:
    """Return the service; its questions are kept in `store`, spans also written to `trace`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with HelpDesk.opened(team_file, store=store, trace=trace) as app.state.desk:
            yield

    app = FastAPI(title="Help desk", lifespan=lifespan)

    @app.put("/questions/{name}", status_code=202)
    async def ask(name: str, question: Question, request: Request) -> dict[str, str]:
        """Ask a question under a name of the client's choice; asking twice is asking once."""
        team = desk_of(request).team
        if name not in team.live and next(iter(team.journal.read(name)), None) is None:
            await team.start(
                question.text,
                entry="careful" if question.careful else "lead",
                traceparent=current_traceparent(),
                run_id=name,
            )
        return {"events": f"/questions/{name}/events"}

    @app.get("/questions/{name}")
    async def show(name: str, request: Request) -> dict[str, Any]:
        """Tell how far a question is."""
        state = known(desk_of(request), name)
        finished = state.finished
        return {
            "status": finished.stop_reason if finished else "working",
            "answer": finished.output if finished else None,
            "sources": [citation.locator for citation in finished.citations] if finished else [],
            "waiting": [
                {"call": question.key, "tool": question.tool, "arguments": question.arguments}
                for question in state.waiting.values()
            ],
        }

    @app.get("/questions/{name}/events")
    async def follow(name: str, request: Request, last_event_id: Annotated[int, Header()] = -1) -> Response:
        """Stream everything that happens, from where the client was."""
        desk = desk_of(request)
        known(desk, name)
        if await desk.following.is_over(name, last_event_id):
            return Response(status_code=204)
        stream = event_stream(desk.following, name, after=last_event_id)
        return StreamingResponse(
            stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    @app.post("/questions/{name}/approve", status_code=202)
    async def approve(name: str, decision: Decision, request: Request) -> dict[str, str]:
        """Let a call that waits go ahead, or not."""
        desk = desk_of(request)
        known(desk, name)
        await desk.team.approve(name, decision.call, allow=decision.allow, by=decision.by)
        return {"events": f"/questions/{name}/events"}

    @app.delete("/questions/{name}", status_code=202)
    async def cancel(name: str, request: Request) -> dict[str, str]:
        """Stop working on a question."""
        run = desk_of(request).team.live.get(name)
        if run is None:
            raise HTTPException(409, f"nobody works on {name}")
        await run.cancel()
        return {"status": "cancelled"}

    @app.exception_handler(harness.HarnessError)
    async def refuse(request: Request, error: harness.HarnessError) -> JSONResponse:
        """Tell what was wrong with a request, or with us."""
        return JSONResponse({"detail": str(error)}, 400 if isinstance(error, harness.UsageError) else 503)

    return app


def known(desk: HelpDesk, name: str) -> harness.RunState:
    """Return what a question has come to; 404 if nobody asked it."""
    run = desk.team.live.get(name)
    state = run.state if run else harness.fold(desk.team.journal.read(name))
    if run is None and state.started is None:
        raise HTTPException(404, f"nobody asked {name}")
    return state


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8400)
    parser.add_argument("--team", type=Path, default=TEAM, help="a team with the agents `lead` and `careful`")
    parser.add_argument("--store", type=Path, default=Path("help-desk-runs"))
    parser.add_argument("--trace", type=Path, help="write spans to this file as OTLP JSON lines")
    options = parser.parse_args()

    with request_tracer(options.trace) as tracer:
        app = create_app(options.team, store=options.store, trace=options.trace)
        app.add_middleware(ServerSpans, tracer=tracer)

        async def run() -> None:
            await serve(
                app,
                port=options.port,
                on_stop=lambda: app.state.desk.stop(),
                on_listening=lambda address: print(f"listening on {address}", flush=True),
            )

        anyio.run(run)


if __name__ == "__main__":
    main()

"""Runs over HTTP.

POST /runs                  start one: {task, images?, session?, entry?}
GET  /runs                  list them: ?status=&session=&limit=
GET  /runs/ID               what a run has come to
GET  /runs/ID/events        everything that happens in it, as server-sent events
POST /runs/ID/approve       answer the question of a call
POST /runs/ID/cancel        stop it
POST /runs/ID/resume        carry it on
GET  /healthz  /readyz      whether the process lives, and whether it takes runs in
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from harness.messages import Image
from harness.run import Run
from harness.serve.guard import CLIENT
from harness.serve.problems import Refusal, json_response, read_json
from harness.serve.reception import Answer, Order
from harness.serve.serving import serving
from harness.serve.spans import current_traceparent
from harness.serve.sse import event_stream, stream_response, wanted_after
from harness.serve.status import run_status, summary_status
from harness.views import json_line

MOST_LISTED = 500

_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+);base64,(.+)", re.DOTALL)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _ImageBody(_Body):
    data: str
    media_type: str = "image/png"


class _StartBody(_Body):
    task: str
    images: list[_ImageBody | str] = Field(default_factory=list[_ImageBody | str])
    session: str = ""
    entry: str = ""


class _ApproveBody(_Body):
    call: str = ""
    allow: bool = True
    arguments: dict[str, Any] | str | None = None
    content: dict[str, Any] | None = None
    happened: bool | None = None
    by: str = ""
    reason: str = ""


async def start(request: Request) -> Response:
    """Start a run; with an `Idempotency-Key` that was used before, name the run it started."""
    body = _StartBody.model_validate(await read_json(request))
    order = Order(
        body.task,
        tuple(map(_image, body.images)),
        session=body.session,
        entry=body.entry,
        traceparent=current_traceparent(),
    )
    reception = serving(request).reception
    key = request.headers.get("idempotency-key", "")
    if key:
        run_id, again = await reception.start_once(order, f"{request.scope.get(CLIENT, '')}\0{key}")
    else:
        run_id, again = (await reception.start(order)).id, False
    return _accepted(request, run_id, {"Idempotent-Replay": "true"} if again else {})


async def list_runs(request: Request) -> Response:
    """List the store's runs, newest first."""
    query = request.query_params
    limit = _limit(query.get("limit", "50"))
    reception = serving(request).reception
    views: list[dict[str, object]] = []
    for summary in await reception.runs():
        view = summary_status(summary, live=summary.run_id in reception.harness.live)
        if query.get("status", view["status"]) != view["status"]:
            continue
        if query.get("session", view["session"]) != view["session"]:
            continue
        views.append(view)
        if len(views) == limit:
            break
    return json_response({"runs": views})


async def show(request: Request) -> Response:
    """Tell what a run has come to."""
    run_id = request.path_params["run_id"]
    await serving(request).reception.find(run_id)
    return json_response(await run_status(serving(request).reception, run_id) | _links(request, run_id))


async def events(request: Request) -> Response:
    """Stream a run's events from where the client was; 204 tells it that nothing more will come."""
    run_id, here = request.path_params["run_id"], serving(request)
    await here.reception.find(run_id)
    after = wanted_after(request)
    if await here.following.is_over(run_id, after):
        return Response(status_code=204)
    stream = event_stream(
        here.following, run_id, after=after, keep_alive_seconds=here.options.keep_alive_seconds
    )
    return stream_response(stream)


async def approve(request: Request) -> Response:
    """Answer the question of a call."""
    body = _ApproveBody.model_validate(await read_json(request))
    arguments = body.arguments if isinstance(body.arguments, str | None) else json_line(body.arguments)
    answer = Answer(body.call, body.allow, arguments, body.content, body.happened, body.by, body.reason)
    run = await serving(request).reception.approve(request.path_params["run_id"], answer)
    return _accepted(request, run.id)


async def cancel(request: Request) -> Response:
    """Stop a run where it is; it has ended when this is answered."""
    run = await serving(request).reception.cancel(request.path_params["run_id"])
    return json_response(await run_status(serving(request).reception, run.id) | _links(request, run.id))


async def resume(request: Request) -> Response:
    """Carry on a run that has stopped."""
    run: Run = await serving(request).reception.resume(request.path_params["run_id"])
    return _accepted(request, run.id)


async def healthz(request: Request) -> Response:
    """Say that the process lives."""
    return json_response({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Say whether runs are taken in."""
    reason = await serving(request).reception.unready()
    return json_response({"status": reason or "ready"}, 503 if reason else 200)


ROUTES = [
    Route("/runs", start, methods=["POST"]),
    Route("/runs", list_runs, methods=["GET"]),
    Route("/runs/{run_id}", show, methods=["GET"]),
    Route("/runs/{run_id}/events", events, methods=["GET"]),
    Route("/runs/{run_id}/approve", approve, methods=["POST"]),
    Route("/runs/{run_id}/cancel", cancel, methods=["POST"]),
    Route("/runs/{run_id}/resume", resume, methods=["POST"]),
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
]


def read_data_url(url: str) -> Image:
    """Return the image that a `data:` URL holds.

    Raises:
        Refusal: It is another kind of URL; nothing is fetched on behalf of clients.
    """
    match = _DATA_URL.fullmatch(url)
    if match is None:
        raise Refusal(
            400, "an image must be in the request itself", hint="send it as data:image/png;base64,…"
        )
    return Image(match[2], match[1])


def _image(body: _ImageBody | str) -> Image:
    return read_data_url(body) if isinstance(body, str) else Image(body.data, body.media_type)


def _accepted(request: Request, run_id: str, headers: dict[str, str] | None = None) -> Response:
    links = _links(request, run_id)
    location = str(request.url_for("show", run_id=run_id).path)
    return json_response({"run_id": run_id} | links, 202, {"Location": location} | (headers or {}))


def _links(request: Request, run_id: str) -> dict[str, object]:
    own = str(request.url_for("show", run_id=run_id).path)
    return {
        "links": {"self": own} | {name: f"{own}/{name}" for name in ("events", "approve", "cancel", "resume")}
    }


def _limit(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MOST_LISTED:
        raise Refusal(400, f"limit={text} is no number from 1 to {MOST_LISTED}")
    return int(text)

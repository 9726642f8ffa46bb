"""The OpenAI-compatible endpoint: a team, or one of its agents, looks like a model.

    GET  /v1/models                 `TEAM`, and `TEAM/AGENT` for each agent that is offered
    POST /v1/chat/completions       runs the team on the last user message

A client that goes away cancels its run, as it would cancel a model.
"""

from __future__ import annotations

import time

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from harness.run import Run, RunResult
from harness.serve.chat_shapes import completion, failure, model_view
from harness.serve.chat_stream import ChatStream
from harness.serve.chat_task import ChatRequest
from harness.serve.problems import Refusal, json_response, read_json
from harness.serve.reception import Order, Reception
from harness.serve.serving import serving
from harness.serve.spans import current_traceparent


async def list_models(request: Request) -> Response:
    """List the team and its agents as models."""
    reception = serving(request).reception
    return json_response({"object": "list", "data": [model_view(name) for name in _models(reception)]})


async def show_model(request: Request) -> Response:
    """Show one of them."""
    name = request.path_params["model"]
    _agent_of(serving(request).reception, name)
    return json_response(model_view(name))


async def complete(request: Request) -> Response:
    """Run the team and return its answer, whole or piece by piece."""
    body = ChatRequest.model_validate(await read_json(request))
    body.check()
    here = serving(request)
    task, images = body.task()
    entry = _agent_of(here.reception, body.model)
    run = await here.reception.start(Order(task, images, entry=entry, traceparent=current_traceparent()))
    if body.stream:
        return ChatStream(run, entry, body, here.following, here.options.keep_alive_seconds)
    result = await _result(run, request)
    if result.stop_reason in ("failed", "cancelled", "interrupted"):
        raise failure(result)
    return json_response(completion(result, run.waiting, body, int(time.time())))


ROUTES = [
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{model:path}", show_model, methods=["GET"]),
    Route("/v1/chat/completions", complete, methods=["POST"]),
]


def _models(reception: Reception) -> dict[str, str]:
    """Return the agents by the names under which they are offered as models."""
    team = reception.team_name
    first = reception.agents[0]
    return {team: first} | {f"{team}/{agent}": agent for agent in reception.agents}


def _agent_of(reception: Reception, model: str) -> str:
    models = _models(reception)
    if model not in models:
        raise Refusal(
            404, f"there is no model {model!r} here", hint=f"try {', '.join(models)}", code="model_not_found"
        )
    return models[model]


async def _result(run: Run, request: Request) -> RunResult:
    """Wait for the run; cancel it if the client goes away."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        await run.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        result = await run.result()
        tasks.cancel_scope.cancel()
    return result  # pyright: ignore[reportPossiblyUnboundVariable]

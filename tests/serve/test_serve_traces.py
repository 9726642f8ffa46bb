"""One trace from the caller's request through ours to the last tool call of the run."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from house import house, read_events
from served_process import TEAM_THAT_ENDS, served

from harness import says, scripted
from harness.events import RunStarted

pytestmark = pytest.mark.anyio

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spans_in(file: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [
        span
        for line in lines
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


@pytest.mark.parametrize("path", ["/runs", "/v1/chat/completions"])
async def test_the_request_and_the_run_are_one_trace(tmp_path: Path, path: str):
    (tmp_path / "team.yaml").write_text(TEAM_THAT_ENDS)
    message = {"role": "user", "content": "Go."}
    body = {"task": "Go."} if path == "/runs" else {"model": "short", "messages": [message]}
    async with served(tmp_path, "--trace", "trace.jsonl") as (process, url), aiohttp.ClientSession() as http:
        async with http.post(f"{url}{path}", json=body, headers={"traceparent": CALLER}) as response:
            told = await response.json()
        run_id = told.get("run_id") or told["id"]
        async with http.get(f"{url}/runs/{run_id}/events") as response:
            _ = [sent async for sent in read_events(response)]
        process.send_signal(signal.SIGTERM)
        await process.wait()

    spans = {span["name"]: span for span in spans_in(tmp_path / "trace.jsonl")}
    request, workflow = spans[f"POST {path}"], spans["invoke_workflow short"]
    assert request["traceId"] == workflow["traceId"] == CALLER.split("-")[1]
    assert request["parentSpanId"] == CALLER.split("-")[2]
    assert workflow["parentSpanId"] == request["spanId"]
    assert spans["invoke_agent lead"]["traceId"] == request["traceId"]
    attributes = {item["key"]: item["value"] for item in request["attributes"]}
    assert attributes["http.route"] == {"stringValue": path}
    assert attributes["http.request.method"] == {"stringValue": "POST"}
    # The stream of events is another request, of nobody's trace.
    assert spans["GET /runs/{run_id}/events"]["traceId"] != request["traceId"]


async def test_without_telemetry_the_run_still_knows_who_asked(tmp_path: Path):
    async with house(tmp_path, lead=scripted(says("Done."))) as served_here:
        reply = await served_here.ask("POST", "/runs", json={"task": "Go."}, headers={"traceparent": CALLER})
        run_id = reply.body["run_id"]
        await served_here.events(run_id)
        alone = await served_here.start("Go.")
        first = next(iter(served_here.harness.journal.read(run_id))).event
        second = next(iter(served_here.harness.journal.read(alone))).event

    assert isinstance(first, RunStarted)
    assert isinstance(second, RunStarted)
    assert (first.traceparent, second.traceparent) == (CALLER, "")

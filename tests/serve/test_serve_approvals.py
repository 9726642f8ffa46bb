"""People answer the questions of runs over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from house import ALONE, Gate, House, Sent, house

from harness import MemoryJournal, calls, says, scripted, together
from harness.models.scripted import ScriptedModel
from harness.serve import ServeOptions

pytestmark = pytest.mark.anyio

ASKING = f"{ALONE}\npermissions: [{{tool: desk.send, allow: ask, reason: It leaves the house.}}]\n"


class Desk:
    """A tool that somebody must agree to."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, to: str) -> str:
        """Send it."""
        self.sent.append(to)
        return f"sent to {to}"


def telling() -> ScriptedModel:
    """Send to the office, then say what came of it."""
    return scripted(calls("desk.send", to="office"), lambda messages: says(messages[-1].text))


async def finish(served: House, run_id: str, seen: list[Sent]) -> list[Sent]:
    """Read on until the run has come to its own end."""
    while seen[-1].data.get("stop_reason") != "done":
        seen += await served.events(run_id, after=seen[-1].id)
    assert [sent.id for sent in seen] == list(range(len(seen)))
    return seen


@pytest.mark.parametrize(
    ("answer", "sent", "said"),
    [
        ({}, ["office"], "sent to office"),
        ({"allow": True, "arguments": {"to": "carol"}}, ["carol"], "sent to carol"),
        ({"allow": True, "arguments": '{"to": "dave"}'}, ["dave"], "sent to dave"),
        ({"allow": False, "reason": "Not on a Sunday.", "by": "ann"}, [], "Not on a Sunday."),
    ],
)
async def test_a_person_lets_a_call_run_changes_or_refuses_it(
    tmp_path: Path, answer: dict[str, Any], sent: list[str], said: str
):
    desk = Desk()
    async with house(tmp_path, ASKING, desk=[desk.send], lead=telling()) as served:
        run_id = await served.start()
        seen = await served.events(run_id)
        waiting = (await served.ask("GET", f"/runs/{run_id}")).body
        reply = await served.ask("POST", f"/runs/{run_id}/approve", json=answer)
        seen = await finish(served, run_id, seen)

    assert (waiting["status"], reply.status) == ("suspended", 202)
    [question] = waiting["waiting"]
    assert (question["tool"], question["message"]) == ("desk.send", "It leaves the house.")
    assert desk.sent == sent
    assert said in seen[-1].data["output"]
    [decided] = [event.data for event in seen if event.event == "approval.decided"]
    assert decided["by"] == answer.get("by", "")


async def test_of_several_calls_each_is_answered_by_its_key(tmp_path: Path):
    desk = Desk()
    lead = scripted(together(calls("desk.send", to="office"), calls("desk.send", to="eve")), says("Done."))
    async with house(tmp_path, ASKING, desk=[desk.send], lead=lead) as served:
        run_id = await served.start()
        seen = await served.events(run_id)
        keys = [question["call"] for question in (await served.ask("GET", f"/runs/{run_id}")).body["waiting"]]
        unclear = await served.ask("POST", f"/runs/{run_id}/approve", json={})
        # At once, without waiting for the run to come to the second question again.
        first = await served.ask("POST", f"/runs/{run_id}/approve", json={"call": keys[0]})
        second = await served.ask("POST", f"/runs/{run_id}/approve", json={"call": keys[1], "allow": False})
        await finish(served, run_id, seen)
        late = await served.ask("POST", f"/runs/{run_id}/approve", json={"call": keys[0]})

    assert [unclear.status, first.status, second.status, late.status] == [400, 202, 202, 400]
    assert keys[0] in unclear.body["error"]["message"]
    assert desk.sent == ["office"]


async def test_a_call_in_doubt_is_settled_by_who_knows(tmp_path: Path):
    journal, gate = MemoryJournal(), Gate()
    lead = scripted(calls("desk.wait"), lambda messages: says(messages[-1].text))
    stopping = ServeOptions(grace_seconds=0.01)
    async with house(tmp_path, options=stopping, store=journal, desk=[gate.wait], lead=lead) as earlier:
        run_id = await earlier.start()
        await gate.entered.wait()
    async with house(tmp_path, store=journal, desk=[gate.wait], lead=lead) as served:
        seen = await served.events(run_id)
        while seen[-1].data.get("stop_reason") != "suspended":
            seen += await served.events(run_id, after=seen[-1].id)
        [question] = (await served.ask("GET", f"/runs/{run_id}")).body["waiting"]
        unfit = await served.ask("POST", f"/runs/{run_id}/approve", json={"allow": True})
        settled = await served.ask("POST", f"/runs/{run_id}/approve", json={"happened": True})
        await finish(served, run_id, seen)

    assert question["kind"] == "in_doubt"
    assert (unfit.status, settled.status) == (400, 202)
    assert not gate.opened.is_set()


async def test_an_answer_reaches_a_run_while_its_other_parts_go_on(tmp_path: Path):
    desk, gate = Desk(), Gate()
    lead = scripted(together(calls("desk.send", to="office"), calls("desk.wait")), says("Done."))
    async with house(tmp_path, ASKING, desk=[desk.send, gate.wait], lead=lead) as served:
        run_id = await served.start()
        await gate.entered.wait()
        [question] = (await served.ask("GET", f"/runs/{run_id}")).body["waiting"]
        reply = await served.ask("POST", f"/runs/{run_id}/approve", json={"call": question["call"]})
        gate.opened.set()
        seen = await served.events(run_id)

    assert reply.status == 202
    assert seen[-1].data["stop_reason"] == "done"
    assert not [sent for sent in seen if sent.event == "run.resumed"]
    assert desk.sent == ["office"]

"""Incident triage: from alert to logs to deployment to roll-back, with polling in between."""

from __future__ import annotations

import json

from ..prose import Mint
from ..script import Label, Script
from .pen import Pen, tool

_INSTRUCTIONS = """You are on call. For every alert find the service, the failing request and the deployment that
caused it; roll that back, wait until the roll-back is complete, then acknowledge the alert with the cause."""

TOOLS = (
    tool("ops.get_alert", "Return an alert.", alert="Its id"),
    tool("ops.query_logs", "Return log lines of a request.", service="Service", trace="Id of the trace"),
    tool("ops.list_deployments", "Return deployments on a host.", host="Host"),
    tool("ops.rollback_deployment", "Begin to roll back.", deployment="Its id"),
    tool("ops.get_rollout", "Return how far a roll-back is.", rollout="Its id"),
    tool("ops.close_alert", "Acknowledge an alert.", alert="Its id", cause="Why it happened"),
)


def incident(seed: int) -> Script:
    """Return a night with several alerts, each named by the one before."""
    mint = Mint(f"incident {seed}")
    pen = Pen(mint, "oncall")
    alert = mint.code_of("ALERT")
    task = f"Alert {alert} fires. Please take it, and whatever comes after it."
    causes: list[str] = []
    known: list[Label] = []
    for _ in range(mint.randint(3, 6)):
        alert, cause, polls = _alert(pen, mint, alert)
        causes.append(cause)
        known.append(Label("superseded-result", "oncall", frozenset(polls)))
    pen.does("ops.get_alert", {"alert": alert}, json.dumps({"alert": alert, "state": "resolved by itself"}))
    pen.says(f"Night report: {' '.join(causes)} The last one, {alert}, was resolved by itself.")
    agent = pen.agent(_INSTRUCTIONS, task, TOOLS)
    return Script("incident", task, (agent,), answer=pen.turns[-1].text, known=tuple(known))


def _alert(pen: Pen, mint: Mint, alert: str) -> tuple[str, str, list[str]]:
    service, trace = f"{mint.code_of('svc').lower()}", mint.code_of("trace").lower()
    host, deployment, rollout = (
        mint.code_of("host").lower(),
        mint.code_of("dep").lower(),
        mint.code_of("roll").lower(),
    )
    first = pen.does(
        "ops.get_alert", {"alert": alert}, json.dumps({"alert": alert, "service": service, "trace": trace})
    )
    line = f"2026-10-09T{mint.time()}Z ERROR {service} {trace} timeout after {mint.number(4)} ms on {host}"
    pen.does(
        "ops.query_logs", {"service": service, "trace": trace}, line, text=f"{alert} is about {service}."
    )
    at = mint.time()
    pen.does(
        "ops.list_deployments",
        {"host": host},
        json.dumps([{"deployment": deployment, "at": at}]),
        text=f"The log says: {line}",
    )
    pen.does(
        "ops.rollback_deployment",
        {"deployment": deployment},
        json.dumps({"rollout": rollout}),
        text=f"{deployment} went out at {at}, just before.",
    )
    polls = [first.id]
    for percent in (mint.randint(11, 49), mint.randint(51, 97), 100):
        done = json.dumps({"rollout": rollout, "percent": percent})
        polls.append(pen.does("ops.get_rollout", {"rollout": rollout}, done, text="I look how far it is.").id)
    following = mint.code_of("ALERT")
    cause = f"{deployment} made {service} time out on {host}; {rollout} is at 100 percent."
    pen.does(
        "ops.close_alert",
        {"alert": alert, "cause": cause},
        f"closed; the next one is {following}",
        text=cause,
    )
    return following, cause, polls

"""A data pipeline: a lead has one agent load, one transform and one validate, each with what the last made."""

from __future__ import annotations

import json
from dataclasses import replace

from ..prose import Mint
from ..script import Agent, Script
from .pen import Pen, tool

_LEAD = "You run a data pipeline. Let the loader load, the shaper transform what it loaded, the checker validate that."
_WORKER = "You do one step of a data pipeline, table by table, and report the tables you made with their row counts."

LEAD_TOOLS = (
    tool("delegate", "Give one step to one agent; returns its report.", agent="Name", objective="The step"),
)
WORKER_TOOLS = (
    tool("store.describe_table", "Return columns and row count of a table.", table="Its name"),
    tool("store.write_table", "Create a table from another one.", source="Table", rule="SQL expression"),
    tool("store.validate_table", "Check a table against its rules.", table="Its name"),
)


def pipeline(seed: int) -> Script:
    """Return a run of three agents one after the other."""
    mint = Mint(f"pipeline {seed}")
    lead = Pen(mint, "lead")
    source = mint.code_of("raw").lower()
    task = f"Load {source}, transform it, and validate the outcome."
    workers: list[Agent] = []
    text = ""
    for name, step in (("loader", "Load from"), ("shaper", "Aggregate"), ("checker", "Prepare for release")):
        path = f"lead/{name}-1"
        agent, source = _worker(mint, path, step, source)
        call = lead.call("delegate", {"agent": name, "objective": agent.task}, agent.report, child=path)
        lead.together([call], text=text)
        after = (workers[-1].path,) if workers else ()
        workers.append(replace(agent, parent_call=call.id, after=after))
        text = agent.report
    lead.says(f"The pipeline is through. {text} The result is {source}.")
    agent = lead.agent(_LEAD, task, LEAD_TOOLS)
    return Script("pipeline", task, (agent, *workers), answer=lead.turns[-1].text)


def _worker(mint: Mint, path: str, step: str, source: str) -> tuple[Agent, str]:
    pen = Pen(mint, path)
    brief = f"{step} {source} table by table; every table that you make must be valid before you go on."
    made: list[str] = []
    for _ in range(mint.randint(3, 6)):
        column, rows = mint.code_of("col").lower().replace("-", "_"), mint.number(6)
        described = {"table": source, "columns": [column], "rows": rows}
        said = f"I go on with {source}." if not made else f"{made[-1]} is valid; I go on with {source}."
        pen.does("store.describe_table", {"table": source}, json.dumps(described), text=said)
        target, kept = mint.code_of("tab").lower(), mint.number(5)
        pen.does(
            "store.write_table",
            {"source": source, "rule": f"select * where {column} is not null"},
            json.dumps({"created": target, "kept": kept}),
            text=f"{source} has {rows} rows and the column {column}.",
        )
        pen.does(
            "store.validate_table",
            {"table": target},
            f"{target}: all rules hold, checksum {mint.code_of('sum').lower()}",
            text=f"{target} keeps {kept} rows.",
        )
        made.append(f"{target} ({kept} rows)")
        source = target
    report = f"Made {', '.join(made)}."
    last = next(reversed(list(pen.turns))).calls[0]
    pen.says(f"{report} Last check: {last.result}")
    return pen.agent(_WORKER, brief, WORKER_TOOLS, report=f"{report} Last check: {last.result}"), source

"""A diagnosis as plain values: rows of numbers that the page draws, and the table of texts they name.

Everything is written as lists in a fixed order, since a run may have a hundred thousand of them; the
names of the columns stand in `COLUMNS`, which the page reads too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from harness.diagnosis import Diagnosis, Finding
from harness.messages import Image
from harness.record import AgentRecord, Call, Entry, Line, RunRecord
from harness.record.run import Kind, part_text
from harness.record.uses import Uses
from harness.record.values import values_and_words
from harness.viewer.path import Span, Times, clock_times, critical_path, step_times
from harness.viewer.texts import Texts, storable

KINDS: tuple[Kind, ...] = Kind.__args__  # pyright: ignore[reportAttributeAccessIssue]

COLUMNS = {
    "entry": [
        "origin",
        "place",
        "first",
        "last",
        "size",
        "pieces",
        "call",
        "turn",
        "replacedBy",
        "gone",
        "cost",
        "cached",
        "uses",
        "error",
    ],
    "turn": [
        "start",
        "end",
        "stepStart",
        "stepEnd",
        "total",
        "definitions",
        "residual",
        "prefix",
        "breaks",
        "output",
        "cached",
        "reasoning",
        "cost",
        "model",
        "stop",
        "error",
        "retries",
        "reply",
        "calls",
    ],
    "call": [
        "key",
        "tool",
        "args",
        "result",
        "whole",
        "error",
        "errorType",
        "start",
        "end",
        "stepStart",
        "stepEnd",
        "entry",
        "children",
        "sources",
    ],
}

MOST_VALUES = 40
"""Distinctive values of one call's arguments whose origin the page tells; a report may hold hundreds."""

UNUSED = frozenset({"unused-result", "oversized-result", "report-bloat"})
STALE = frozenset(
    {"superseded-result", "stale-argument", "duplicate-read", "error-residue", "thinking-residue"}
)


def picture(diagnosis: Diagnosis, texts: Texts) -> dict[str, Any]:
    """Return the values of one run."""
    record = diagnosis.record
    clock, steps = clock_times(record), step_times(record)
    times = clock or steps
    return {
        **_head(diagnosis, texts),
        "timed": clock is not None,
        "agents": [_Lane(diagnosis, agent, texts, clock, steps).values() for agent in record.agents.values()],
        "findings": [_finding(finding, texts) for finding in diagnosis.findings],
        "path": [
            [step.agent, step.turn, step.call, *_times(step.span)] for step in critical_path(record, times)
        ],
        "plans": [
            {
                "agent": plan.agent,
                "version": plan.version,
                "kept": plan.kept,
                "tasks": [
                    {
                        "id": task.id,
                        "agent": task.agent,
                        "needs": task.needs,
                        "text": texts.add(task.brief.objective),
                        "run": _run_of(record, plan.agent, task.id),
                    }
                    for task in plan.tasks
                ],
            }
            for plan in record.plans
        ],
    }


def _head(diagnosis: Diagnosis, texts: Texts) -> dict[str, Any]:
    record, ledger = diagnosis.record, diagnosis.ledger
    costs = [turn.cost for turn in record.turns() if turn.cost is not None]
    outputs = [turn.output for turn in record.turns() if turn.output is not None]
    took = record.ended - record.started if record.started is not None and record.ended is not None else None
    answer = record.answer if isinstance(record.answer, str) else str(record.answer or "")
    return {
        "id": record.id,
        "name": record.name,
        "source": record.source,
        "task": texts.add(record.task),
        "answer": texts.add(answer),
        "outcome": record.outcome,
        "error": record.error,
        "started": record.started,
        "notes": [*record.notes, *_missing(diagnosis)],
        "totals": {
            "agents": len(record.agents),
            "turns": sum(len(agent.turns) for agent in record.agents.values()),
            "calls": len(record.calls),
            "sent": ledger.sent,
            "output": sum(outputs) if outputs else None,
            "cost": sum(costs) if costs and not record.lacks("cost") else None,
            "seconds": took if took is not None and not record.lacks("times") else None,
            "resend": ledger.resend_factor,
            "residual": ledger.residual,
            "spans": record.spans,
        },
        "severities": dict(Counter(finding.severity for finding in diagnosis.findings)),
        "byKind": ledger.by_kind(),
    }


def _missing(diagnosis: Diagnosis) -> list[str]:
    lacking: dict[tuple[str, ...], list[str]] = {}
    for one in diagnosis.not_measurable:
        if not one.why:
            lacking.setdefault(one.lacks, []).append(one.detector)
    told = [f"not measurable by {one.detector}: {one.why}" for one in diagnosis.not_measurable if one.why]
    return told + [
        f"not measurable, because the source does not carry {', '.join(lacks)}: {', '.join(names)}"
        for lacks, names in lacking.items()
    ]


def _run_of(record: RunRecord, agent: str, task: str) -> str:
    """Return the path of the newest agent run that did a task of a plan."""
    runs = [run.path for run in record.agents.values() if run.parent == agent and run.task_id == task]
    return runs[-1] if runs else ""


def _finding(finding: Finding, texts: Texts) -> dict[str, Any]:
    where, remedy = finding.where, finding.remedy
    return {
        "detector": finding.detector,
        "severity": finding.severity,
        "what": finding.what,
        "agent": where.agent,
        "turns": where.turns,
        "calls": where.calls,
        "entries": where.entries,
        "spans": where.spans,
        "evidence": [[quote.where, texts.add(quote.text)] for quote in finding.evidence],
        "price": asdict(finding.price),
        "confidence": finding.confidence,
        "remedy": remedy.text if remedy else "",
        "patch": dict(remedy.patch) if remedy else {},
        "fingerprint": finding.fingerprint,
    }


def _times(span: Span | None) -> tuple[float | None, float | None]:
    return (round(span[0], 4), round(span[1], 4)) if span else (None, None)


class _Lane:
    """The values of one agent run."""

    def __init__(
        self, diagnosis: Diagnosis, agent: AgentRecord, texts: Texts, clock: Times | None, steps: Times
    ) -> None:
        self.agent, self.texts, self.clock, self.steps = agent, texts, clock, steps
        self.ledger = diagnosis.ledger
        self.readable = not diagnosis.record.lacks("content", "results")
        self.calls = list(agent.calls())
        self.index = {call.key: number for number, call in enumerate(self.calls)}
        self.lines: dict[int, list[Line]] = {}
        for line in self.ledger.lines[agent.path]:
            self.lines.setdefault(line.entry.number, []).append(line)

    def values(self) -> dict[str, Any]:
        agent, texts = self.agent, self.texts
        uses = Uses(agent) if self.readable else None
        return {
            "path": agent.path,
            "name": agent.name,
            "parent": agent.parent,
            "parentCall": agent.parent_call,
            "status": agent.status,
            "error": agent.error,
            "model": agent.model,
            "limit": agent.context_window,
            "task": agent.task_id,
            "brief": texts.add(agent.brief),
            "report": texts.add(agent.report or ""),
            "time": _times(self.clock.agents[agent.path]) if self.clock else None,
            "step": _times(self.steps.agents[agent.path]),
            "definitions": self._definitions(),
            "entries": [self._entry(entry, uses) for entry in agent.entries],
            "turns": self._turns(),
            "calls": [self._call(call, uses) for call in self.calls],
        }

    def _definitions(self) -> list[list[Any]]:
        described = {tool.name: tool for tool in self.agent.tools or ()}
        return [
            [
                line.tool,
                line.server,
                line.size,
                line.calls,
                self.texts.add(described[line.tool].encoded.decode()),
            ]
            for line in self.ledger.definitions[self.agent.path]
        ]

    def _entry(self, entry: Entry, uses: Uses | None) -> list[Any]:
        lines = self.lines.get(entry.number, [])
        costs = [line.cost for line in lines if line.cost is not None]
        parts = [
            f"[image, {len(part.data):,} bytes]" if isinstance(part, Image) else part_text(part)
            for part in entry.message.parts
        ]
        if len(parts) != len(lines):
            parts = ["\n".join(parts), *[""] * (len(lines) - 1)]
        pieces = [
            [KINDS.index(line.kind), line.label, line.size, self.texts.add(text)]
            for line, text in zip(lines, parts, strict=False)
        ]
        used = None
        if uses is not None:
            used = [[use.by.turn, list(use.values[:6]), len(use.words)] for use in uses.of(entry)[:20]]
        return [
            entry.origin,
            entry.place,
            entry.first,
            entry.last,
            entry.size,
            pieces,
            self.index.get(entry.call, -1),
            entry.turn,
            entry.replaced_by.number if entry.replaced_by else -1,
            entry.gone,
            sum(costs) if costs else None,
            sum(line.cached for line in lines),
            used,
            int(entry.is_error),
        ]

    def _turns(self) -> list[list[Any]]:
        clock, steps = self.clock, self.steps
        return [
            [
                *_times(clock.turns[line.turn.id] if clock else None),
                *_times(steps.turns[line.turn.id]),
                line.total,
                line.definitions,
                line.residual,
                line.prefix,
                line.breaks,
                line.turn.output,
                line.turn.cached,
                line.turn.reasoning,
                line.turn.cost,
                line.turn.model,
                line.turn.stop_reason,
                line.turn.error,
                line.turn.retries,
                line.turn.reply.number if line.turn.reply else -1,
                [self.index[call.key] for call in line.turn.calls],
            ]
            for line in self.ledger.turns[self.agent.path]
        ]

    def _call(self, call: Call, uses: Uses | None) -> list[Any]:
        add = self.texts.add
        return [
            call.key,
            call.tool,
            add(call.arguments),
            None if call.result is None else add(call.result),
            None if call.whole is None or call.whole == call.result else add(call.whole),
            int(call.is_error),
            call.error_type,
            *_times(self.clock.calls[call.key] if self.clock else None),
            *_times(self.steps.calls[call.key]),
            call.entry.number if call.entry else -1,
            call.children,
            self._sources(call, uses) if uses is not None else [],
        ]

    def _sources(self, call: Call, uses: Uses) -> list[list[Any]]:
        """Return what is distinctive in a call's arguments, each value with the entry that first showed it.

        That entry is -1 for a value that stood nowhere by itself before the reply that made the call.
        """
        reply = self.agent.turns[call.turn - 1].reply
        if reply is None:
            return []
        known = [
            (value, uses.introduced.get(value, reply).number)
            for value in sorted(values_and_words(call.arguments)[0])
        ]
        return [
            [storable(value), number if number < reply.number else -1]
            for value, number in known[:MOST_VALUES]
        ]

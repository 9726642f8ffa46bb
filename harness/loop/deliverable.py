"""What an agent must hand in, and the check that it did.

A deliverable offers the model a final tool, takes its submission or its plain text, and either
accepts it or says what to mend. What is sent back a second time with the same kind of fault is cut
to what holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from jsonschema import Draft202012Validator

from harness.events import Citation, CitationsVerified, DeliverableRejected, Event, Evidence, Report
from harness.loop.brief import EVIDENCE_SCHEMA
from harness.loop.citations import passages, verify
from harness.loop.report_cap import ReportCap
from harness.loop.state import Reading
from harness.messages import ToolDefinition
from harness.team import OutputSpec, ReportSpec
from harness.tools.port import CallContext, Tool, ToolOutput

MAX_REJECTIONS = 2
"""How often a deliverable goes back before the harness takes what it can."""

Emit = Callable[[Event], None]


class Deliverable(Protocol):
    """The contract of one agent run's result."""

    accepted: Report | None
    citations: tuple[Citation, ...]
    dropped: tuple[Mapping[str, Any], ...]

    def tool(self) -> Tool | None:
        """Return the tool through which it is handed in, if there is one."""
        ...

    def offer_text(self, text: str) -> str:
        """Take a reply without tool calls; return what to tell the model, or nothing if accepted."""
        ...

    def fit(self, report: Report) -> Report:
        """Return the report as it may leave the agent, however it came about."""
        ...


class PlainAnswer:
    """The entry agent's answer where the team file asks for nothing particular."""

    def __init__(self) -> None:
        self.accepted: Report | None = None
        self.citations: tuple[Citation, ...] = ()
        self.dropped: tuple[Mapping[str, Any], ...] = ()

    def tool(self) -> Tool | None:
        """Return nothing: plain text ends the run."""
        return None

    def offer_text(self, text: str) -> str:
        """Accept any text."""
        self.accepted = Report(status="done", answer=text)
        return ""

    def fit(self, report: Report) -> Report:
        """Return the report as it is: it goes to the caller, not into a window."""
        return report


class SubAgentReport:
    """A sub-agent's report: typed, capped in tokens, valid against the agent's report schema."""

    citations: tuple[Citation, ...] = ()
    dropped: tuple[Mapping[str, Any], ...] = ()

    def __init__(
        self, agent: str, spec: ReportSpec, definition: ToolDefinition, *, emit: Emit, cap: ReportCap
    ) -> None:
        self.accepted: Report | None = None
        self._agent = agent
        self._definition = definition
        self._emit = emit
        self._cap = cap
        self._rejections = 0
        self._validator = Draft202012Validator(spec.json_schema) if spec.json_schema is not None else None

    @staticmethod
    def definition(spec: ReportSpec) -> ToolDefinition:
        """Return the `report` tool as the model is told about it."""
        properties: dict[str, Any] = {
            "status": {
                "enum": ["done", "partial", "failed"],
                "description": "failed only if nothing was found.",
            },
            "answer": {"type": "string", "description": f"At most {spec.max_tokens} tokens."},
            "evidence": {"type": "array", "items": EVIDENCE_SCHEMA},
            "artifacts": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Files or handles made.",
            },
        }
        required = ["status", "answer"]
        if spec.json_schema is not None:
            properties["data"] = spec.json_schema
            required.append("data")
        return ToolDefinition(
            "report",
            "Hand in your report and end your work. Call it once, alone.",
            _object(properties, required),
        )

    def tool(self) -> Tool | None:
        """Return the `report` tool."""
        return Tool(self._definition, self._submit, effect="read", external=False)

    def offer_text(self, text: str) -> str:
        """Accept plain text as the answer unless the agent's report has a schema."""
        if self._validator is not None and self._rejections < MAX_REJECTIONS:
            return self._reject(["call `report`; plain text cannot fill its `data`"])
        status = "failed" if self._validator is not None else "done"
        return self._take(Report(status=status, answer=text))

    async def _submit(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        report = Report(
            status=arguments["status"],
            answer=arguments["answer"],
            evidence=tuple(Evidence(**evidence) for evidence in arguments.get("evidence", ())),
            artifacts=tuple(arguments.get("artifacts", ())),
            data=arguments.get("data"),
        )
        complaint = self._take(report, context.key)
        return ToolOutput(complaint or "Report accepted.", bool(complaint), "arguments" if complaint else "")

    def fit(self, report: Report) -> Report:
        """Return the report cut to the cap."""
        return self._cap.cut(report)

    def _take(self, report: Report, key: str = "") -> str:
        complaint = self._cap.complaint(report, key) if self._rejections < 1 else ""
        if complaint:
            return self._reject([complaint])
        self.accepted = self.fit(report)
        return ""

    def _reject(self, reasons: Sequence[str]) -> str:
        self._rejections += 1
        self._emit(DeliverableRejected(agent=self._agent, reasons=tuple(reasons)))
        return "Not accepted: " + "; ".join(reasons)


class StructuredAnswer:
    """The entry agent's answer where the team file asks for a schema, for citations, or for both."""

    def __init__(
        self, agent: str, spec: OutputSpec, *, emit: Emit, readings: Callable[[int | None], Sequence[Reading]]
    ) -> None:
        self.accepted: Report | None = None
        self.citations: tuple[Citation, ...] = ()
        self.dropped: tuple[Mapping[str, Any], ...] = ()
        self._agent = agent
        self._schema = spec.json_schema
        self._cited = spec.citations == "required"
        self._emit = emit
        self._readings = readings
        self._rejections = 0

    def tool(self) -> Tool | None:
        """Return the `answer` tool."""
        return Tool(
            ToolDefinition("answer", self._description(), self._parameters()),
            self._submit,
            effect="read",
            external=False,
        )

    def offer_text(self, text: str) -> str:
        """Ask for the `answer` tool; after that take the text as an answer without support."""
        if self._rejections < MAX_REJECTIONS:
            return self._reject(["hand in your answer through the `answer` tool"])
        reason = (
            "it was written as plain text, without citations"
            if self._cited
            else "it does not fill the schema"
        )
        self.dropped = ({"claim": text, "reason": reason},)
        self._emit(CitationsVerified(agent=self._agent, kept=0, dropped=self.dropped))
        self.accepted = Report(status="failed", answer="")
        return ""

    def fit(self, report: Report) -> Report:
        """Return the report as it is: it goes to the caller, not into a window."""
        return report

    def offer_evidence(self, evidence: Sequence[Evidence]) -> Report:
        """Return what of `evidence` is supported as an unfinished answer, for a run that was stopped."""
        claims = [{"text": item.claim or item.quote, "citations": [item]} for item in evidence]
        text, self.citations, self.dropped = self._render(claims, None)
        self._emit(CitationsVerified(agent=self._agent, kept=len(self.citations), dropped=self.dropped))
        return Report(status="partial" if text else "failed", answer=text)

    def _description(self) -> str:
        if not self._cited:
            return "Hand in the final answer and end the run. Call it once, alone."
        return (
            "Hand in the final answer and end the run. Call it once, alone. The claims in order make up the answer. "
            "Each needs at least one citation whose quote is copied exactly from a tool result or a report; "
            "quotes are checked, and claims without support are left out."
        )

    def _parameters(self) -> dict[str, Any]:
        if not self._cited:
            schema = dict(self._schema or {})
            return schema if schema.get("type") == "object" else _object({"value": schema}, ["value"])
        claim = _object(
            {
                "text": {"type": "string", "description": "One statement of the answer, readable by itself."},
                "citations": {"type": "array", "items": EVIDENCE_SCHEMA, "minItems": 1},
            },
            ["text", "citations"],
        )
        properties: dict[str, Any] = {
            "claims": {"type": "array", "items": claim},
            "unanswered": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What was asked and could not be answered.",
            },
        }
        required = ["claims"]
        if self._schema is not None:
            properties["data"] = self._schema
            required.append("data")
        return _object(properties, required)

    async def _submit(self, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        if not self._cited:
            wrapped = (self._schema or {}).get("type") != "object"
            self.accepted = Report(
                status="done", answer="", data=arguments["value"] if wrapped else dict(arguments)
            )
            return ToolOutput("Answer accepted.")
        claims = [
            {"text": claim["text"], "citations": [Evidence(**item) for item in claim["citations"]]}
            for claim in arguments["claims"]
        ]
        text, citations, dropped = self._render(claims, context.turn)
        if dropped and self._rejections < 1:
            reasons = [f"{entry['claim'][:120]!r}: {entry['reason']}" for entry in dropped]
            return ToolOutput(
                self._reject(reasons) + ". Mend or withdraw these, then call `answer` again.", True
            )
        self.citations, self.dropped = citations, dropped
        self._emit(CitationsVerified(agent=self._agent, kept=len(citations), dropped=dropped))
        unanswered = [line for line in arguments.get("unanswered", ()) if line.strip()]
        if unanswered:
            text += "\n\nNot answered:\n" + "\n".join(f"- {line}" for line in unanswered)
        status = "done" if citations else "failed"
        self.accepted = Report(status=status, answer=text.strip(), data=arguments.get("data"))
        return ToolOutput("Answer accepted.")

    def _render(
        self, claims: Sequence[Mapping[str, Any]], before: int | None
    ) -> tuple[str, tuple[Citation, ...], tuple[Mapping[str, Any], ...]]:
        """Return the answer's text with its numbered citations, and the claims that were left out.

        Args:
            before: The turn before which something must have been read to count.
        """
        read = passages(self._readings(before))
        numbers: dict[tuple[str, str, str], int] = {}
        citations: list[Citation] = []
        dropped: list[Mapping[str, Any]] = []
        paragraphs: list[str] = []
        for claim in claims:
            marks: list[int] = []
            reasons: list[str] = []
            for evidence in claim["citations"]:
                verdict = verify(evidence, read)
                if isinstance(verdict, str):
                    reasons.append(verdict)
                    continue
                place = (verdict.source, verdict.locator, verdict.quote)
                if place not in numbers:
                    numbers[place] = len(citations) + 1
                    citations.append(
                        Citation(source=place[0], locator=place[1], quote=place[2], claim=claim["text"])
                    )
                if numbers[place] not in marks:
                    marks.append(numbers[place])
            if marks:
                paragraphs.append(claim["text"].strip() + " " + "".join(f"[{mark}]" for mark in marks))
            else:
                dropped.append({"claim": claim["text"], "reason": "; ".join(reasons) or "it has no citation"})
        return "\n\n".join(paragraphs), tuple(citations), tuple(dropped)

    def _reject(self, reasons: Sequence[str]) -> str:
        self._rejections += 1
        self._emit(DeliverableRejected(agent=self._agent, reasons=tuple(reasons)))
        return "Not accepted: " + "; ".join(reasons)


def _object(properties: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """Return the schema of an object; `$defs` of its properties move up, where `#/$defs/…` looks for them."""
    definitions: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for name, schema in properties.items():
        definitions |= schema.get("$defs", {})
        inner[name] = {key: value for key, value in schema.items() if key != "$defs"}
    outer: dict[str, Any] = {
        "type": "object",
        "properties": inner,
        "required": list(required),
        "additionalProperties": False,
    }
    return outer | {"$defs": definitions} if definitions else outer

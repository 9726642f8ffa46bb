"""A small loop around the offline model: plan, briefs, reports, answer.

Plays the harness's part of the contracts, so that whole answers can be judged without the loop.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.messages import Message, ToolCall, ToolDefinition, ToolResult, system, tool, user
from harness.models.offline.model import reply

_TEXT = {"type": "string"}
_EVIDENCE = {
    "type": "object",
    "properties": {"source": _TEXT, "locator": _TEXT, "quote": _TEXT, "claim": _TEXT},
    "required": ["source", "locator", "quote"],
}
SEARCH = ToolDefinition(
    "corpus.search",
    "Search the folder.",
    {"type": "object", "properties": {"query": _TEXT, "limit": {"type": "integer"}}, "required": ["query"]},
)
READ = ToolDefinition(
    "corpus.read",
    "Read lines.",
    {
        "type": "object",
        "properties": {"locator": _TEXT, "context": {"type": "integer"}},
        "required": ["locator"],
    },
)
REPORT = ToolDefinition(
    "report",
    "Finish with a report.",
    {
        "type": "object",
        "properties": {
            "status": {"enum": ["done", "partial", "failed"]},
            "answer": _TEXT,
            "evidence": {"type": "array", "items": _EVIDENCE},
            "artifacts": {"type": "array", "items": _TEXT},
        },
        "required": ["status", "answer", "evidence", "artifacts"],
    },
)
ANSWER = ToolDefinition(
    "answer",
    "Finish with claims.",
    {
        "type": "object",
        "properties": {
            "claims": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"text": _TEXT, "citations": {"type": "array", "items": _EVIDENCE}},
                },
            },
            "unanswered": {"type": "array", "items": _TEXT},
        },
        "required": ["claims", "unanswered"],
    },
)
TEAM = {
    "researcher": "Finds evidence for one question: searches, reads and quotes the sources verbatim.",
    "critic": "Checks evidence: drops what is weak, unsupported or off topic, and flags contradictions.",
    "writer": "Writes the answer from the evidence of other agents.",
}
_BRIEF_FIELDS = ("agent", "objective", "expected_output", "sources", "boundaries")


def plan_tool(agents: Mapping[str, str]) -> ToolDefinition:
    """Return the plan tool for a team of described agents."""
    properties = {name: _TEXT for name in _BRIEF_FIELDS} | {
        "id": _TEXT,
        "agent": {"type": "string", "enum": list(agents)},
        "needs": {"type": "array", "items": _TEXT},
    }
    task = {"type": "object", "properties": properties, "required": list(properties)}
    described = "\n".join(f"- {name}: {description}" for name, description in agents.items())
    return ToolDefinition(
        "plan",
        f"Plan the tasks and run them.\nAgents:\n{described}",
        {"type": "object", "properties": {"tasks": {"type": "array", "items": task}}, "required": ["tasks"]},
    )


class Corpus:
    """A folder searched by SQLite's full-text index, shown as the corpus server shows it."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = {name: text.splitlines() for name, text in files.items()}
        self._database = sqlite3.connect(":memory:")
        self._database.execute(
            "create virtual table p using fts5(body, path unindexed, a unindexed, b unindexed,"
            " title unindexed, tokenize='porter unicode61')"
        )
        for name, lines in self.files.items():
            self._database.executemany("insert into p values (?, ?, ?, ?, ?)", _chunks(name, lines))

    @classmethod
    def of_folder(cls, root: Path, pattern: str = "**/*", most: int = 400) -> Corpus:
        """Return the corpus of the text files of a folder."""
        files: dict[str, str] = {}
        for path in sorted(root.glob(pattern))[:most]:
            if path.is_file() and path.stat().st_size < 400_000:
                files[str(path.relative_to(root))] = path.read_text(errors="replace")
        return cls(files)

    def search(self, query: str, limit: int = 8) -> str:
        """Return the best passages as blocks."""
        found = re.findall(r"\w+", query)
        if not found:
            return "No words to search for."
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(found))
        rows = self._database.execute(
            "select path, a, b, title, body, rank from p where p match ? order by rank limit ?",
            (match, limit),
        ).fetchall()
        blocks = [f"<<< {p}:{a}-{b} | {t} | score {-r:.2f}\n{body}\n>>>" for p, a, b, t, body, r in rows]
        return "\n\n".join(blocks) or f"No passage matches: {query}"

    def read(self, locator: str, context: int = 0) -> str:
        """Return the lines of a locator with context."""
        path, _, span = locator.rpartition(":")
        lines = self.files[path]
        first, _, last = span.partition("-")
        start, end = max(1, int(first) - context), min(len(lines), int(last or first) + context)
        return f"<<< {path}:{start}-{end} | {path}\n" + "\n".join(lines[start - 1 : end]) + "\n>>>"


def _chunks(name: str, lines: list[str]) -> list[tuple[str, str, int, int, str]]:
    rows: list[tuple[str, str, int, int, str]] = []
    title, start = name, 0
    for index, line in enumerate([*lines, ""]):
        full = index - start >= 14 or (not line.strip() and index - start >= 5) or index == len(lines)
        if line.startswith("#"):
            full = index > start
        if full and index > start:
            rows.append(("\n".join(lines[start:index]), name, start + 1, index, title))
            start = index
        defined = re.match(r"\s*(?:def|class) (\w+)", line)
        if line.startswith("#") or defined:
            title = defined[1] if defined else line.strip("# ")
    return rows


@dataclass
class Played:
    """What happened in one played run."""

    answer: str = ""
    claims: list[dict[str, Any]] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    plans: list[dict[str, Any]] = field(default_factory=list)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    shown: list[tuple[str, str]] = field(default_factory=list)
    """The tool that showed it, and every tool result of the run."""
    turns: int = 0


Tools = Mapping[str, Callable[..., str]]


@dataclass
class Loop:
    """Plays one task to its end."""

    tools: Tools
    definitions: tuple[ToolDefinition, ...] = (SEARCH, READ)
    agents: Mapping[str, str] = field(default_factory=lambda: dict(TEAM))
    citations: bool = True
    refuse: Callable[[dict[str, Any]], str] = lambda _: ""
    ask_replan: bool = True
    played: Played = field(default_factory=Played)

    def run(self, question: str) -> Played:
        """Play the entry agent."""
        tools = [plan_tool(self.agents)] + ([ANSWER] if self.citations else [])
        last = self._converse([system("You plan."), user(question)], tools, self._entry_call)
        if last.text:
            self.played.answer = last.text
        return self.played

    def _converse(
        self,
        messages: list[Message],
        tools: list[ToolDefinition],
        call: Callable[[ToolCall], tuple[str, bool, bool]],
    ) -> Message:
        for _ in range(8):
            message = reply(messages, tools)
            assert reply(messages, tools) == message
            self.played.turns += 1
            messages.append(message)
            if not message.tool_calls:
                return message
            over = False
            for made in message.tool_calls:
                text, is_error, ends = call(made)
                over = over or ends
                messages.append(tool(ToolResult(made.id, text, is_error)))
            if over:
                return message
        raise AssertionError("the agent did not end")

    def _entry_call(self, made: ToolCall) -> tuple[str, bool, bool]:
        arguments = json.loads(made.arguments)
        if made.name == "plan":
            self.played.plans.append(arguments)
            return self._run_plan(arguments["tasks"]), False, False
        problem = self.refuse(arguments)
        self.played.claims, self.played.unanswered = arguments["claims"], arguments["unanswered"]
        return problem or "accepted", bool(problem), not problem

    def _run_plan(self, tasks: list[dict[str, Any]]) -> str:
        results: list[dict[str, Any]] = []
        for task in tasks:
            kept = self.played.reports.get(task["id"])
            if kept is None or kept["status"] != "done":
                needed = [self.played.reports[need] for need in task["needs"]]
                report = self._run_sub_agent(task, needed)
                self.played.reports[task["id"]] = {"id": task["id"], "agent": task["agent"], **report}
            results.append(self.played.reports[task["id"]])
        failed = any(result["status"] == "failed" for result in results)
        again = failed and self.ask_replan and len(self.played.plans) == 1
        following = "Revise the plan once: some tasks failed." if again else "Answer now."
        return json.dumps({"plan": len(self.played.plans), "tasks": results, "next": following})

    def _run_sub_agent(self, task: dict[str, Any], needed: list[dict[str, Any]]) -> dict[str, Any]:
        tools = [REPORT] if "writ" in task["agent"] else [*self.definitions, REPORT]
        found: dict[str, Any] = {}

        def call(made: ToolCall) -> tuple[str, bool, bool]:
            arguments = json.loads(made.arguments)
            if made.name == "report":
                found.update(arguments)
                return "accepted", False, True
            text = self.tools[made.name](**arguments)
            self.played.shown.append((made.name, text))
            return text, False, False

        messages = [
            system(f"You are the {task['agent']}. {self.agents[task['agent']]}"),
            user(render(task, needed)),
        ]
        self._converse(messages, tools, call)
        return found


def render(task: Mapping[str, Any], needed: list[dict[str, Any]]) -> str:
    """Return a brief as the harness renders it."""
    text = (
        f"# Brief\n## Objective\n{task['objective']}\n## Expected output\n{task['expected_output']}\n"
        f"## Sources and tools\n{task['sources']}\n## Boundaries\n{task['boundaries']}\n"
    )
    if needed:
        text += f"## Reports to build on\n```json\n{json.dumps(needed, ensure_ascii=False)}\n```\n"
    return text


def play(corpus: Corpus, question: str, **options: Any) -> Played:
    """Play a question over a corpus."""
    return Loop({"corpus.search": corpus.search, "corpus.read": corpus.read}, **options).run(question)

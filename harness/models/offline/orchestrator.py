"""The orchestrator: splits the question, has the parts researched at once, checked and written up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness.messages import Message
from harness.models.offline.briefs import Brief, Part, read_brief, write_parts
from harness.models.offline.conversation import Conversation, Exchange, mapping, parse, sequence, string
from harness.models.offline.evidence import Evidence, TaskReport, read_report
from harness.models.offline.offers import Offers
from harness.models.offline.quality import is_repeat
from harness.models.offline.queries import other_queries
from harness.models.offline.questions import split_question
from harness.models.offline.replies import Finding, call_tools, finish
from harness.models.offline.roles import Cast, cast_delegates, pick_researcher
from harness.models.offline.writer import Section, compose, leads_of

_CHECK, _WRITE = "check", "write"
_NOTHING_ASKED = "There is nothing to answer: the task holds no question and no topic."


def orchestrate(conversation: Conversation, offers: Offers) -> Message:
    """Take the orchestrator's next turn."""
    question = read_brief(conversation).question
    parts = parts_of(question)
    if not parts:
        return finish(conversation, offers, Finding("failed", _NOTHING_ASKED, (), ()))
    cast = cast_delegates(offers.delegates)
    if offers.plan:
        return _with_plan(conversation, offers, question, parts, cast)
    return _with_delegate(conversation, offers, question, parts, cast)


def parts_of(question: str) -> tuple[Part, ...]:
    """Return the parts of a question with the ids of their tasks."""
    return tuple(Part(f"r{at}", sub.text, sub.asked) for at, sub in enumerate(split_question(question), 1))


def _with_plan(
    conversation: Conversation, offers: Offers, question: str, parts: tuple[Part, ...], cast: Cast
) -> Message:
    plans = conversation.calls_of("plan")
    if not plans:
        return call_tools(conversation, [("plan", {"tasks": _tasks(question, parts, cast)})])
    reports = _plan_reports(plans)
    failed = _failed_parts(parts, reports)
    if len(plans) == 1 and (plans[0].is_error or (failed and _asks_for_replan(plans[0]))):
        return call_tools(conversation, [("plan", {"tasks": _tasks(question, parts, cast, rephrase=failed)})])
    return finish(conversation, offers, conclude(question, parts, reports))


def _failed_parts(parts: tuple[Part, ...], reports: Sequence[TaskReport]) -> frozenset[str]:
    """Return the parts without evidence, unless only background lacks it: that is not worth another round."""
    found = {report.id for report in reports if report.evidence}
    lacking = [part for part in parts if part.id not in found]
    return frozenset(part.id for part in lacking) if any(part.asked for part in lacking) else frozenset()


def _with_delegate(
    conversation: Conversation, offers: Offers, question: str, parts: tuple[Part, ...], cast: Cast
) -> Message:
    """Without a plan tool the reports are compared here, because nothing carries them onwards."""
    done = conversation.calls_of("delegate")
    if not done:
        tasks = _tasks(question, parts, Cast(cast.researchers, None, None))
        briefs = [
            {name: value for name, value in task.items() if name not in ("id", "needs")} for task in tasks
        ]
        return call_tools(conversation, [("delegate", brief) for brief in briefs])
    reports = [
        read_report({**mapping(parse(call.result)), "id": f"r{at}"}) for at, call in enumerate(done, 1)
    ]
    return finish(conversation, offers, conclude(question, parts, reports))


def conclude(question: str, parts: tuple[Part, ...], reports: Sequence[TaskReport]) -> Finding:
    """Return the writer's answer, or one composed of what the others found."""
    objective = f"Answer the question: {question}\nParts:\n{write_parts(parts)}"
    research = tuple(report for report in reports if report.id != _WRITE)
    written = next((report for report in reports if report.id == _WRITE and report.evidence), None)
    if written is None:
        return compose(Brief(objective, reports=research))
    sections = _sections(parts, written, research)
    unanswered = tuple(
        section.part.question for section in sections if section.part.asked and not section.answered
    )
    status = "partial" if unanswered else "done"
    evidence = tuple(found for section in sections for found in section.evidence)
    return Finding(status, written.answer, evidence, unanswered, leads_of(sections))


def _sections(parts: Sequence[Part], written: TaskReport, research: Sequence[TaskReport]) -> list[Section]:
    """Return the sections of a written answer again: the writer keeps to the order of the parts."""
    ordered = sorted(parts, key=lambda part: not part.asked)
    brought = {report.id: report.evidence for report in research}
    places = [{found.place for found in brought.get(part.id, ())} for part in ordered]
    held: list[list[Evidence]] = [[] for _ in ordered]
    at = 0
    for found in written.evidence:
        at = next((later for later in range(at, len(ordered)) if found.place in places[later]), at)
        held[at].append(found)
    quotes = [found.quote for found in written.evidence]
    return [
        Section(
            part,
            tuple(mine),
            bool(mine) or any(is_repeat(found.quote, quotes) for found in brought.get(part.id, ())),
        )
        for part, mine in zip(ordered, held, strict=True)
    ]


_FIND = {
    "expected_output": "Up to six verbatim quotes that answer it, each with its source and line range.",
    "sources": "The search and reading tools on offer; prefer primary sources to licences, tests and lists.",
}
_CHECKING = {
    "expected_output": "The evidence worth keeping, unchanged, and a short list of what was dropped and why.",
    "sources": "The reports below; the reading tools, to see whether each quote stands where it is said to.",
    "boundaries": "Add no evidence and answer nothing. Flag contradictions instead of settling them.",
}
_WRITING = {
    "expected_output": "A readable answer in which every sentence carries the number of its evidence; gaps named.",
    "sources": "Only the reports below; prefer evidence that passed the check.",
    "boundaries": "State nothing that no evidence supports, and do not search.",
}


def _tasks(
    question: str, parts: tuple[Part, ...], cast: Cast, *, rephrase: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    asked = " ".join(question.split())[:600]
    boundaries = f"Only this part. The whole question, of which others research the rest: {asked}"
    tasks: list[dict[str, Any]] = []
    for position, part in enumerate(parts):
        told = _rephrased(part) if part.id in rephrase else part
        agent = pick_researcher(cast, part.question, position).name
        task = {"id": part.id, "agent": agent, "objective": told.question, **_FIND}
        tasks.append({**task, "boundaries": boundaries, "needs": []})
    needs = [part.id for part in parts]
    listed = write_parts(parts)
    if cast.critic:
        objective = f"Check the evidence that was found for the question: {asked}\nParts:\n{listed}"
        task = {"id": _CHECK, "agent": cast.critic.name, "objective": objective, **_CHECKING}
        tasks.append({**task, "needs": needs})
        needs = [*needs, _CHECK]
    if cast.writer:
        objective = f"Write the answer to the question: {asked}\nParts:\n{listed}"
        task = {"id": _WRITE, "agent": cast.writer.name, "objective": objective, **_WRITING}
        tasks.append({**task, "needs": needs})
    return tasks


def _plan_reports(plans: Sequence[Exchange]) -> list[TaskReport]:
    """Return the latest report of each task; a later plan replaces what an earlier one said."""
    found: dict[str, TaskReport] = {}
    for plan in plans:
        for entry in sequence(mapping(parse(plan.result)).get("tasks")):
            report = read_report(entry)
            if report.evidence or report.id not in found:
                found[report.id] = report
    return list(found.values())


def _asks_for_replan(plan: Exchange) -> bool:
    following = string(mapping(parse(plan.result)).get("next"))
    return bool(
        re.match(r"\W*(?:revise|replan)\b|.*\brevise the plan\b", following, re.IGNORECASE | re.DOTALL)
    )


def _rephrased(part: Part) -> Part:
    """Ask for the same in fewer words."""
    fewer = other_queries(part.question)
    return Part(part.id, f"What is said about {fewer[0]}?", part.asked) if fewer else part

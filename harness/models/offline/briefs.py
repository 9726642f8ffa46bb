"""A sub-agent's brief, read back from the message that rendered it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.models.offline.conversation import Conversation, mapping, parse, sequence
from harness.models.offline.evidence import TaskReport, read_report

_SECTIONS = ("Objective", "Expected output", "Sources and tools", "Boundaries", "Reports to build on")
_FENCED = re.compile(r"^```(?:json)?[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"^- ([\w-]{1,40})(\*)?: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Part:
    """One sub-question with the id of the task that researched it."""

    id: str
    question: str
    asked: bool = True
    """False for background that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What a sub-agent was asked to do; for an entry agent the whole task is the objective."""

    objective: str
    expected_output: str = ""
    sources: str = ""
    boundaries: str = ""
    reports: tuple[TaskReport, ...] = ()

    @property
    def question(self) -> str:
        """The objective without the list of parts."""
        head = re.split(r"^Parts:\s*$", self.objective, maxsplit=1, flags=re.MULTILINE)[0]
        _, marker, after = head.partition("the question: ")
        return (after if marker else head).strip()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The sub-questions that the objective lists, if it lists any."""
        return tuple(
            Part(match.group(1), match.group(3).strip(), asked=not match.group(2))
            for match in _PART.finditer(self.objective)
        )


def write_parts(parts: tuple[Part, ...]) -> str:
    """Return the list of parts as `Brief.parts` reads it; a star marks background."""
    return "\n".join(f"- {part.id}{'' if part.asked else '*'}: {part.question}" for part in parts)


def read_brief(conversation: Conversation) -> Brief:
    """Return the brief in the first user message, or the message itself as objective."""
    text = conversation.task
    if not re.match(r"\s*# Brief\b", text):
        return Brief(objective=text.strip(), reports=_reports(text))
    places = {title: at for title in _SECTIONS if (at := _find_section(text, title)) >= 0}
    ordered = sorted(places.items(), key=lambda item: item[1])
    sections: dict[str, str] = {}
    for index, (title, at) in enumerate(ordered):
        end = ordered[index + 1][1] if index + 1 < len(ordered) else len(text)
        sections[title] = text[at + len(title) + 4 : end].strip()
    return Brief(
        objective=sections.get("Objective", ""),
        expected_output=sections.get("Expected output", ""),
        sources=sections.get("Sources and tools", ""),
        boundaries=sections.get("Boundaries", ""),
        reports=_reports(sections.get("Reports to build on") or text),
    )


def _find_section(text: str, title: str) -> int:
    """The last section is searched from the end, because earlier ones may quote its title."""
    marker = f"\n## {title}\n"
    return text.rfind(marker) if title == _SECTIONS[-1] else text.find(marker)


def _reports(text: str) -> tuple[TaskReport, ...]:
    for match in _FENCED.finditer(text):
        found = [
            read_report(entry) for entry in sequence(parse(match.group(1))) if "status" in mapping(entry)
        ]
        if found:
            return tuple(found)
    return ()

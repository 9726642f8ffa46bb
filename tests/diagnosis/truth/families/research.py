"""Research: a lead gives parts of a question to readers, who follow references from document to document."""

from __future__ import annotations

from dataclasses import replace

from ..prose import Mint, sentence_of
from ..script import Agent, Script
from .pen import Pen, tool

_LEAD = """You lead a research. Divide the question into parts that do not overlap, give each to one reader, and
write the answer from their reports, with the numbers of the documents they rely on."""
_READER = """You read. Search for what your brief asks, follow the references that documents give, and report what
you found with the numbers of the documents. Quote, do not paraphrase."""
_TOPICS = (
    "how a stopped run goes on", "what a tool may cost", "when a window is cleared", "who may approve a call",
    "which errors are tried again", "where secrets are kept", "how plans are revised", "what a report may hold",
    "how events are ordered on disk", "why spans are built late", "which servers are trusted", "how tokens are counted",
)  # fmt: skip

LEAD_TOOLS = (
    tool(
        "delegate",
        "Give one task to one reader; returns its report.",
        agent="Name",
        objective="What to find out",
    ),
)
READER_TOOLS = (
    tool("library.search", "Search the library; returns numbers of documents.", query="Words"),
    tool("library.read", "Return a document.", document="Its number"),
)


def research(seed: int) -> Script:
    """Return a run with two waves of readers."""
    mint = Mint(f"research {seed}")
    lead = Pen(mint, "lead")
    topics = mint.sample(_TOPICS, 5)
    task = f"Write a report on the system in the library: {'; '.join(topics)}."
    readers: list[Agent] = []
    findings: list[str] = []
    for wave in (topics[:3], topics[3:]):
        calls = []
        first = len(readers)
        for topic in wave:
            path = f"lead/reader-{len(readers) + 1}"
            agent = _reader(mint, path, topic)
            call = lead.call(
                "delegate", {"agent": "reader", "objective": agent.task}, agent.report, child=path
            )
            readers.append(_with_call(agent, call.id))
            calls.append(call)
        text = "" if not findings else "So far: " + " ".join(findings) + " The second half is still open."
        lead.together(calls, text=text, thinking="The parts do not depend on each other.")
        findings += [reader.report for reader in readers[first:]]
    lead.says("Report. " + "\n\n".join(findings))
    agent = lead.agent(_LEAD, task, LEAD_TOOLS)
    return Script("research", task, (agent, *readers), answer=lead.turns[-1].text)


def _reader(mint: Mint, path: str, topic: str) -> Agent:
    pen = Pen(mint, path)
    number = mint.code_of("DOC")
    brief = f"Find out {topic}. Begin with a search for it and follow references three to six steps far."
    pen.does("library.search", {"query": topic}, f"{number}: a chapter on {topic}")
    quotes: list[str] = []
    for _ in range(mint.randint(3, 6)):
        text = mint.prose(mint.randint(120, 350))
        following = mint.code_of("DOC")
        quote = sentence_of(text)
        said = f"I read {number} next." if not quotes else f"{quotes[-1]} The next is {number}."
        pen.does("library.read", {"document": number}, f"{text}\n\nSee also {following}.", text=said)
        quotes.append(f"“{quote}” ({number})")
        number = following
    pen.does(
        "library.read",
        {"document": number},
        f"{number} is the index; nothing further.",
        text=f"{quotes[-1]} Last comes {number}.",
    )
    report = f"On {topic}: " + " ".join(quotes) + f" The index {number} names nothing further."
    pen.says(report)
    return pen.agent(_READER, brief, READER_TOOLS, report=report)


def _with_call(agent: Agent, call: str) -> Agent:
    return replace(agent, parent_call=call)

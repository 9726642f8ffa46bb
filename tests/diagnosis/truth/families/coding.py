"""A coding agent: it reads where a failing test points, edits, and runs the test, file after file."""

from __future__ import annotations

from ..prose import Mint, sentence_of
from ..script import Label, Script
from .pen import Pen, tool

_INSTRUCTIONS = """You mend programs. Run the tests to see what fails, find the place, read it, change as little as
possible, and run the tests again after every change. Stop when all of them pass, and say what you changed."""

TOOLS = (
    tool("repo.search", "Search the repository; returns paths with lines.", pattern="What to look for"),
    tool("repo.read_file", "Return a part of a file.", path="Path", start="First line", end="Last line"),
    tool(
        "repo.edit_file",
        "Replace a text in a file.",
        path="Path",
        old="Text that stands there",
        new="New text",
    ),
    tool("repo.run_tests", "Run tests and return their outcome.", target="File or node id"),
)


def coding(seed: int) -> Script:
    """Return a run in which several failing tests are mended."""
    mint = Mint(f"coding {seed}")
    pen = Pen(mint, "coder")
    count = mint.randint(5, 9)
    failing = [
        f"tests/test_{mint.code_of('case').lower().replace('-', '_')}.py::test_keeps_{mint.number(4)}"
        for _ in range(count)
    ]
    symbols = [f"resolve_{mint.code_of('fn').lower().replace('-', '_')}" for _ in range(count)]
    task = f"The test {failing[0]} fails because of {symbols[0]}. Please mend what is broken."
    known: list[Label] = []
    done: list[str] = []
    for at in range(count):
        path = f"src/package/{mint.code_of('mod').lower().replace('-', '_')}.py"
        line = mint.number(3)
        after = f"{failing[at + 1]} fails in {symbols[at + 1]}" if at + 1 < count else "all other tests pass"
        hit = f"{path}:{line}: def {symbols[at]}(given):"
        pen.does(
            "repo.search",
            {"pattern": f"def {symbols[at]}"},
            hit,
            thinking=f"{symbols[at]} must be somewhere.",
        )
        body = mint.code(mint.randint(90, 260))
        old = sentence_of(body, longest=90)
        read = pen.does(
            "repo.read_file",
            {"path": path, "start": str(line), "end": str(line + body.count("\n"))},
            f"def {symbols[at]}(given):\n{body}",
            text=f"{symbols[at]} stands in {path} at line {line}.",
        )
        known.append(Label("superseded-result", "coder", frozenset({read.id})))
        revision = mint.code_of("rev").lower()
        pen.does(
            "repo.edit_file",
            {"path": path, "old": old, "new": f"{old}  # guards against an empty {symbols[at]}"},
            f"{path} changed, revision {revision}",
            text=f"The line `{old}` does not expect an empty value.",
        )
        pen.does(
            "repo.run_tests",
            {"target": failing[at]},
            f"{failing[at]} passed in {mint.number(3)} ms at {revision}; {after}",
            text=f"Revision {revision} changes {path}; now its test.",
        )
        done.append(f"{path} ({revision}, {failing[at]} passes)")
    pen.says("Mended: " + "; ".join(done) + ". All other tests pass.")
    agent = pen.agent(_INSTRUCTIONS, task, TOOLS)
    return Script("coding", task, (agent,), answer=pen.turns[-1].text, known=tuple(known))

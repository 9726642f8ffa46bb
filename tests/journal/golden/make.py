"""Write a golden journal in the format of the harness that is checked out.

    python tests/journal/golden/make.py tests/journal/golden/format-N.db

Run it once when the format changes, at the commit that still writes format N, and keep the file: every later
version must read it and replay its runs.
"""

import sys
import tempfile
from pathlib import Path

import anyio

import harness
from harness import FunctionToolset, ModelError, ToolError, calls, says, scripted, together
from harness.journal import open_journal
from harness.replay.bundle import import_bundle, write_bundle

TEAM = """\
harness: 1
name: golden
entry: lead
mcpServers:
  desk: {module: golden.desk, disabled: true}
agents:
  lead: {instructions: Lead., tools: [desk], delegates: [scout, digger]}
  scout: {instructions: Scout., tools: [desk]}
  digger: {instructions: Dig., tools: [desk], limits: {turns: 2}}
"""

CORPUS_TEAM = """\
harness: 1
name: golden-corpus
entry: lead
mcpServers:
  corpus: {module: toolservers.corpus, args: {root: ./docs}}
agents:
  lead: {use: orchestrator, delegates: [researcher, critic, writer], output: {citations: required}}
  researcher: {use: researcher, tools: [corpus]}
  critic: {use: critic, tools: [corpus.read]}
  writer: {use: writer}
"""

NOTES = "# Isolation\n\nA sub-agent starts with an empty window. Only its report goes back to the parent.\n"


def look(pages: int) -> str:
    """Return that many pages."""
    return "a page\n" * pages


def fail() -> str:
    """Fail."""
    raise ToolError("the shelf is empty")


ASKING_TEAM = (
    TEAM.replace("name: golden", "name: golden-asking")
    + """\
permissions:
  - {tool: desk.look, agent: scout, allow: ask, reason: shelves are fragile}
"""
)


def brief(objective: str) -> dict[str, str]:
    return {"objective": objective, "expected_output": "A line.", "sources": "", "boundaries": ""}


def models() -> dict[str, harness.ScriptedModel]:
    tasks = [
        {"id": "a", "agent": "scout", **brief("Find A.")},
        {"id": "b", "agent": "digger", **brief("Dig B."), "needs": ["a"]},
    ]
    return {
        "lead": scripted(
            together(calls("desk.look", pages=2), calls("desk.fail"), calls("desk.look", pages=9000)),
            calls("delegate", agent="scout", **brief("Find X.")),
            calls("plan", tasks=tasks),
            says("X is at line 4, A at 5."),
        ),
        "scout": scripted(
            calls("desk.look", pages="many"),
            calls("desk.look", pages=1),
            says("Line 4. Größe: 1 µm, 日本語."),
        ),
        "digger": scripted(calls("desk.look", pages=3), calls("desk.look", pages=3), says("Never said.")),
    }


async def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        team = Path(folder) / "team.yaml"
        team.write_text(TEAM)
        async with harness.open(
            team, store=target, models=models(), toolsets=[FunctionToolset("desk", look, fail)]
        ) as opened:
            print(await opened.run("Where is X?"))
        async with harness.open(
            team,
            store=target,
            models={
                "lead": scripted(ModelError("the model is away")),
                "scout": scripted(),
                "digger": scripted(),
            },
            toolsets=[FunctionToolset("desk", look, fail)],
        ) as opened:
            print(await opened.run("Who is away?"))
        asking = Path(folder) / "asking.yaml"
        asking.write_text(ASKING_TEAM)
        async with harness.open(
            asking, store=target, models=models(), toolsets=[FunctionToolset("desk", look, fail)]
        ) as opened:
            run = await opened.start("Where is X?", session="golden")
            result = await run.result()
            while result.stop_reason == "suspended":
                run = await opened.approve(run.id, by="the clerk")
                result = await run.result()
            print(result)
            print(await (await opened.fork(run.id, "lead/turn-3")).result())
        (Path(folder) / "docs").mkdir()
        (Path(folder) / "docs" / "notes.md").write_text(NOTES)
        corpus = Path(folder) / "corpus.yaml"
        corpus.write_text(CORPUS_TEAM)
        async with harness.open(corpus, store=target) as opened:
            print(await opened.run("How does a sub-agent start, and what goes back to the parent?"))


async def without_paths(target: Path) -> None:
    """Play everything, and keep it without the paths of this machine, as a bundle does."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "runs.db"
        await main(store)
        played = open_journal(store, write=False)
        write_bundle(played, [summary.run_id for summary in played.runs()], Path(folder) / "runs.harness")
        journal = open_journal(target, write=True)
        await import_bundle(journal, Path(folder) / "runs.harness")
        await journal.close()


if __name__ == "__main__":
    anyio.run(without_paths, Path(sys.argv[1]))

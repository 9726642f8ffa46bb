"""A team inside a Python program: start a run, watch it, use its result.

Run it: `python examples/embed/research.py "What may a sub-agent see?"`
"""

import sys
from pathlib import Path

import anyio

import harness

TEAM = Path(__file__).resolve().parent.parent / "deep_research" / "team.yaml"


async def main(question: str) -> harness.RunResult:
    """Answer `question`, printing each agent as it ends."""
    async with harness.open(TEAM, store=":memory:") as team:
        run = await team.start(question)
        async for recorded in run.events():
            if recorded.event.type == "agent_run.finished":
                print(f"{recorded.event.agent}: {recorded.event.report.status}")
        return await run.result()


if __name__ == "__main__":
    result = anyio.run(main, " ".join(sys.argv[1:]) or "What may a sub-agent see?")
    print(result.output)
    for citation in result.citations:
        print(f"  {citation.locator}: {citation.quote!r}")

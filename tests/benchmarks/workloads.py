"""The workloads: what is asked, and what a right run of it looks like."""

from __future__ import annotations

from dataclasses import dataclass, replace

SUB_AGENT_TURNS = 5
W2_LATENCY_MS = 50


@dataclass(frozen=True, slots=True)
class Workload:
    """One task of one size, with the answer and the number of model requests it must lead to."""

    name: str
    size: int
    """Turns of the one agent, or sub-agents of the orchestrator."""
    task: str
    warm_up: str
    """A small task of the same kind, done before anything is measured."""
    answer: str
    requests: int
    team: str
    """The team file of the harness, under `teams/`."""
    in_process: bool = False
    """Whether the tools run in the client's process; otherwise over MCP stdio."""
    api: str = "openai-chat"
    """The wire API of the model, as team files name it."""
    stream: bool = False
    """Whether replies come piece by piece."""

    @property
    def title(self) -> str:
        """The workload as a row names it."""
        spoken = "" if self.api == "openai-chat" and not self.stream else f" · {self.api}"
        return f"{self.name} · {self.size}{spoken}{', streamed' if self.stream else ''}"


def w1(size: int) -> Workload:
    """One agent, `size` turns, one MCP stdio call in each, a model without delay."""
    return Workload(
        name="w1",
        size=size,
        task=f"SCRIPT: turns={size} tool=echo",
        warm_up="SCRIPT: turns=3 tool=echo",
        answer=f"DONE {size}",
        requests=size + 1,
        team="w1.yaml",
    )


def w1once(size: int) -> Workload:
    """W1 with the cautious default: the tool may not run twice, so each call waits for the disk first."""
    return replace(w1(size), name="w1once", team="w1once.yaml")


def w2(size: int) -> Workload:
    """An orchestrator and `size` parallel sub-agents of five turns, tools in-process, 50 ms a reply."""
    return Workload(
        name="w2",
        size=size,
        task=f"SCRIPT: delegate={size} turns={SUB_AGENT_TURNS} tool=echo latency={W2_LATENCY_MS}",
        warm_up="SCRIPT: delegate=2 turns=1 tool=echo",
        answer=f"DONE {size}",
        requests=2 + size * (SUB_AGENT_TURNS + 1),
        team="w2.yaml",
        in_process=True,
    )


def w3(size: int) -> Workload:
    """One agent, `size` turns whose results have 1 KB: what a turn costs late and early."""
    return Workload(
        name="w3",
        size=size,
        task=f"SCRIPT: turns={size} tool=blob kb=1",
        warm_up="SCRIPT: turns=3 tool=blob kb=1",
        answer=f"DONE {size}",
        requests=size + 1,
        team="w1.yaml",
    )


BY_NAME = {"w1": w1, "w1once": w1once, "w2": w2, "w3": w3}

"""What the model is told to do by the text of the task, and what it then says.

The words of a script, found anywhere in the first user or system text that has one:

    SCRIPT: turns=N tool=echo latency=MS kb=1     call the tool once a turn, N times, then `DONE N`
    SCRIPT: delegate=K turns=N tool=echo          call `delegate` K times at once, then `DONE K`
"""

from __future__ import annotations

from dataclasses import dataclass

MARK = "SCRIPT:"
BLOB = "0123456789abcdef" * 64
"""One KiB, as the `blob` tool returns it."""
_FRAGMENT = 24
"""Characters of arguments in one streamed fragment."""


@dataclass(frozen=True, slots=True)
class Script:
    """What the model is to do, as the task spells it."""

    turns: int = 0
    tool: str = "echo"
    latency: float = 0.0
    """Milliseconds from request to reply."""
    kb: int = 1
    delegate: int = 0
    """How many sub-agents to call at once; 0 for an agent that works itself."""
    sub: str = ""
    """The number of the sub-agent, empty for the agent that got the task."""

    @classmethod
    def read(cls, text: str) -> Script | None:
        """Return the script in `text`, or None if it holds none."""
        _, found, rest = text.partition(MARK)
        if not found:
            return None
        line = rest.partition("\n")[0].partition('"')[0]
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        return cls(
            turns=int(words.get("turns", 0)),
            tool=words.get("tool", "echo"),
            latency=float(words.get("latency", 0)),
            kb=int(words.get("kb", 1)),
            delegate=int(words.get("delegate", 0)),
            sub=words.get("sub", ""),
        )

    def answer(self, results: int) -> str:
        """Return the last words of an agent that got so many tool results."""
        return f"DONE {results}" + (f" sub={self.sub}" if self.sub else "")

    def for_sub_agent(self, number: int) -> str:
        """Return the text that makes a sub-agent do its share."""
        return (
            f"{MARK} turns={self.turns} tool={self.tool} latency={self.latency:g} kb={self.kb} sub={number}"
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of a reply."""

    id: str
    name: str
    arguments: str

    @property
    def fragments(self) -> list[str]:
        """The arguments as they are streamed."""
        return [self.arguments[at : at + _FRAGMENT] for at in range(0, len(self.arguments), _FRAGMENT)]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says: text, or calls."""

    text: str | None
    calls: tuple[Call, ...]
    latency: float
    """Seconds."""
    stream: bool
    include_usage: bool
    model: str

    @property
    def words(self) -> list[str]:
        """The text as it is streamed."""
        if self.text is None:
            return []
        first, *others = self.text.split(" ")
        return [first, *(f" {word}" for word in others)]

    def tokens(self, request_bytes: int) -> tuple[int, int]:
        """Return what was read and written, deterministic and about right: four bytes to a token."""
        return request_bytes // 4, 20 * len(self.calls) or 5

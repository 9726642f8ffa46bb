"""What defects are put in with: themed tools, episodes of turns, and places for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.messages import ToolDefinition

from ..families.pen import Pen, tool
from ..prose import Mint
from ..script import Agent, Injected, Script, Size, Turn

Inject = Callable[[Script, Mint, Size], Injected | None]
Disguise = Callable[[Script, Mint], Script | None]
"""Puts something harmless into a run that looks like a defect."""


@dataclass(frozen=True)
class Theme:
    """Tools of one trade: read, write and search a resource, and how its ids look."""

    read: str
    key: str
    write: str
    search: str
    prefix: str
    runs: str = "tests.run_checks"

    def definitions(self) -> tuple[ToolDefinition, ...]:
        return (
            tool(self.read, "Return one of them.", **{self.key: "Which one"}),
            tool(
                self.write, "Change one of them.", **{self.key: "Which one", "content": "What it is to hold"}
            ),
            tool(self.search, "Return the ids that match.", query="Words"),
            tool(self.runs, "Run the checks of one of them.", target="Which one"),
        )


THEMES = (
    Theme("files.read_file", "path", "files.write_file", "files.search_files", "doc"),
    Theme("crm.get_account", "account_id", "crm.update_account", "crm.find_accounts", "ACC"),
    Theme("wiki.fetch_page", "page", "wiki.edit_page", "wiki.search_pages", "PAGE"),
    Theme("get_order_details", "order_id", "modify_order", "list_orders", "ORD"),
    Theme("store.load_object", "object_key", "store.put_object", "store.query_objects", "obj"),
)

RECORDS = THEMES[1:4]
"""Those in which a write changes what is there, and makes nothing new."""

_TOLD = ("Look at {} as well.", "{} belongs to it too.", "Take {} into account.", "Do not forget {}.")

FAR = {"small": 1, "medium": 4, "large": 10}
"""How many turns lie between the parts of a defect."""


@dataclass
class Stage:
    """A place in a run where something is put, with a theme for its tools."""

    script: Script
    mint: Mint
    path: str
    theme: Theme

    def pen(self) -> Pen:
        return Pen(self.mint, self.path)

    def key(self) -> str:
        """Return the id of a new resource, of which the agent is told at the beginning."""
        key = self.unseen()
        self.tell(self.mint.choice(_TOLD).format(key))
        return key

    def tell(self, text: str) -> None:
        self.script = self.script.tell(self.path, text)

    def unseen(self) -> str:
        """Return the id of a new resource that nobody told the agent."""
        code = self.mint.code_of(self.theme.prefix)
        return f"shared/{code.lower()}.md" if self.theme.key == "path" else code

    @property
    def agent(self) -> Agent:
        return self.script.agent(self.path)

    def spot(self, low: float = 0.15, high: float = 0.6) -> int:
        """Return a position among the turns that follows a turn with calls."""
        turns = self.agent.turns
        span = range(max(1, int(len(turns) * low)), max(2, int(len(turns) * high) + 1))
        good = [at for at in span if at < len(turns) and turns[at - 1].calls]
        return self.mint.choice(good or [max(1, len(turns) - 1)])

    def after(self, position: int, far: int) -> int:
        """Return a position `far` turns behind another, before the last turn."""
        return max(position, min(len(self.agent.turns) - 1, position + far))

    def put(self, position: int, turns: Sequence[Turn]) -> None:
        self.script = self.script.insert(self.path, position, *turns)

    def say(self, position: int, text: str) -> None:
        """Let the turn at a position begin its text with more words."""
        self.script = self.script.change_turn(
            self.path, position, lambda turn: replace(turn, text=f"{text} {turn.text}".strip())
        )

    def finish(self) -> Script:
        """Return the script; the agent has the tools of the theme that it calls."""
        agent = self.agent
        called = {call.tool for call in agent.calls()}
        has = {one.name for one in agent.tools}
        more = [one for one in self.theme.definitions() if one.name in called and one.name not in has]
        return self.script.with_agent(replace(agent, tools=(*agent.tools, *more)))


def stage(script: Script, mint: Mint, *, turns: int = 4, theme: Theme | None = None) -> Stage | None:
    """Choose an agent with enough turns, and a theme for what is put there."""
    able = [agent.path for agent in script.agents if len(agent.turns) >= turns]
    if not able:
        return None
    return Stage(script, mint, mint.choice(able), theme or mint.choice(THEMES))


def by_size(size: Size, small: int, medium: int, large: int) -> int:
    return {"small": small, "medium": medium, "large": large}[size]

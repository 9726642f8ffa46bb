"""What defects are put in with: themed tools, episodes of turns, and places for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from ..families.pen import Pen, tool
from ..prose import Mint
from ..script import Agent, Injected, Label, Script, Size, Turn

Inject = Callable[[Script, Mint, Size], Injected | None]
Marks = Collection[str] | None
"""Calls, turns and entries of a defect; None if it cannot be put there."""
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


THEMES = (
    Theme("files.read_file", "path", "files.write_file", "files.search_files", "doc"),
    Theme("crm.get_account", "account_id", "crm.update_account", "crm.find_accounts", "ACC"),
    Theme("wiki.fetch_page", "page", "wiki.edit_page", "wiki.search_pages", "PAGE"),
    Theme("shop.get_order_details", "order_id", "shop.modify_order", "shop.list_orders", "ORD"),
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
        good = [at for at in span if at < len(turns) - 1 and turns[at - 1].calls]
        return self.mint.choice(good or [max(1, len(turns) - 2)])

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

    def episode(self, pen: Pen, text: str = "") -> None:
        """Put turns somewhere, and let the next one begin its text with what came of them."""
        spot = self.spot()
        self.put(spot, pen.turns)
        if text:
            self.say(spot + len(pen.turns), text)

    def finish(self) -> Script:
        """Return the script; the agent has all the tools that it calls."""
        agent = self.agent
        more = {one.name: one for one in agent.tools}
        for call in agent.calls():
            if call.tool not in more and self.script.carries("tool_definitions"):
                words = call.tool.rpartition(".")[2].replace("_", " ")
                more[call.tool] = tool(
                    call.tool, f"{words.capitalize()}.", **dict.fromkeys(call.arguments, "Given")
                )
        return self.script.with_agent(replace(agent, tools=tuple(more.values())))


def stage(script: Script, mint: Mint, *, turns: int = 4, themes: Sequence[Theme] = THEMES) -> Stage | None:
    """Choose an agent with enough turns, and a theme for what is put there."""
    able = [agent.path for agent in script.agents if len(agent.turns) >= turns]
    return Stage(script, mint, mint.choice(able), mint.choice(themes)) if able else None


def defect(
    *, turns: int = 4, themes: Sequence[Theme] = THEMES
) -> Callable[[Callable[[Stage, Size], Marks]], Inject]:
    """Make an injection of a function that puts a defect on a stage and returns its marks.

    It is labelled for the detector of the function's name. No marks at all mean the agent run as a whole.
    """

    def decorate(put: Callable[[Stage, Size], Marks]) -> Inject:
        def inject(script: Script, mint: Mint, size: Size) -> Injected | None:
            at = stage(script, mint, turns=turns, themes=themes)
            marks = None if at is None else put(at, size)
            if at is None or marks is None:
                return None
            return Injected(at.finish(), (Label(put.__name__.replace("_", "-"), at.path, frozenset(marks)),))

        return inject

    return decorate


def disguise(*, turns: int = 4) -> Callable[[Callable[[Stage], None]], Disguise]:
    """Make a disguise of a function that puts something harmless on a stage."""

    def decorate(put: Callable[[Stage], None]) -> Disguise:
        def apply(script: Script, mint: Mint) -> Script | None:
            at = stage(script, mint, turns=turns)
            if at is None:
                return None
            put(at)
            return at.finish()

        return apply

    return decorate


def by_size(size: Size, small: int, medium: int, large: int) -> int:
    return {"small": small, "medium": medium, "large": large}[size]

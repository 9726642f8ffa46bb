"""Ready agents, and the `use:` that takes one of them as the start of an agent."""

from __future__ import annotations

import os
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import Problem, TeamError
from harness.team.interpolation import Variables
from harness.team.nodes import Entry, Mapping, Mark, Node, Scalar, text_in
from harness.team.spelling import did_you_mean
from harness.team.strict_yaml import decoded, parse_yaml

TWO_WAYS = ("instructions", "instructions_file")
"""Keys that say the same thing, so that giving one replaces the other."""


def agent_library() -> dict[str, Path]:
    """Return the files of the ready agents by name, sorted; empty where none are installed."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "agents", package.parent / "agents"):
        if files := sorted(folder.glob("*.yaml")):
            return {file.stem: file for file in files}
    return {}


def merged(under: Node, over: Node) -> Node:
    """Return `under` with everything `over` says: mappings merge, anything else is replaced."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    entries = dict(under.entries)
    if any(way in over.entries for way in TWO_WAYS):
        entries = {name: entry for name, entry in entries.items() if name not in TWO_WAYS}
    for name, entry in over.entries.items():
        below = entries.get(name)
        entries[name] = Entry(entry.key, merged(below.value, entry.value) if below else entry.value)
    return Mapping(entries, over.mark)


@dataclass
class Completion:
    """Fills in what agents take from other files: ready agents and instructions."""

    variables: Variables
    """What a `${…}` in the name of a file stands for, and what its relative path is relative to."""
    library: AbstractMapping[str, Path]
    """The files of the ready agents."""
    problems: list[Problem] = field(default_factory=list[Problem])
    _folders: dict[str, Path] = field(default_factory=dict[str, Path])

    def complete(self, root: Mapping) -> Mapping:
        """Return the tree in which no agent has `use` or `instructions_file` any more."""
        agents = root.entries.get("agents")
        if agents is None or not isinstance(agents.value, Mapping):
            return root
        done = agents.value
        for entry in agents.value.entries.values():
            if isinstance(entry.value, Mapping):
                agent = self._with_instructions(self._on_its_base(entry.value, ()))
                done = done.having(entry.key, agent)
        return root.having(agents.key, done)

    def _on_its_base(self, agent: Mapping, seen: tuple[str, ...]) -> Mapping:
        use = agent.get("use")
        if use is None:
            return agent
        rest = agent.without("use")
        name = text_in(use)
        if name is None:
            self.problems.append(use.mark.problem("'use' wants the name of a ready agent", self._known()))
        elif name in seen:
            self.problems.append(use.mark.problem(f"'use' goes in a circle: {' -> '.join((*seen, name))}"))
        elif name not in self.library:
            hint = did_you_mean(name, self.library, what="ready agents") or "no ready agents are installed"
            self.problems.append(use.mark.problem(f"there is no ready agent '{name}'", hint))
        else:
            ready = self._read(self.library[name], use.mark)
            if ready is not None:
                whole = merged(self._on_its_base(ready, (*seen, name)), rest)
                return whole if isinstance(whole, Mapping) else rest
        # Something is wrong already; empty instructions keep it from being reported twice.
        return (
            rest
            if any(way in rest.entries for way in TWO_WAYS)
            else _with(rest, "instructions", "?", use.mark)
        )

    def _known(self) -> str:
        return f"ready agents: {', '.join(self.library)}" if self.library else "no ready agents are installed"

    def _read(self, path: Path, mark: Mark) -> Mapping | None:
        try:
            node = parse_yaml(decoded(path.read_bytes(), file=str(path)), file=str(path))
        except OSError as error:
            self.problems.append(mark.problem(f"the ready agent cannot be read: {_reason(error)}", str(path)))
            return None
        except TeamError as error:
            self.problems.extend(error.problems)
            return None
        self._folders[str(path)] = path.parent
        if not isinstance(node, Mapping):
            self.problems.append(node.mark.problem("a ready agent must be a mapping"))
            return None
        return node

    def _with_instructions(self, agent: Mapping) -> Mapping:
        said = agent.entries.get("instructions_file")
        if said is None:
            return agent
        if "instructions" in agent.entries:
            problem = said.key.mark.problem("both 'instructions' and 'instructions_file'", "keep one of them")
            self.problems.append(problem)
            return agent.without("instructions_file")
        rest = agent.without("instructions_file")
        text = self._text_of(said.value)
        # A dollar sign in the file is no variable: only what stands in the team file is interpolated.
        return _with(rest, "instructions", (text or "?").replace("${", "$${"), said.key.mark)

    def _text_of(self, name: Node) -> str | None:
        mark = name.mark
        if not isinstance(name, Scalar) or not isinstance(name.value, str):
            self.problems.append(mark.problem("'instructions_file' wants the name of a file"))
            return None
        spelled, problems = self.variables.fill(name)
        if problems:
            self.problems.extend(problems)
            return None
        path = Path(os.path.expanduser(spelled.text))
        path = self._folders.get(mark.file, self.variables.base) / path
        try:
            text = decoded(path.read_bytes(), file=str(path))
        except (OSError, ValueError) as error:
            message = f"the instructions file cannot be read: {spelled.text} ({_reason(error)})"
            self.problems.append(mark.problem(message, f"it is looked for at {path}"))
            return None
        except TeamError as error:
            self.problems.extend(error.problems)
            return None
        if not text.strip():
            self.problems.append(mark.problem(f"the instructions file is empty: {spelled.text}"))
        return text


def _with(agent: Mapping, key: str, text: str, mark: Mark) -> Mapping:
    return agent.having(Scalar(key, key, mark), Scalar(text, text, mark))


def _reason(error: Exception) -> str:
    return (error.strerror or type(error).__name__).lower() if isinstance(error, OSError) else str(error)

"""`${VAR}` in the text of a team file.

`${VAR}` and `${env:VAR}` are environment variables, `${VAR:-text}` has a default that stands in
for an unset or empty one, `${workspaceFolder}` is the directory of the team file and
`${userHome}` the user's own. `${input:some-id}`, which VS Code asks a person for, is the
variable `SOME_ID`. `$${` is a plain `${`. There is no nesting, and a bare `$VAR` is text. An
unset variable without a default is an error: passing the literal text on is how secrets end up
missing where nobody looks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import Problem
from harness.team.nodes import Node, Place, Scalar, rewritten
from harness.team.strict_yaml import resolved

SHORTEST_SECRET = 6
_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<inside>[^{}]*)\}|\$\{")
_INSIDE = re.compile(r"(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)
_INPUT = re.compile(r"input:(?P<id>[A-Za-z_][A-Za-z0-9_.-]*)")


@dataclass
class Variables:
    """Fills in variables, and remembers every value it took from the environment."""

    environment: AbstractMapping[str, str]
    base: Path
    secrets: set[str] = field(default_factory=set[str])

    def fill_tree(self, root: Node) -> tuple[Node, list[Problem]]:
        """Return the tree with every variable filled in, and what could not be."""
        problems: list[Problem] = []

        def change(scalar: Scalar, place: Place) -> Scalar:
            filled, wrong = self.fill(scalar)
            problems.extend(wrong)
            return filled

        return rewritten(root, change), problems

    def fill(self, scalar: Scalar) -> tuple[Scalar, list[Problem]]:
        """Return the text with its variables filled in, and what could not be; numbers stay as they are."""
        if not isinstance(scalar.value, str) or "${" not in scalar.value:
            return scalar, []
        problems: list[Problem] = []

        def value_of(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            if match["inside"] is None:
                hint = "write ${NAME}, or $${ for a plain ${"
                problems.append(scalar.mark.problem("'${' is never closed", hint))
                return ""
            return self._value_of(match["inside"], scalar, problems)

        text = _REFERENCE.sub(value_of, scalar.value)
        if problems:
            # The text stays as written, and counts as filled in, so that it is not faulted twice.
            return replace(scalar, interpolated=True), problems
        return replace(scalar, value=text, text=text, interpolated=True), problems

    def _value_of(self, inside: str, scalar: Scalar, problems: list[Problem]) -> str:
        places = {"workspaceFolder": str(self.base), "userHome": str(Path.home())}
        if inside in places:
            return places[inside]
        default: str | None = None
        if match := _INPUT.fullmatch(inside):
            name = re.sub(r"[^A-Za-z0-9]", "_", match["id"]).upper()
        elif match := _INSIDE.fullmatch(inside):
            name, default = match["name"], match["default"]
        else:
            hint = "write ${NAME} or ${NAME:-default}; $${ stands for a plain ${"
            problems.append(scalar.mark.problem(f"${{{inside}}} is not a variable", hint))
            return ""
        value = self.environment.get(name)
        if default is not None and not value:
            return default.removeprefix(":-")
        if value is None:
            hint = f"set {name} in the environment, or give a default: ${{{name}:-…}}"
            problems.append(scalar.mark.problem(f"the variable {name} is not set", hint))
            return ""
        if len(value) >= SHORTEST_SECRET:
            self.secrets.add(value)
        return value


def reinterpreted(root: Node, places: set[Place]) -> Node:
    """Return the tree in which filled-in text at `places` is read as a number, truth value or nothing."""

    def change(scalar: Scalar, place: Place) -> Scalar:
        if place not in places or not scalar.interpolated:
            return scalar
        try:
            return replace(scalar, value=resolved(scalar.text))
        except ValueError:
            return scalar

    return rewritten(root, change)

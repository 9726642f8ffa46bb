"""`${VAR}` in the text of a team file.

`${VAR}` and `${env:VAR}` are environment variables, `${VAR:-text}` has a default that stands in
for an unset or empty one, `${workspaceFolder}` is the directory of the team file and
`${userHome}` the user's own. `${input:some-id}`, which VS Code asks a person for, is the
variable `SOME_ID`. `$${` is a plain `${`. There is no nesting, and a bare `$VAR` is text. An
unset variable without a default is an error: passing the literal text on is how secrets end up
missing where nobody looks. Only a team that is restored from what was remembered of it may lack
variables: a run can be carried out again on a machine that has none of its keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as AbstractMapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import Problem
from harness.team.credentials import given
from harness.team.nodes import Node, Place, Scalar, rewritten
from harness.team.places import is_address, shapes_behaviour, takes_secret
from harness.team.strict_yaml import resolved

SHORTEST_SECRET = 6
_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<inside>[^{}]*)\}|\$\{")
_INSIDE = re.compile(r"(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)
_INPUT = re.compile(r"input:(?P<id>[A-Za-z_][A-Za-z0-9_.-]*)")


URL = re.compile(r"https?://[^/\s]")
_PLACEHOLDER = "unset"
_PLACEHOLDER_URL = "http://unset.invalid"


@dataclass(frozen=True)
class Remembered:
    """What was filled in when the team was loaded, for filling it in again elsewhere."""

    variables: AbstractMapping[str, str]
    """`Team.variables`; what is in it wins over the environment."""
    file: str
    """What the stored team is called; variables in it that are not to be had get a placeholder."""


@dataclass
class Variables:
    """Fills in variables, and remembers every value it took from the environment."""

    environment: AbstractMapping[str, str]
    base: Path
    remembered: Remembered | None = None
    secrets: set[str] = field(default_factory=set[str])
    """Values that must not be shown."""
    hidden: set[str] = field(default_factory=set[str])
    """The values among them that neither a model nor a record may hold."""
    placeholders: dict[Place, Problem] = field(default_factory=dict[Place, Problem])
    """Where something harmless stands in for a variable, and what would be wrong without it."""
    missing: set[str] = field(default_factory=set[str])
    """The names of the variables that something harmless stands in for."""
    _shaping: dict[str, str] = field(default_factory=dict[str, str])
    _private: dict[str, str] = field(default_factory=dict[str, str])
    """The variables that are used as secrets."""

    def to_remember(self, secrets: AbstractSet[str]) -> dict[str, str]:
        """Return what carrying out a run again needs, without `secrets` and all that is used as one."""
        values = {value for value in self._private.values() if len(value) >= SHORTEST_SECRET} | secrets
        return {
            name: value
            for name, value in sorted(self._shaping.items())
            if name not in self._private and value not in values
        }

    def fill_tree(self, root: Node) -> tuple[Node, list[Problem]]:
        """Return the tree with every variable filled in, and what could not be."""
        problems: list[Problem] = []

        def change(scalar: Scalar, place: Place) -> Scalar:
            filled, wrong = self.fill(scalar, place)
            problems.extend(wrong)
            return filled

        return rewritten(root, change), problems

    def fill(self, scalar: Scalar, place: Place = ()) -> tuple[Scalar, list[Problem]]:
        """Return the text with its variables filled in, and what could not be; numbers stay as they are.

        Without a `place` the value is used while loading only, and need not be remembered.
        """
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
            value = self._value_of(match["inside"], scalar, place)
            if isinstance(value, Problem):
                problems.append(value)
                return ""
            return value

        text = _REFERENCE.sub(value_of, scalar.value)
        if problems:
            # The text stays as written, and counts as filled in, so that it is not faulted twice.
            return replace(scalar, interpolated=True), problems
        if place in self.placeholders and is_address(place) and not URL.match(text):
            text = _PLACEHOLDER_URL
        return replace(scalar, value=text, text=text, interpolated=True), problems

    def _value_of(self, inside: str, scalar: Scalar, place: Place) -> str | Problem:
        folders = {"workspaceFolder": str(self.base), "userHome": str(Path.home())}
        if inside in folders:
            return self._folder(inside, folders[inside], place)
        default: str | None = None
        if match := _INPUT.fullmatch(inside):
            name = re.sub(r"[^A-Za-z0-9]", "_", match["id"]).upper()
        elif match := _INSIDE.fullmatch(inside):
            name, default = match["name"], match["default"]
        else:
            hint = "write ${NAME} or ${NAME:-default}; $${ stands for a plain ${"
            return scalar.mark.problem(f"${{{inside}}} is not a variable", hint)
        value = self._looked_up(name)
        if default is not None and not value:
            # Remembered as empty, so that the default stands again where the variable is set.
            self._take_note(name, "", place)
            return default.removeprefix(":-")
        if value is None:
            return self._unset(name, scalar, place)
        self._take_note(name, value, place)
        if len(value) >= SHORTEST_SECRET:
            self.secrets.add(value)
        return value

    def _folder(self, name: str, here: str, place: Place) -> str:
        if not place or not shapes_behaviour(place):
            return here
        self._shaping[name] = self.remembered.variables.get(name, here) if self.remembered else here
        return self._shaping[name]

    def _looked_up(self, name: str) -> str | None:
        if self.remembered and name in self.remembered.variables:
            return self.remembered.variables[name]
        return self.environment.get(name)

    def _take_note(self, name: str, value: str, place: Place) -> None:
        is_key = bool(place) and takes_secret(place, name)
        self.hidden.update(one for one in given(value, place, is_key=is_key) if one)
        if is_key:
            self._private[name] = value
        elif place and shapes_behaviour(place):
            self._shaping[name] = value

    def _unset(self, name: str, scalar: Scalar, place: Place) -> str | Problem:
        hint = f"set {name} in the environment"
        if "${" in f"{scalar.mark.file}{scalar.mark.source}":
            hint += f", or give a default: ${{{name}:-…}}"
        problem = scalar.mark.problem(f"the variable {name} is not set", hint)
        if self.remembered is None or scalar.mark.file != self.remembered.file:
            return problem
        self.placeholders[place] = problem
        self.missing.add(name)
        return _PLACEHOLDER


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

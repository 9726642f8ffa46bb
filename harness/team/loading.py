"""From the text of a team file to a `Team`: read, override, complete, fill in, validate, check."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection as AbstractCollection
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence as AbstractSequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import Problem, TeamError
from harness.team.checks import check_team, servers_named, with_models_named
from harness.team.explain import explained, faulted_places
from harness.team.foreign import adopted
from harness.team.interpolation import Remembered, Variables, reinterpreted
from harness.team.library import Completion, agent_library
from harness.team.masking import masked
from harness.team.nodes import Mapping, Mark, Place, from_plain, mapping_at, plain, without
from harness.team.overrides import Override, Stage, applied, parse_overrides
from harness.team.providers import expanded, opened, with_addresses, with_model
from harness.team.specs import TeamSpec
from harness.team.spelling import did_you_mean
from harness.team.strict_yaml import MAX_BYTES, MAX_PROBLEMS, decoded, parse_yaml


@dataclass(frozen=True)
class Team:
    """A team file, read and found right."""

    spec: TeamSpec
    path: Path | None
    """The file, absolute; None for text that came from no file."""
    base: Path
    """What relative paths in the file are relative to."""
    source: AbstractMapping[str, Any]
    """The file with ready agents and overrides merged in, but `${…}` as written: the form that is kept.

    A key or token written out in the file is replaced by a variable here, so this holds no secrets.
    """
    digest: str
    """BLAKE2b-128 of the canonical JSON of `source`, in hex: equal teams have equal digests."""
    secrets: frozenset[str]
    """Every value that must not be shown: what came from the environment, and keys written out in the file."""
    hidden: frozenset[str]
    """The secrets among them, to be redacted wherever they turn up: what went into keys, headers, `env`, `args`
    and urls, unless it looks like a path, words or a number; and keys written out in the file."""
    variables: AbstractMapping[str, str]
    """The value of every `${…}` that shaped what the team does: kept beside `source`, it restores the team anywhere.

    Leaves out how models and servers are reached, and every variable that is used as a secret. A
    variable that was not set, so that its default stands, is in it with an empty value.
    """
    thinking_marks: AbstractMapping[str, Mark] = field(
        default_factory=dict[str, Mark], compare=False, repr=False
    )
    """Where the file says how much an agent may think, by agent."""
    missing: frozenset[str] = frozenset()
    """Variables that were not to be had when the team was restored; something harmless stands in for them.

    A team that lacks any can be carried out again from its record, but must not call anything live.
    """


@dataclass(frozen=True)
class _Surroundings:
    """What a team file is read in."""

    base: Path
    environment: AbstractMapping[str, str]
    overrides: AbstractSequence[Override]
    library: AbstractMapping[str, Path]
    servers: AbstractSet[str]
    remembered: Remembered | None = None


def load_team(
    path: str | Path,
    *,
    overrides: AbstractSequence[str] = (),
    environment: AbstractMapping[str, str] = os.environ,
    library: AbstractMapping[str, Path] | None = None,
    servers: AbstractCollection[str] = (),
    remembered: AbstractMapping[str, str] | None = None,
) -> Team:
    """Return the team that the file at `path` describes.

    `overrides` are `a.b.c=value`, as after `--set`; `library` has the files of ready agents,
    `agent_library()` if not given; `servers` are names of tool servers that the program hands in,
    which the file may use beside its own. With `remembered` the team need not be able to run, as in
    `restore_team`. Raises `TeamError` with every problem found, sorted by position.
    """
    file = Path(path)
    text = decoded(_bytes_of(file), file=str(path))
    whole = file.resolve()
    given = parse_overrides(overrides)
    ready = agent_library() if library is None else library
    known = None if remembered is None else Remembered(remembered, str(path))
    surroundings = _Surroundings(whole.parent, environment, given, ready, set(servers), known)
    team = _parsed(text, str(path), surroundings)
    return replace(team, path=whole)


def parse_team(
    text: str,
    *,
    base: Path,
    overrides: AbstractSequence[str] = (),
    environment: AbstractMapping[str, str] = os.environ,
    library: AbstractMapping[str, Path] | None = None,
    servers: AbstractCollection[str] = (),
) -> Team:
    """Return the team that `text` describes, which messages call `team.yaml`. See `load_team`."""
    given = parse_overrides(overrides)
    ready = agent_library() if library is None else library
    return _parsed(text, "team.yaml", _Surroundings(base, environment, given, ready, set(servers)))


def restore_team(
    source: AbstractMapping[str, Any],
    *,
    base: Path,
    overrides: AbstractSequence[str] = (),
    environment: AbstractMapping[str, str] = os.environ,
    remembered: AbstractMapping[str, str] | None = None,
    servers: AbstractCollection[str] = (),
) -> Team:
    """Return the team whose `Team.source` was kept; without overrides its digest is the same.

    `remembered`, the `Team.variables` kept with it, wins over the environment. With it the team need
    not be able to run: a variable that neither has is no error but stands in `Team.missing`, and
    servers that a program handed in then are not wanted again now.

    Raises `TeamError`, which names no lines, for a variable that is not set any more, a server that
    is neither in the file nor in `servers`, and overrides that do not fit.
    """
    file = "the stored team"
    root = from_plain(source, Mark(file))
    assert isinstance(root, Mapping)
    known = None if remembered is None else Remembered(remembered, file)
    names = set(servers) if remembered is None else {*servers, *servers_named(root)}
    given = parse_overrides(overrides)
    return _built(root, file, _Surroundings(base, environment, given, agent_library(), names, known))


def _parsed(text: str, file: str, surroundings: _Surroundings) -> Team:
    root = parse_yaml(text, file=file)
    if not isinstance(root, Mapping):
        hint = "begin with: harness: 1"
        raise TeamError([root.mark.problem("a team file is a mapping of keys to values", hint)])
    return _built(root, file, surroundings)


def _built(root: Mapping, file: str, surroundings: _Surroundings) -> Team:
    variables = Variables(surroundings.environment, surroundings.base, surroundings.remembered)
    completion = Completion(variables, surroundings.library)
    given = surroundings.overrides
    root, problems = adopted(root)
    for override in (one for one in given if one.shapes_agents):
        root = _applied(root, override, problems)
    root = opened(completion.complete(root))
    for override in sorted((one for one in given if not one.shapes_agents), key=lambda one: one.stage):
        if override.stage == Stage.CHOICE:
            root = with_model(root, override.value)
        else:
            root = _applied(root, override, problems)
    # An override may itself bring what has to be completed or left out.
    root, _ = adopted(completion.complete(root))
    root = opened(root)
    kept, written_out = masked(root)
    whole, unserved = expanded(root, variables)
    filled, unset = variables.fill_tree(whole)
    problems += [*completion.problems, *unserved, *unset]
    assert isinstance(filled, Mapping)
    filled = with_addresses(filled)
    fitting, spec, wrong = _validated(filled, set(variables.placeholders))
    wrong += islice(check_team(fitting, surroundings.servers), MAX_PROBLEMS)
    # What is known to be wrong already, such as a variable that is not set, is not faulted again.
    known = {(problem.file, problem.line, problem.column) for problem in problems if problem.line}
    problems += [p for p in wrong if (p.file, p.line, p.column) not in known]
    if problems or spec is None:
        lacking = variables.placeholders.values() if any(p.file == file for p in problems) else ()
        raise TeamError(_in_order([*lacking, *problems], file))
    source: dict[str, Any] = plain(kept)
    return Team(
        spec,
        None,
        variables.base,
        source,
        _digest(source),
        frozenset(variables.secrets | written_out),
        frozenset(variables.hidden | written_out),
        variables.to_remember(written_out),
        _thinking_marks(filled),
        frozenset(variables.missing),
    )


def _thinking_marks(root: Mapping) -> dict[str, Mark]:
    said = {
        name: mapping_at(agent).entries.get("thinking") or root.entries.get("thinking")
        for name, agent in mapping_at(root, "agents").items()
    }
    return {name: entry.key.mark for name, entry in said.items() if entry is not None}


def _applied(root: Mapping, override: Override, problems: list[Problem]) -> Mapping:
    try:
        changed = applied(root, override)
    except TeamError as error:
        problems.extend(error.problems)
        return root
    return changed if isinstance(changed, Mapping) else root


def _validated(
    root: Mapping, placeholders: AbstractSet[Place]
) -> tuple[Mapping, TeamSpec | None, list[Problem]]:
    """Return the tree with filled-in text read as what is wanted there, the specs, and what is wrong.

    A placeholder that does not fit is left out.
    """
    try:
        return root, TeamSpec.model_validate(plain(with_models_named(root))), []
    except ValidationError as error:
        faulted = faulted_places(error, root)
    again = without(reinterpreted(root, faulted - placeholders), faulted & placeholders)
    assert isinstance(again, Mapping)
    try:
        return again, TeamSpec.model_validate(plain(with_models_named(again))), []
    except ValidationError as error:
        return again, None, explained(error, again)


def _in_order(problems: list[Problem], file: str) -> list[Problem]:
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda p: (p.file != file, p.file, p.line, p.column))


def _digest(source: Any) -> str:
    text = json.dumps(source, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def _bytes_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise TeamError([Problem("there is no such file", str(file), hint=_nearby(file))]) from None
    except IsADirectoryError:
        raise TeamError(
            [Problem("this is a directory", str(file), hint=_nearby(file / "team.yaml"))]
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror or "unreadable").lower() if isinstance(error, OSError) else str(error)
        raise TeamError([Problem(f"the file cannot be read: {reason}", str(file))]) from None


def _nearby(file: Path) -> str:
    """Return a hint at YAML files in the same directory."""
    try:
        names = [found.name for found in file.parent.iterdir() if found.suffix in (".yaml", ".yml")]
    except OSError:
        return f"there is no directory {file.parent} either"
    if not names:
        return "try: harness init"
    return did_you_mean(
        file.name, names[:20], what=f"in {file.parent} there are" if len(names) > 1 else "there is"
    )

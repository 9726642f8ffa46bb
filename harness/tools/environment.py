"""Files of `NAME=value` lines, as `envFile` names them."""

from __future__ import annotations

from pathlib import Path


def read_environment(path: Path) -> dict[str, str]:
    """Read `NAME=value` lines; blank lines, comments and lines without `=` are passed over."""
    environment: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            environment[name.strip()] = _unquoted(value.strip())
    return environment


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value

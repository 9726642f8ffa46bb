"""What is public is what `harness.__all__` lists."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import harness


def test_what_is_listed_is_all_that_can_be_found_and_is_sorted():
    assert dir(harness) == sorted(harness.__all__)
    assert len(set(harness.__all__)) == len(harness.__all__)


@pytest.mark.parametrize("name", harness.__all__)
def test_every_listed_name_can_be_imported_and_says_what_it_is(name: str):
    value = getattr(harness, name)

    assert value is getattr(import_module("harness"), name)
    assert value.__doc__
    assert value.__module__.startswith("harness.")


def test_every_public_name_is_known_to_type_checkers_too():
    source = Path(harness.__file__).read_text()
    typed = source[source.index("if TYPE_CHECKING:") : source.index("_HOMES = {")]

    assert [name for name in harness.__all__ if name not in typed] == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'Crew'"):
        _ = harness.Crew  # type: ignore[attr-defined]


def test_importing_the_package_loads_nothing_heavy():
    script = "import sys, harness; print(sorted({name.partition('.')[0] for name in sys.modules}))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert [
        name
        for name in ("aiohttp", "mcp", "opentelemetry", "pydantic", "rich", "tiktoken", "typer")
        if f"'{name}'" in loaded
    ] == []

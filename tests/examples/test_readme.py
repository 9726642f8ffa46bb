"""The README's Python blocks run, and its commands exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"(?<!pytest -->\n)```python\n(.*?)```", README, re.DOTALL)
PYTEST_BLOCKS = re.findall(r"<!-- pytest -->\n```python\n(.*?)```", README, re.DOTALL)
SHELL_BLOCKS = re.findall(r"<!-- tested -->\n```bash\n(.*?)```", README, re.DOTALL)
YAML_BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=lambda block: block.splitlines()[-1][:40])
def test_python_block_runs(block: str, tmp_path: Path):
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    ran = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=lambda block: block.split()[-2])
def test_shell_block_runs(block: str, folder: Path):
    ran = shell(block, folder)

    assert (ran.returncode, "error" in ran.stderr) == (0, False), ran.stdout + ran.stderr


def test_the_pytest_block_passes_and_fails_with_a_changed_team(folder: Path):
    (block,) = PYTEST_BLOCKS
    team = "examples/deep_research/team.yaml"
    prepared = shell(
        f'harness run {team} "What may a sub-agent see?" --quiet\n'
        "mkdir tests && harness export last -o tests/run.harness",
        folder,
    )
    assert prepared.returncode == 0, prepared.stderr
    (folder / "tests" / "test_team.py").write_text(block.replace("team.yaml", team))
    passed = shell("python -m pytest -q -p no:cacheprovider tests", folder)
    changed = (folder / team).read_text().replace("use: writer", "instructions: Write.")
    (folder / team).write_text(changed)
    failed = shell("python -m pytest -q -p no:cacheprovider tests", folder)

    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert failed.returncode == 1
    assert "the request is not the recorded one" in failed.stdout
    assert "agents.writer.instructions" in failed.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    for name in ("README.md", "harness", "toolservers"):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(
                source, tmp_path / "docs" / name, ignore=shutil.ignore_patterns("*.py", "__pycache__")
            )
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def shell(block: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block as a reader would, with the installed command on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("block", YAML_BLOCKS)
def test_yaml_block_is_a_team_that_checks(block: str, tmp_path: Path):
    (tmp_path / "team.yaml").write_text(block)
    ran = subprocess.run(
        [sys.executable, "-m", "harness", "check", "team.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_embedding_example_answers(tmp_path: Path):
    example = REPOSITORY / "examples" / "embed" / "research.py"
    ran = subprocess.run(
        [sys.executable, str(example), "What may a sub-agent see?"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "lead: done" in ran.stdout

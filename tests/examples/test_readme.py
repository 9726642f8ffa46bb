"""The README's Python blocks run, and its commands exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
YAML_BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=lambda block: block.splitlines()[-1][:40])
def test_python_block_runs(block: str, tmp_path: Path):
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    ran = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )

    assert (ran.returncode, ran.stderr) == (0, "")


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

"""The wheel works in an empty environment away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed and return what it printed."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", target, cwd=REPOSITORY)
    return next(target.glob("*.whl"))


def test_it_installs_no_top_level_package_but_its_own(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"harness", "toolservers"}
    assert "harness/agents/researcher.yaml" in names
    assert {"harness/viewer/assets/page.css", "harness/viewer/vendor/NOTE.md"} <= set(names)


def test_ready_agents_and_tool_servers_work_away_from_the_checkout(wheel: Path, tmp_path: Path):
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=tmp_path)
    (tmp_path / "notes.md").write_text(
        "# Tides\n\nTides are caused by the gravity of the moon and the sun.\n"
    )
    command = tmp_path / "env" / "bin" / "harness"

    run(command, "init", cwd=tmp_path)
    answer = run(command, "run", "team.yaml", "What causes the tides?", "-q", cwd=tmp_path)

    assert "gravity of the moon" in answer
    assert "notes.md:3" in answer
    found = subprocess.run([python, "-c", "import agents"], cwd=tmp_path, capture_output=True, check=False)
    assert b"ModuleNotFoundError" in found.stderr

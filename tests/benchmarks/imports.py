"""What it costs to have the harness at all: `import harness` and `harness --help` (workload W4)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from tests.benchmarks.compare import clean_environment

PYDANTIC = """\
from pydantic import BaseModel
class Question(BaseModel):
    text: str
    limit: int = 1
"""
"""The floor: the library everyone has, and one model."""

IMPORT = "import harness"
HELP = "import sys; sys.argv = ['harness', '--help']; from harness.cli import main; main()"
HEAVY = ("mcp", "aiohttp", "opentelemetry.sdk")
"""What neither may import: they cost more than all the rest."""

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Start:
    """One fresh interpreter that ran some code and ended."""

    cpu_seconds: float
    """User plus system time, the interpreter's own start included."""
    right: bool
    why: str = ""


def start(code: str) -> Start:
    """Run `code` in a new interpreter."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=clean_environment(),
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        why = errors.read().decode(errors="replace").strip()[-300:] if process.returncode else ""
    return Start(usage.ru_utime + usage.ru_stime, process.returncode == 0, why)


def heavy_modules(code: str) -> list[str]:
    """Return which of the heavy modules `code` imports, or why that cannot be told."""
    probe = (
        f"import sys\ntry:\n    exec({code!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", probe],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        timeout=_SECONDS,
        text=True,
        check=False,
    )
    last = (ran.stderr.strip().splitlines() or [""])[-1]
    if ran.returncode or not last.startswith("["):
        return [f"failed: {last}"]
    return [name for name in HEAVY if repr(name) in last]


def alternate(code: str, *, repetitions: int) -> list[tuple[Start, Start]]:
    """Return pairs of the floor and `code`, after one of each that fills the byte code caches."""
    start(PYDANTIC), start(code)
    return [(start(PYDANTIC), start(code)) for _ in range(repetitions)]

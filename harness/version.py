"""The version of this distribution."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version


def version() -> str:
    """Return the installed version, or `0` in a tree that is not installed."""
    try:
        return distribution_version("harness-agents")
    except PackageNotFoundError:
        return "0"

"""The version of this distribution."""

from functools import cache


@cache
def version() -> str:
    """Return the installed version, or `0` in a tree that is not installed."""
    # Reading installed metadata costs 18 ms, which `import harness` and `--help` should not pay, and
    # 0.3 ms each further time, which every run would.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as distribution_version

    try:
        return distribution_version("harness-agents")
    except PackageNotFoundError:
        return "0"

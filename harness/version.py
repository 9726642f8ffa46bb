"""The version of this distribution."""


def version() -> str:
    """Return the installed version, or `0` in a tree that is not installed."""
    # Reading installed metadata costs 18 ms, which `import harness` and `--help` should not pay.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as distribution_version

    try:
        return distribution_version("harness-agents")
    except PackageNotFoundError:
        return "0"

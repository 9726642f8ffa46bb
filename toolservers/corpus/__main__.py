"""`python -m toolservers.corpus --root DIR` serves a folder over stdio."""

from __future__ import annotations

import argparse
import sys

from toolservers.corpus import create


def main() -> int:
    """Serves until standard input ends; wrong options end with status 2."""
    parser = argparse.ArgumentParser(
        "python -m toolservers.corpus", description="Search a folder over MCP on stdio."
    )
    parser.add_argument("--root", default=".", help="the folder to search (default: the working directory)")
    parser.add_argument(
        "--include", action="append", default=[], metavar="GLOB", help="only these files; repeatable"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="not these files; repeatable"
    )
    parser.add_argument("--max-file-bytes", type=int, default=2_000_000, help="leave out larger files")
    parser.add_argument("--cache", help="the file of the index, or :memory:")
    given = parser.parse_args()
    try:
        server = create(**vars(given), terminal_progress=True)
    except ValueError as error:
        print(f"toolservers.corpus: {error}", file=sys.stderr)
        return 2
    server.run("stdio")
    return 0


if __name__ == "__main__":
    sys.exit(main())

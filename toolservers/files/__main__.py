"""`python -m toolservers.files --root DIR [--write]` serves a folder over stdio."""

from __future__ import annotations

import argparse
import sys

from toolservers.files import create


def main() -> int:
    """Serves until standard input ends; wrong options end with status 2."""
    parser = argparse.ArgumentParser(
        "python -m toolservers.files", description="Serve files over MCP on stdio."
    )
    parser.add_argument("--root", default=".", help="the folder to serve (default: the working directory)")
    parser.add_argument("--write", action="store_true", help="also offer the tools that change files")
    given = parser.parse_args()
    try:
        server = create(root=given.root, write=given.write)
    except ValueError as error:
        print(f"toolservers.files: {error}", file=sys.stderr)
        return 2
    server.run("stdio")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

TeamFile = Annotated[str, typer.Argument(metavar="TEAM", help="The team file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the team file; may be repeated."),
]
Store = Annotated[
    str | None,
    typer.Option(help="Where runs are kept: a folder or a .db file. [default: $HARNESS_STORE or .harness]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
RunReference = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id, a unique start of it, `last`, or `last~1` for the one before."
    ),
]

"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

TeamFile = Annotated[str, typer.Argument(metavar="TEAM", help="The team file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the team file; may be repeated."),
]
ModelChoice = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="The model of every agent instead: PROVIDER/MODEL, such as ollama/qwen3:8b, or one of the team file.",
        show_default=False,
    ),
]
Store = Annotated[
    str | None,
    typer.Option(help="Where runs are kept: a folder or a .db file. [default: $HARNESS_STORE or .harness]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def settings(overrides: list[str] | None, model: str = "") -> tuple[str, ...]:
    """Return what `--set` and `--model` say, as overrides of the team file."""
    return (*(overrides or ()), *((f"model={model}",) if model else ()))


RunReference = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id, a unique start of it, `last`, or `last~1` for the one before."
    ),
]

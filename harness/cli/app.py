"""The commands and their options. What they do stands in modules that are imported when they run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import recorded, trace
from harness.cli.options import Json, ModelChoice, Overrides, Store, TeamFile, settings

app = typer.Typer(
    name="harness",
    help="Run teams of agents from one YAML file. Every run is kept, and can be looked at and traced.",
    epilog="Start with: harness init && harness run team.yaml 'What is this folder about?'",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    team: TeamFile,
    task: Annotated[
        str | None, typer.Argument(help="The task; read from standard input if left out.")
    ] = None,
    set_: Overrides = None,
    model: ModelChoice = "",
    store: Store = None,
    json: Json = False,
    image: Annotated[list[Path] | None, typer.Option(help="An image to send with the task.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write spans to this file as OTLP JSON lines.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    session: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Go on with this thread of runs: what it came to is carried along."
        ),
    ] = "",
) -> None:
    """Run a team on a task and print its answer.

    The answer goes to standard output, progress to standard error. Exit code 0: done, 3: failed,
    4: a limit was reached, 5: waits for a person, 130: interrupted (`harness resume` goes on).

        harness run team.yaml "Which documents describe the journal?"
        harness run team.yaml "..." --model ollama/qwen3:8b
    """
    from harness.cli.run_team import RunRequest, run_team

    raise typer.Exit(
        run_team(
            RunRequest(
                team=team,
                task=task,
                overrides=settings(set_, model),
                store=store,
                as_json=json,
                images=tuple(image or ()),
                trace=trace,
                quiet=quiet,
                session=session,
            )
        )
    )


@app.command()
def check(team: TeamFile, set_: Overrides = None, model: ModelChoice = "", json: Json = False) -> None:
    """Check a team file without running it; say where it is wrong and how to mend it."""
    from harness.cli.team_commands import check_team

    raise typer.Exit(check_team(team, settings(set_, model), as_json=json))


@app.command()
def schema() -> None:
    """Print the JSON Schema of team files, for editors."""
    from harness.cli.team_commands import print_schema

    print_schema()


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to put it.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Write a team that runs at once, with no key and no network, and its schema."""
    from harness.cli.team_commands import write_starter

    write_starter(directory, force=force)


@app.command()
def tools(
    team: TeamFile,
    call: Annotated[str | None, typer.Option(metavar="NAME", help="Call this tool.")] = None,
    arguments: Annotated[str, typer.Argument(help="Arguments of the call, as JSON.")] = "{}",
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """List the tools of a team's servers, or call one.

    harness tools team.yaml --call corpus.search '{"query": "journal"}'
    """
    from harness.cli.team_commands import call_tool, list_tools

    overrides = tuple(set_ or ())
    raise typer.Exit(
        call_tool(team, overrides, call, arguments, as_json=json)
        if call
        else list_tools(team, overrides, as_json=json)
    )


app.registered_commands += recorded.app.registered_commands
app.add_typer(trace.app, name="trace")


@app.command()
def serve(
    team: TeamFile,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any that is free.")] = 8321,
    token: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOKEN",
            help="Let in whoever sends it; may be repeated. Default: HARNESS_TOKEN in the environment.",
        ),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="An agent clients may start at, or *; may be repeated. Default: as the team file says.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name clients may call the server by; may be repeated."),
    ] = None,
    max_runs: Annotated[
        int | None, typer.Option(min=1, help="Runs at the same time. Default: as the team file says.")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(min=1, help="Requests a minute of one client. Default: as the team file says."),
    ] = None,
    grace: Annotated[float, typer.Option(help="Seconds runs may go on when the server stops.")] = 10.0,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume",
            help="Carry on what was cut off or interrupted. Default: yes, but not with --stdio.",
        ),
    ] = None,
    stdio: Annotated[
        bool, typer.Option("--stdio", help="Be an MCP server on standard input and output instead.")
    ] = False,
    set_: Overrides = None,
    model: ModelChoice = "",
    store: Store = None,
    trace: Annotated[Path | None, typer.Option(help="Write spans to this file as OTLP JSON lines.")] = None,
) -> None:
    """Serve a team: runs over HTTP, an MCP server at /mcp, an OpenAI-compatible endpoint at /v1.

    On SIGTERM or Ctrl-C runs may end for a while; the rest is interrupted and carried on by the next
    `harness serve` of the team on the same store.

        harness serve team.yaml
        curl -d '{"task": "..."}' http://127.0.0.1:8321/runs
    """
    from harness.cli.serve import ServeRequest, serve_team
    from harness.serve.options import ServeOptions

    options = ServeOptions(
        agents=tuple(agent or ()),
        max_runs=max_runs,
        requests_per_minute=rate,
        grace_seconds=grace,
        carry_on=not stdio if resume is None else resume,
    )
    raise typer.Exit(
        serve_team(
            ServeRequest(
                team=team,
                overrides=settings(set_, model),
                store=store,
                host=host,
                port=port,
                tokens=tuple(token or ()),
                allowed_hosts=tuple(allow_host or ()),
                options=options,
                stdio=stdio,
                trace=trace,
            )
        )
    )


@app.command()
def models(
    model: Annotated[
        str,
        typer.Argument(metavar="[PROVIDER/MODEL]", help="Say what is known of this one.", show_default=False),
    ] = "",
    json: Json = False,
) -> None:
    """List who serves models and where their keys belong, or say what is known of one model.

    harness models ollama/qwen3:8b
    """
    from harness.cli.models import print_models

    raise typer.Exit(print_models(model, as_json=json))


@app.command()
def doctor(json: Json = False, store: Store = None) -> None:
    """Say what this machine offers and what is missing, with what to do about it."""
    from harness.cli.doctor import examine

    raise typer.Exit(examine(store, as_json=json))


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Run teams of agents from one YAML file. Every run is kept, and can be looked at and traced."""
    if version:
        from harness.version import version as installed_version

        typer.echo(f"harness {installed_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def main() -> None:
    """Run the command line; turn errors raised on purpose into one message and an exit code."""
    from harness.errors import HarnessError, TraceError, UsageError, innermost

    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as raised:
        # What happens in a task comes wrapped in groups.
        error = innermost(raised)
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
            sys.exit(1)
        if not isinstance(error, HarnessError):
            raise
        _say(error)
        sys.exit(2 if isinstance(error, UsageError | TraceError) else 3)


def _say(error: Exception) -> None:
    from harness.cli.terminal import plain

    typer.echo(f"error: {plain(str(error))}", err=True)

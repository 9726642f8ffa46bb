"""The commands about runs that are recorded; what they do stands in modules imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json, Overrides, RunReference, Store
from harness.errors import UsageError

app = typer.Typer()

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
OtherTeam = Annotated[
    str | None,
    typer.Option("--team", metavar="FILE", help="Use this team file instead of the run's own."),
]
Status = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STATUS",
        help="done, failed, limit, suspended, interrupted, cancelled or unfinished; may be repeated.",
    ),
]
TeamName = Annotated[str | None, typer.Option("--of", metavar="NAME", help="Only runs of this team.")]
SessionName = Annotated[
    str | None, typer.Option("--session", metavar="NAME", help="Only runs of this session.")
]
Newer = Annotated[str | None, typer.Option(metavar="AGE", help="Only runs started within, say, 24h.")]
Older = Annotated[
    str | None, typer.Option(metavar="AGE", help="Only runs started longer ago than, say, 30d.")
]
Containing = Annotated[
    str | None, typer.Option("--text", metavar="TEXT", help="Only runs whose task or answer holds this text.")
]


@app.command()
def runs(
    store: Store = None,
    json: Json = False,
    limit: Annotated[int, typer.Option(help="How many to list, newest first.")] = 20,
    status: Status = None,
    of: TeamName = None,
    session: SessionName = None,
    text: Containing = None,
    newer: Newer = None,
    older: Older = None,
) -> None:
    """List the runs in a store, newest first.

    harness runs --status suspended --status failed
    harness runs --text journal --newer 7d
    """
    from harness.cli.store import Filter, list_runs

    which = Filter(tuple(status or ()), of, session, text, newer, older)
    list_runs(store, which, limit=limit, as_json=json)


@app.command()
def show(
    run: RunReference = "last",
    store: Store = None,
    json: Json = False,
    events: Annotated[bool, typer.Option("--events", help="List every event.")] = False,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows", help="Show the ledger: what every request held, by origin, and whether it was used."
        ),
    ] = False,
) -> None:
    """Show a run: its task, agents, plan, tool calls, answer and cost.

    With --json its events, one a line; with --windows --json the lines of its ledger.
    """
    from harness.cli.show import show_run

    show_run(run, store, events=events, windows=windows, as_json=json)


@app.command()
def resume(
    run: RunReference = "last",
    store: Store = None,
    team: OtherTeam = None,
    set_: Overrides = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Carry on a run that was cut off, interrupted, failed, or stopped by a limit.

    Nothing that is recorded is asked, paid or done again. The run's team file is read anew; it may have
    changed as long as the recorded part comes out the same.

        harness resume last
        harness resume last --set limits.tokens=2M
    """
    from harness.cli.resume import Again, resume_run

    raise typer.Exit(resume_run(Again(run, store, team, tuple(set_ or ()), json, quiet)))


@app.command()
def approve(
    run: RunReference = "last",
    call: Annotated[
        str, typer.Argument(metavar="[CALL]", help="The call's key or id; may be left out if only one waits.")
    ] = "",
    deny: Annotated[bool, typer.Option("--deny", help="Say no.")] = False,
    arguments: Annotated[
        str | None, typer.Option(metavar="JSON", help="Run the call with these arguments instead.")
    ] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="JSON", help="The answer to what a tool server wants to know.")
    ] = None,
    did_it_happen: Annotated[
        str | None, typer.Option(metavar="yes|no", help="Whether a call in doubt took effect.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Said to the model with a no.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Carry the run on at once, or only leave the answer.")
    ] = True,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer what a suspended run waits for, once and for good, and carry it on.

    harness approve last
    harness approve last lead/turn-2/0 --deny --reason "not in this repository"
    harness approve last --did-it-happen no
    """
    from harness.cli.resume import Again, Approval, approve_call

    said = Approval(call, deny, arguments, answer, did_it_happen, reason)
    raise typer.Exit(approve_call(Again(run, store, as_json=json, quiet=quiet), said, resume=resume))


@app.command()
def replay(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, a unique start of it, `last`, or a bundle.")
    ] = "last",
    against: Annotated[
        str | None,
        typer.Option(metavar="TEAM", help="Tell whether this team file would have made the same requests."),
    ] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Carry a run out again from its record, offline, and prove that it does the same.

    Every model request must be byte-equal and every event the same; otherwise the first divergence is
    shown, with both sides, and the exit code is 1.

        harness replay last
        harness replay tests/run.harness --against team.yaml
    """
    from harness.cli.replay import replay_runs

    raise typer.Exit(replay_runs(run, store, against, as_json=json))


@app.command()
def fork(
    run: RunReference,
    at: Annotated[str, typer.Option(metavar="PATH/turn-N", help="The first turn that is asked anew.")],
    set_: Overrides = None,
    team: OtherTeam = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="ENTRY", help="Leave an entry of the agent's window out.")
    ] = None,
    edit: Annotated[
        list[str] | None, typer.Option(metavar="ENTRY=TEXT", help="Change an entry of the agent's window.")
    ] = None,
    result: Annotated[
        list[str] | None, typer.Option(metavar="CALL=TEXT", help="Change the result of a recorded call.")
    ] = None,
    brief: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Another objective for the agent, or another task.")
    ] = None,
    reuse_tools: Annotated[
        bool,
        typer.Option("--reuse-tools", help="Answer tool calls that equal recorded ones from the record."),
    ] = False,
    times: Annotated[
        int, typer.Option(min=1, max=100, help="Fork so often, at once, and report the spread.")
    ] = 1,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Start a new run from a turn of an old one, with something changed: recorded before it, live after.

    harness fork last --at lead/turn-3 --set agents.lead.model=qwen
    harness fork last --at lead/researcher-1/turn-2 --drop 4 --reuse-tools --times 5
    """
    from harness.cli.resume import Again, fork_run, pairs
    from harness.replay import Changes

    changes = Changes(tuple(drop or ()), pairs("--edit", edit), pairs("--result", result), brief, reuse_tools)
    request = Again(run, store, team, tuple(set_ or ()), json, quiet)
    raise typer.Exit(fork_run(request, at, changes, times=times))


@app.command()
def diff(
    left: Annotated[str, typer.Argument(metavar="RUN", help="A run.")],
    right: Annotated[str, typer.Argument(metavar="RUN", help="The run to hold against it.")],
    store: Store = None,
    json: Json = False,
) -> None:
    """Compare two runs: where they part, and what differs in plan, calls, windows, tokens, cost and outcome.

    Exit code 0: both did the same, 1: they did not.
    """
    from harness.cli.compare import diff_runs

    raise typer.Exit(diff_runs(left, right, store, as_json=json))


@app.command()
def view(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE", help="A run, or a trace file of any framework; FILE#2 for its second run."
        ),
    ] = "last",
    other: Annotated[
        str | None, typer.Argument(metavar="[RUN2|FILE2]", help="Another one, to lay beside it.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The page; - for standard output. [default: harness-view-RUN.html]",
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    store: Store = None,
) -> None:
    """Write one page that shows a run: plan, agents over time, every window, every finding.

    The page needs no network and no server; two runs are shown from where they part.

        harness view last --open
        harness view last~1 last -o both.html
    """
    from harness.cli.view import view_run

    view_run(run, other, store, output=output, in_browser=open_)


@app.command()
def diagnose(
    run: Annotated[
        list[str],
        typer.Argument(metavar="RUN|FILE…", help="Runs, or files with traces, trajectories or messages."),
    ],
    store: Store = None,
    json: Json = False,
    fail_on: Annotated[
        str | None,
        typer.Option(metavar="SEVERITY", help="Exit with 1 if a finding is as grave: info, warning, error."),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Findings that are known and fail nothing.")
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what is found as the baseline of later runs.")
    ] = None,
    detector: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this kind of finding; may be repeated.")
    ] = None,
    order: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Order contracts to check, one a line, beside the team's own."),
    ] = None,
    mine: Annotated[
        bool,
        typer.Option("--mine", help="Propose `order:` contracts that the runs keep, instead of findings."),
    ] = False,
    fdr: Annotated[
        float, typer.Option(metavar="RATE", help="With --mine: how many proposals may be chance, as a rate.")
    ] = 0.05,
    min_runs: Annotated[
        int, typer.Option(min=1, help="With --mine: in how many runs a contract must have something to say.")
    ] = 10,
    failed_too: Annotated[
        bool,
        typer.Option("--failed-too", help="With --mine: learn from runs that failed or were stopped, too."),
    ] = False,
    export: Annotated[
        bool,
        typer.Option(
            "--export", help="Send findings to OTEL_EXPORTER_OTLP_ENDPOINT, as gen_ai.evaluation.result."
        ),
    ] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm", help="Show what requests of our runs would have been without what is found."
        ),
    ] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Also ask the model what it does with each changed request; this is paid."
        ),
    ] = False,
    finding: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Confirm only this finding, by its fingerprint; may be repeated."),
    ] = None,
) -> None:
    """Say what polluted windows, what was called in the wrong order, and where a failed run went wrong.

    Reads our runs, and what others export: OTLP files (GenAI, OpenInference, Traceloop), ATIF trajectories,
    Inspect logs, lists of OpenAI messages. Offline, without a model, the same every time. What a source does
    not carry is said to be not measurable.

        harness diagnose last
        harness diagnose trace.json --fail-on warning --baseline known.json
        harness diagnose last --order contracts.txt
        harness diagnose last --confirm --live --finding 3f2a

    With --mine it learns contracts from runs that went well; 15 or more of one kind of task, no two alike. It
    asks which orders, numbers and ties of values all of them keep, and proposes what calls in any order would
    not have kept too (exact probabilities; false discoveries by Benjamini and Yekutieli) and what others do not
    imply. What it prints last is written as in a team file.

        harness diagnose --mine trajectories.json
        harness diagnose --mine $(harness runs --status done --limit 200 --json | jq -r .run_id)
    """
    if mine:
        if any((fail_on, baseline, write_baseline, detector, order, export, confirm, live, finding)):
            raise UsageError("--mine proposes contracts; it takes no options that are about findings")
        from harness.cli.mine import MineRequest, mine_sources

        asked = MineRequest(tuple(run), store, json, fdr, min_runs, failed_too)
        raise typer.Exit(mine_sources(asked))
    from harness.cli.diagnose import DiagnoseRequest, diagnose_sources

    request = DiagnoseRequest(
        sources=tuple(run),
        store=store,
        as_json=json,
        fail_on=fail_on,
        baseline=baseline,
        write_baseline=write_baseline,
        detectors=tuple(detector or ()),
        order=order,
        export=export,
    )
    if confirm:
        from harness.cli.confirm import confirm_sources

        raise typer.Exit(confirm_sources(request, tuple(finding or ()), live=live))
    if live or finding:
        raise UsageError("--live and --finding go with --confirm")
    raise typer.Exit(diagnose_sources(request))


@app.command("export")
def export_(
    run: Annotated[list[str], typer.Argument(metavar="RUN…", help="Runs to write.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The bundle to write.")],
    store: Store = None,
) -> None:
    """Write runs into one file, to replay or look at elsewhere.

    harness export last -o run.harness
    """
    from harness.cli.store import export_runs

    export_runs(run, store, output)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle that `harness export` wrote.")],
    store: Store = None,
) -> None:
    """Take the runs of a bundle into a store, and print their ids."""
    from harness.cli.store import import_runs

    import_runs(file, store)


@app.command()
def prune(
    store: Store = None,
    older: Older = None,
    status: Status = None,
    of: TeamName = None,
    session: SessionName = None,
    text: Containing = None,
    keep: Annotated[int, typer.Option(help="Keep this many of the newest in any case.")] = 0,
    max_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Only as many, oldest first, as bring the store below it."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Forget runs by age, status and size; forks of them stay whole.

    Unfinished and suspended runs stay unless `--status` names them.

        harness prune --older 30d --keep 100
        harness prune --max-size 2GB --dry-run
    """
    from harness.cli.store import Filter, prune_store

    which = Filter(tuple(status or ()), of, session, text, None, older)
    prune_store(store, which, keep=keep, max_size=max_size, dry_run=dry_run)

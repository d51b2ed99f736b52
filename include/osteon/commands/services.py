"""Commands for the embedded services, for whole runs and for an installation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osteon.commands.options import Budget, ForceRetrain, RequireApproval, Run, Seed, Sources
from osteon.errors import ConfigurationError, OsteonError
from osteon.settings import load_settings

if TYPE_CHECKING:
    from osteon.embedded.run import Outcome


def up() -> None:
    """Start the embedded services that are not running, and say where they are."""
    from osteon.embedded.stack import Stack

    stack = Stack(load_settings())
    stack.up()
    for name, url in stack.urls().items():
        typer.echo(f"{name:8} {url}")
    user, password = stack.login()
    typer.echo(f"log in to Airflow as {user} with password {password}")


def down() -> None:
    """Stop what `osteon up` started."""
    from osteon.embedded.stack import Stack

    Stack(load_settings()).down()


def run(
    sources: Sources = None,
    budget: Budget = "smoke",
    stop_after: Annotated[str, typer.Option(help="the last stage to run")] = "report",
    force_retrain: ForceRetrain = False,
    ask: Annotated[bool, typer.Option("--ask", help="wait for curators where the base models are unsure")] = False,
    require_approval: RequireApproval = False,
    workers: Annotated[int, typer.Option(min=1, help="processes, or pods, that search the main model")] = 1,
    seed: Seed = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the summary to this file")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="all stages in this process, without Airflow, mails and people")
    ] = False,
) -> None:
    """Run the weekly pipeline and print what came of it. Exit status 0 only if it succeeded.

    It runs as the DAG of the embedded Airflow, or in this process (`--local`). Both start what services are missing.
    """
    from osteon.embedded.run import run_dag, run_here

    settings = load_settings()
    path = (sources or settings.sources_file).resolve()
    conf = {
        "sources": str(path),
        "budget": budget,
        "stop_after": stop_after,
        "force_retrain": force_retrain,
        "ask": ask,
        "require_approval": require_approval,
        "workers": workers,
        "seed": seed,
    }
    outcome = run_here(settings, conf) if local else run_dag(settings, conf)
    _print_outcome(outcome, json_file)
    if outcome.state != "success":
        raise OsteonError(f"the run {outcome.run_id} ended as {outcome.state}; {outcome.failed or 'see its log'}")


def _print_outcome(outcome: Outcome, json_file: Path | None) -> None:
    from rich.console import Console

    from osteon.reports.page import table_lines

    console = Console(width=110 if not sys.stdout.isatty() else None, markup=False)
    if outcome.summary is not None:
        if json_file is not None:
            text = json.dumps(outcome.summary.model_dump(mode="json"), indent=1, ensure_ascii=False)
            json_file.write_text(text, encoding="utf-8")
        for table in table_lines(outcome.summary):
            console.print(table)
        if done := outcome.summary.registered:
            console.print(f"{done.model} version {done.version} is {done.alias}: {done.reason}")
    for name, place in outcome.places.items():
        console.print(f"{name:10} {place}", soft_wrap=True)


def report(run: Run = "command-line") -> None:
    """Write a run's report; prints its key."""
    from osteon.pipeline.context import Context
    from osteon.pipeline.stages import REPORT, read_records, run_stage

    context = Context.open(run)
    if not read_records(context.run):
        raise ConfigurationError(f"the lake holds nothing of a run {run!r}: give a run's id, as Airflow names it")
    typer.echo(run_stage(REPORT, context).page)


def doctor(
    sources: Sources = None,
    only: Annotated[
        list[str] | None, typer.Option(help="code, lake, history, mlflow, mail, gpu or sources; repeat it")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Say of each thing that Osteon needs whether it works here, or what to do. Exit status 1 where one does not."""
    from dataclasses import asdict

    from osteon.doctor import CHECKS, examine

    settings = load_settings()
    if unknown := set(only or ()) - CHECKS.keys():
        raise ConfigurationError(f"doctor knows {', '.join(CHECKS)}, not {', '.join(sorted(unknown))}")
    lines = examine(settings, sources or settings.sources_file, only)
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines], indent=1))
    for line in [] if as_json else lines:
        typer.echo(f"{'ok  ' if line.ok else 'FAIL'} {line.name:24} {line.text}")
    if not all(line.ok for line in lines):
        raise SystemExit(1)

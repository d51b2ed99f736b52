"""`osteon ...`: the embedded services, the whole pipeline in Airflow, and each stage as a command."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osteon.commands import (
    Budget,
    Catalog,
    ForceRetrain,
    RequireApproval,
    Run,
    Seed,
    Sources,
    Winner,
    add_stage_commands,
)
from osteon.embedded import STATE
from osteon.errors import ConfigurationError, OsteonError, SourceError, TryAgainError
from osteon.labels import load_labels
from osteon.settings import load_settings

if TYPE_CHECKING:
    from osteon.embedded.run import Outcome

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.callback()
def main(verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False) -> None:
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format="%(levelname)s %(message)s")
    for noisy in ("urllib3", "botocore", "great_expectations", "matplotlib", "alembic", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _use_embedded()


def _use_embedded() -> None:
    """Where no lake is configured and the embedded services run, every command means those: only they know the keys."""
    settings = load_settings()
    if settings.s3_access_key or not (settings.state_dir / STATE).exists():
        return
    from osteon.embedded.stack import Stack

    stack = Stack(settings)
    if stack.running():
        found = stack.environment()
        os.environ.update({name: found[name] for name in found if name.startswith(("OSTEON_", "AIRFLOW_CONN_"))})


@app.command()
def up() -> None:
    """Start the embedded services that are not running, and say where they are."""
    from osteon.embedded.stack import Stack

    stack = Stack(load_settings())
    stack.up()
    for name, url in stack.urls().items():
        typer.echo(f"{name:8} {url}")
    user, password = stack.login()
    typer.echo(f"log in to Airflow as {user} with password {password}")


@app.command()
def down() -> None:
    """Stop what `osteon up` started."""
    from osteon.embedded.stack import Stack

    Stack(load_settings()).down()


@app.command("run")
def run_command(
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
            json_file.write_text(json.dumps(outcome.summary, indent=1, ensure_ascii=False), encoding="utf-8")
        for table in table_lines(outcome.summary):
            console.print(table)
        if outcome.summary["registered"]:
            registered = outcome.summary["registered"]
            console.print("{model} version {version} is {alias}: {reason}".format_map(registered))
    for name, place in outcome.places.items():
        console.print(f"{name:10} {place}", soft_wrap=True)


@app.command()
def ingest(sources: Sources = None, run: Run = "command-line") -> None:
    """Pull every source; prints the manifests' keys. One that fails does not stop the others."""
    from osteon.pipeline.context import Context
    from osteon.pipeline.stages import INGEST, LIST_SOURCES, run_stage

    context, failed = Context.open(run), []
    path = str(sources or context.settings.sources_file)
    for name in run_stage(LIST_SOURCES, context, sources=path).names:
        try:
            typer.echo(run_stage(INGEST, context, source=name, sources=path).manifest)
        except OsteonError as error:
            failed.append(str(error))
        except Exception as error:  # whatever a publisher's data or client makes happen
            logging.getLogger(__name__).exception("source %s", name)
            failed.append(f"source {name}: {error!r}")
    if failed:
        raise SourceError("\n".join(failed))


@app.command()
def review(
    target: Annotated[str | None, typer.Argument()] = None,
    keep: Annotated[bool, typer.Option("--keep", help="use it as it is labelled")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="leave it out")] = False,
    label: Annotated[str | None, typer.Option(help="set its label: part/state, as wrist/fractured")] = None,
    whole_group: Annotated[bool, typer.Option("--group", help="all copies of the original are meant")] = False,
    copies: Annotated[str | None, typer.Option(metavar="OTHER", help="TARGET and OTHER show one film")] = None,
    no_copies: Annotated[
        str | None, typer.Option("--no-copies", metavar="OTHER", help="TARGET and OTHER are two films")
    ] = None,
    who: Annotated[str, typer.Option(help="who decides")] = "",
    why: Annotated[str, typer.Option(help="for what reason")] = "",
) -> None:
    """Decide about an image, a group or a pair, for every later run; without an argument, list what was decided.

    TARGET and OTHER are `source:path`, or the beginning of a SHA-256 (8 digits at least); TARGET may also be that of a
    group's name.
    """
    from osteon.curation.decisions import Decision, decide, decisions
    from osteon.lake import Lake

    settings = load_settings()
    lake = Lake.from_settings(settings)
    if target is None:
        for made in decisions(lake):
            what = f"{made.action} {made.label or ''}".strip() + (" (whole group)" if made.whole_group else "")
            about = f"{made.target} and {made.other}" if made.other else made.target
            typer.echo(f"{made.when:%Y-%m-%d %H:%M}  {what:32} {about}  by {made.who}: {made.why}")
        return
    said = {"keep": keep, "drop": drop, "label": label is not None}
    said |= {"copies": copies is not None, "no copies": no_copies is not None}
    actions: Any = [action for action, is_said in said.items() if is_said]
    if len(actions) != 1 or not who or not why:
        raise ConfigurationError(
            "say one of --keep, --drop, --label PART/STATE, --copies OTHER and --no-copies OTHER; give --who and --why"
        )
    more: Any = {"whole_group": whole_group, "label": label, "other": copies or no_copies}
    made = Decision(target=target, action=actions[0], who=who, why=why, **more)
    typer.echo(decide(lake, load_labels(settings.labels_file), made))


@app.command()
def train(
    model: Annotated[str, typer.Option()],
    snapshot: Annotated[str, typer.Option(help="key of the split catalog; for a base model of the reviewed one")],
    out: Annotated[
        str, typer.Option(help="where in the lake the model and its result go (default: `osteon training-key`)")
    ] = "",
    budget: Budget = "smoke",
    seed: Seed = 0,
    winner: Winner = "",
    helped: Annotated[bool, typer.Option("--helped", help="let other processes help with the search")] = False,
    helper: Annotated[str, typer.Option(help="only help with such a search, under this name")] = "",
) -> None:
    """Search, fit and evaluate a model on a snapshot; prints the training's key and its measures."""
    from osteon.lake import Lake
    from osteon.pipeline.context import Context
    from osteon.pipeline.training import training_key as key_of
    from osteon.records import CatalogKey, TrainingKey
    from osteon.training.plan import TrainingPlan
    from osteon.training.train import help_search
    from osteon.training.train import train as train_model
    from osteon.version import mismatch

    settings = load_settings()
    if why := mismatch(settings):
        raise ConfigurationError(why)
    lake = Lake.from_settings(settings)
    out = out or key_of(Context.open("command-line"), CatalogKey(snapshot), model, budget, seed, winner=winner)
    plan = TrainingPlan(model, CatalogKey(snapshot), budget, seed, winner, TrainingKey(out))
    if helper:
        ran = help_search(settings, lake, plan, helper)
        lake.put_json(f"{out}/helpers/{helper}.json", {"trials": ran})
        typer.echo(f"{ran} trials")
        return
    with redirect_stdout(sys.stderr):  # Keras prints its progress
        result = train_model(settings, lake, plan, helped)
    typer.echo(out)
    typer.echo(json.dumps(result.figures))


@app.command("training-key")
def training_key(
    model: Annotated[str, typer.Option()],
    catalog: Catalog,
    budget: Budget = "smoke",
    seed: Seed = 0,
    winner: Winner = "",
) -> None:
    """Print where in the lake a training goes: what `osteon train --out` takes."""
    from osteon.pipeline.context import Context
    from osteon.pipeline.training import training_key as key_of
    from osteon.records import CatalogKey

    typer.echo(key_of(Context.open("command-line"), CatalogKey(catalog), model, budget, seed, winner=winner))


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument()],
    model: Annotated[str, typer.Option(help="name in the registry (default: OSTEON_MODEL_NAME)")] = "",
    out: Annotated[Path, typer.Option(help="folder for the overlays")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Ask the champion about radiographs; leaves a Grad-CAM overlay of each. A research tool, not a medical device."""
    from osteon import predict as ask
    from osteon.images.decode import UndecodableError, decode

    settings, failed, found, places = load_settings(), [], [], set[Path]()
    version, predictor = ask.champion(settings, model or settings.model_name)
    out.mkdir(parents=True, exist_ok=True)
    for file in files:
        try:
            pixels = decode(file.read_bytes(), settings.max_pixels).pixels
        except (OSError, UndecodableError) as error:
            failed.append(f"{file}: {error}")
            continue
        (answer,) = predictor.answer([pixels])
        place = None
        if not answer.problem:
            names = (f"{file.stem}{f'-{number}' if number > 1 else ''}.gradcam.png" for number in count(1))
            picture = next(out / name for name in names if out / name not in places)
            places.add(picture)
            ask.overlay(pixels, ask.look(predictor, pixels, answer.body_part)).save(picture)
            place = str(picture)
        found.append(ask.prediction(str(file), answer, predictor.classes.names, place))
        if not as_json:
            chance = found[-1].fracture_probability
            told = "its fractures were never learnt" if chance is None else f"fracture {chance:.0%}"
            typer.echo(f"{file}: {answer.problem or f'{answer.body_part}, {told}; {place}'}")
    if as_json:
        about = {"model": model or settings.model_name, "version": version}
        typer.echo(json.dumps(about | {"predictions": [one.model_dump(mode="json") for one in found]}))
    if failed:
        raise OsteonError("\n".join(failed))


@app.command()
def rollback(
    who: Annotated[str, typer.Option(help="who decides")],
    why: Annotated[str, typer.Option(help="for what reason")],
    model: Annotated[str, typer.Option(help="name in the registry (default: OSTEON_MODEL_NAME)")] = "",
) -> None:
    """Make the previous champion the champion again."""
    from osteon.registry.versions import rollback as roll_back

    settings = load_settings()
    name = model or settings.model_name
    now, before = roll_back(settings, name, who, why)
    typer.echo(f"version {now} of {name} is champion again, version {before} is previous")


@app.command()
def report(run: Run = "command-line") -> None:
    """Write a run's report; prints its key."""
    from osteon.pipeline.context import Context
    from osteon.pipeline.stages import REPORT, read_records, run_stage

    context = Context.open(run)
    if not read_records(context.run):
        raise ConfigurationError(f"the lake holds nothing of a run {run!r}: give a run's id, as Airflow names it")
    typer.echo(run_stage(REPORT, context).page)


@app.command()
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


add_stage_commands(app)


def entry() -> None:
    """The command `osteon`: an expected error is one line on stderr, with exit status 75 where another try may succeed
    and 1 otherwise; any other has status 70."""
    # the first process of a container is not ended by SIGTERM unless it says so
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except OsteonError as error:
        typer.echo(f"osteon: {error}", err=True)
        raise SystemExit(os.EX_TEMPFAIL if isinstance(error, TryAgainError) else 1) from None
    except Exception:
        traceback.print_exc()
        raise SystemExit(os.EX_SOFTWARE) from None


if __name__ == "__main__":
    entry()
